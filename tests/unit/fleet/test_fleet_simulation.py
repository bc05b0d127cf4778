"""A simulated fleet: slow drives and liars among the claimants of five classes, and what they agree on."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from aio_tuned.config.load import Config
from aio_tuned.fleet import votes
from aio_tuned.fleet.agreement import agree
from aio_tuned.fleet.claims import wanted
from aio_tuned.fleet.odd_drives import odd_drives
from aio_tuned.fleet.report import BEST_POINTS, DriveReport, Share
from aio_tuned.search.grid import settings
from unit.support.fleet import NOW_S, direction_report, rate_of, sweep_report

if TYPE_CHECKING:
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.model.setting import Setting

_GRID = Config().grid
_POINTS = settings(_GRID)
_FOREIGN = replace(_GRID, queue_depth=(1, 2, 3))
_KEYS = ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit")
_TRIALS = 60
_CLASSES = 5
_SLOW_SHARE = 0.03
_LIAR_SHARE = 0.01
_Kind = Literal["honest", "slow", "too fast", "too slow", "another grid", "slow points"]


class _Fleet(NamedTuple):
    """The outcome of one class: its result, its sweeps with what their drives are, and the true share of each point."""

    result: ClassResult
    kinds: dict[str, _Kind]
    truth: dict[Setting, float]
    level: float


def _truth(draw: random.Random) -> dict[Setting, float]:
    """Return the log share of each point of a class: steps of each value, and interactions."""
    effect = {(key, value): draw.uniform(0, 0.2) for key in _KEYS for value in getattr(_GRID, key)}
    logs = {point: -sum(effect[key, getattr(point, key)] for key in _KEYS) - draw.uniform(0, 0.03) for point in _POINTS}
    top = max(logs.values())
    return {point: log - top for point, log in logs.items()}


def _kind(draw: random.Random) -> _Kind:
    place = draw.random()
    if place < _LIAR_SHARE:
        return draw.choice(("too fast", "too slow", "another grid", "slow points"))
    return "slow" if place < _LIAR_SHARE + _SLOW_SHARE else "honest"


def _sweep(node: str, kind: _Kind, truth: dict[Setting, float], level: float, draw: random.Random) -> DriveReport:
    """Return the report of a drive: each point once with 1.5 % of noise, the 16 best again with 0.5 %."""
    own = {point: log + draw.gauss(0, 0.003) for point, log in truth.items()}
    first = sorted(_POINTS, key=lambda point: -own[point] - draw.gauss(0, 0.015))[:BEST_POINTS]
    if kind == "slow points":
        first = sorted(_POINTS, key=own.__getitem__)[:BEST_POINTS]
    again = {point: (0 if kind == "slow points" else own[point]) + draw.gauss(0, 0.005) for point in first}
    best = max(again.values())
    shares = sorted((Share(each, round(10_000 * math.exp(log - best))) for each, log in again.items()), key=_by_share)
    factor = {"slow": draw.uniform(0.4, 0.85), "too fast": draw.uniform(1.3, 10), "too slow": draw.uniform(0.01, 0.7)}
    speed = level * math.exp(draw.gauss(0, 0.01)) * factor.get(kind, 1)
    part = replace(direction_report(speed, (shares[0].setting,)), best=tuple(shares), rate=rate_of(speed, 0.01))
    report = sweep_report(node, part, grid=_GRID, drive=f"nvme-{node}")
    if kind == "another grid":
        foreign = tuple(settings(_FOREIGN)[:BEST_POINTS])
        report = replace(report, grid=_FOREIGN, read=direction_report(speed, foreign, step=1))
    return DriveReport.from_json(report.to_json())


def _by_share(each: Share) -> int:
    return -each.share


def _claim(draw: random.Random) -> _Fleet:
    """Return a class whose nodes sweep as long as it wants another sweep."""
    truth, level = _truth(draw), draw.uniform(1e9, 14e9)
    kinds: dict[str, _Kind] = {}
    reports: list[DriveReport] = []
    while len(reports) < wanted(votes.count(reports, NOW_S)):
        node = f"n{len(reports)}"
        kinds[node] = _kind(draw)
        reports.append(_sweep(node, kinds[node], truth, level, draw))
    result = agree(votes.count(reports, NOW_S), None, NOW_S)
    assert result
    return _Fleet(result, kinds, truth, level)


def test_five_classes_agree_on_a_setting_within_one_percent_of_their_truth() -> None:
    draw = random.Random(20)
    trials = [[_claim(draw) for _ in range(_CLASSES)] for _ in range(_TRIALS)]
    every = [each for trial in trials for each in trial]
    losses = [1 - math.exp(each.truth.get(each.result.read.setting, -9.0)) for each in every if each.result.read]
    assert len(losses) == len(every)
    assert sum(loss <= 0.01 for loss in losses) >= 0.99 * len(losses), sorted(losses)[-10:]
    odd = [(each, node) for each in every for node, kind in each.kinds.items() if kind != "honest"]
    assert len(odd) >= 20, "the seed draws too few odd drives to show anything"
    # Each is named, as rejected or in the disagreement of a class that five sweeps did not settle.
    for each, node in odd:
        named = {one.node for one in each.result.rejected}
        assert node in named or each.result.disagreement or each.kinds[node] == "slow points", each
        assert (
            node not in {one.node for one in each.result.contributors}
            or each.result.disagreement
            or (each.kinds[node] == "slow points")
        )
    unsettled = [each for each in every if each.result.disagreement]
    assert len(unsettled) <= 0.01 * len(every)
    wrongly = [one for each in every for one in each.result.rejected if each.kinds[one.node] == "honest"]
    assert len(wrongly) <= 0.01 * sum(len(each.kinds) for each in every)
    # A class has three sweeps, and one more for each that disagrees; noise asks for another one in few classes.
    more = [len(each.kinds) - 3 - sum(kind != "honest" for kind in each.kinds.values()) for each in every]
    assert sum(count > 0 for count in more) <= 0.02 * len(every), more


def test_every_slow_node_is_named_by_its_check_and_hardly_any_other() -> None:
    draw = random.Random(21)
    each = _claim(draw)
    read = each.result.read
    assert read
    kinds: dict[str, _Kind] = {f"m{number}": _kind(draw) for number in range(2000)}
    checks = []
    for node, kind in kinds.items():
        factor = draw.uniform(0.4, 0.85) if kind == "slow" else 1.0
        speed = each.level * math.exp(draw.gauss(0, 0.01)) * factor
        part = replace(direction_report(speed, (read.setting,)), best=(), rate=rate_of(speed, 0.01))
        checks.append(sweep_report(node, part, basis="check", confirms=kind != "slow", generation=1))
    named = {odd.node for odd in odd_drives(each.result, checks) if odd.slower}
    slow = {node for node, kind in kinds.items() if kind == "slow"}
    assert len(slow) > 30
    assert slow <= named
    assert len(named - slow) <= 0.01 * len(kinds)
