"""The rivals that our search is held against play as well as they can."""

from __future__ import annotations

import math
import random
from dataclasses import asdict
from json import dumps, loads
from typing import TYPE_CHECKING

import pytest

from bench import rivals, scores, tables, trial
from bench.rivals import PASSES, halving
from bench.scores import Rung
from fakes.simulated.drive import Drive
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS, truth
from unit.support.builders import GIB, MIB, request, setting

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Setting

TABLE = truth(NAMED["pm9a3"], "read")


@pytest.fixture(scope="module")
def played() -> list[rivals.Played]:
    ours, outcome = trial.run("optane-p5800x", 1)
    assert outcome is not None
    return rivals.contest(ours, outcome)


def halved(arms: tuple[Setting, ...], budget: float) -> tuple[Setting, list[Setting]]:
    """What is left in the end without noise, and all visits, each at a cost of 1."""
    visits: list[Setting] = []

    def pull(arm: Setting) -> float:
        visits.append(arm)
        return 1.0

    return halving(arms, pull, budget, random.Random(1), TABLE.of), visits


@pytest.mark.parametrize("count", [1, 2, 3, 64, 320])
@pytest.mark.parametrize("passes", [1.4, 2, 3.5, 10])
def test_halving_without_noise_ends_with_the_best_and_within_its_budget(count: int, passes: float) -> None:
    arms = SETTINGS[:count]
    found, visits = halved(arms, passes * count)
    assert TABLE.of(found) == max(map(TABLE.of, arms))
    assert set(visits) == set(arms)
    # Each round keeps a whole arm of what it halves, hence a few visits more than paid for where there are few.
    assert len(visits) <= max(passes * count, count) + math.log2(count) + 1


def test_halving_visits_the_better_more_often() -> None:
    ranked = sorted(SETTINGS, key=TABLE.of, reverse=True)
    _, visits = halved(SETTINGS, 10 * len(SETTINGS))
    best, good, poor = (visits.count(ranked[place]) for place in (0, 30, 300))
    assert best > good > poor >= 1
    assert len(visits) > 8 * len(SETTINGS)


def test_deepspeed_takes_the_transfer_after_the_one_that_warms_up() -> None:
    drive = Drive(NAMED["pm9a3"], 1)
    asked: list[int] = []

    def visit(which: Setting, transfers: int) -> Sample:
        asked.append(transfers)
        return drive.visit(request(which, min_ns=0, min_transfers=transfers))

    rates = rivals.deepspeed_rates(visit)
    assert list(rates) == list(SETTINGS)
    assert set(asked) == {2}
    assert rates[SETTINGS[7]] == pytest.approx(drive.true_bytes_per_s("read", SETTINGS[7], 64 * MIB), rel=0.1)


def test_deepspeeds_one_setting_has_the_highest_sum() -> None:
    one, two, three = (setting(MIB, depth) for depth in (1, 2, 4))
    assert rivals.highest_sum({one: 9.0, two: 6.0, three: 1.0}, {one: 1.0, two: 6.0, three: 9.0}) == two


def test_every_rival_plays_both_directions_at_the_sweeps_transfer_sizes(played: list[rivals.Played]) -> None:
    sizes = {each.direction: each.transfer_bytes for each in played}
    assert {(each.direction, each.transfer_bytes) for each in played} == set(sizes.items())
    for direction in ("read", "write"):
        games = [each for each in played if each.direction == direction]
        assert len(games) == 3 + 2 * len(PASSES)
        assert {each.rival for each in games} == {
            "DeepSpeed, each direction",
            "DeepSpeed, one for both",
            "sequential halving",
            "exhaustive, highest",
            "exhaustive, our rule",
        }
        assert min(each.regret for each in games) >= 0


def test_more_passes_cost_in_proportion_and_end_near_the_best(played: list[rivals.Played]) -> None:
    games = [each for each in played if each.rival == "exhaustive, highest" and each.direction == "read"]
    assert [each.passes for each in games] == list(PASSES)
    assert [each.bytes / games[0].bytes for each in games] == list(PASSES)
    assert games[-1].io_s / games[0].io_s == pytest.approx(PASSES[-1], rel=0.02)
    assert games[-1].regret < 0.005


def test_what_was_played_survives_its_json(played: list[rivals.Played]) -> None:
    assert [rivals.parsed(loads(dumps(asdict(each)))) for each in played] == played


def test_equal_seeds_play_alike(played: list[rivals.Played]) -> None:
    ours, outcome = trial.run("optane-p5800x", 1)
    assert outcome is not None
    assert rivals.contest(ours, outcome) == played


LADDER = [Rung(1, 0.04, 10, GIB), Rung(2, 0.02, 20, 2 * GIB), Rung(3, 0.03, 30, 3 * GIB), Rung(5, 0.01, 50, 5 * GIB)]


@pytest.mark.parametrize(
    ("regret", "passes"), [(0.05, 1.0), (0.04, 1.0), (0.03, 1.5), (0.02, 2.0), (0.015, 4.5), (0.01, 5.0)]
)
def test_as_good_is_where_the_ladder_first_is(regret: float, passes: float) -> None:
    found = scores.reached(regret, LADDER)
    assert found is not None
    assert found.passes == pytest.approx(passes)
    assert found.io_s == pytest.approx(10 * passes)


def test_what_no_rung_reaches_is_not_reached() -> None:
    assert scores.reached(0.009, LADDER) is None


def test_the_tables_hold_every_rival(played: list[rivals.Played], capsys: pytest.CaptureFixture[str]) -> None:
    ours = trial.run("optane-p5800x", 1)[0]
    tables.tables([ours], each=False)
    tables.rivalry([ours], played, each=True)
    shown = capsys.readouterr().out
    assert all(each.rival in shown for each in played)
    assert shown.count("| developed |") > 0
    assert "| held-back |" not in shown
    # Every line of a table has as many cells as its head.
    for table in shown.strip().split("\n\n"):
        assert len({line.count("|") for line in table.splitlines()}) == 1
