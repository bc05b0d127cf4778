"""Markdown tables of trials and of the rivals' results."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, TypeVar, get_args

from aio_tuned.model.setting import Direction
from bench import scores
from bench.rivals import Played
from bench.scores import Pick
from bench.trial import TOLERANCE
from fakes.simulated.models import DEVELOPED_WITH, HELD_BACK, MODELS, NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.scores import Spread
    from bench.trial import Found, Trial

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
THIRDS = {"developed": DEVELOPED_WITH, "held-back": HELD_BACK, "all": MODELS}
GIB = 1 << 30
OURS = "aio-tuned"
LOW = 0.1
BELOW = 0.01
Entry = TypeVar("Entry", "Trial", "Played")


def grouped(found: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Those of the models developed with, those of the ones held back, and all, if there are both."""
    of_third = {third: [each for each in found if NAMED[each.model] in models] for third, models in THIRDS.items()}
    if not (of_third["developed"] and of_third["held-back"]):
        del of_third["all"]
    return {third: entries for third, entries in of_third.items() if entries}


def each_model(found: Iterable[Entry]) -> dict[str, list[Entry]]:
    of_model: dict[str, list[Entry]] = {}
    for each in found:
        of_model.setdefault(each.model, []).append(each)
    return of_model


def percent(value: float, digits: int = 2) -> str:
    """Nothing for what is not a number: the mean of none."""
    return "" if math.isnan(value) else f"{value:.{digits}%}"


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|")


def header(*cells: str) -> None:
    print()
    row(*cells)
    print("|" + "---|" * len(cells))


def quality(of_group: dict[str, list[Trial]]) -> None:
    header(
        "models",
        "direction",
        "sweeps",
        "regret at 256 MiB: mean",
        "p95",
        "worst",
        "published q95, median",
        "held",
        "settled",
        "of those beyond 2 %",
        "q95 above 10 %",
        "below the default: measured",
        "in truth by 1 %",
        "same program",
        "within 1 % of each other",
        "ties",
    )
    for group, trials in of_group.items():
        for direction in DIRECTIONS:
            regret = scores.of_direction(trials, direction, lambda found: found.regret_configured)
            if not regret:
                continue
            configured = scores.spread(regret)
            every = [found for trial in trials if (found := trial.of(direction))]
            settled = [found for found in every if found.settled]
            pairs = scores.agreement(scores.picks(trials, direction))
            row(
                group,
                direction,
                len(every),
                *map(percent, (configured.mean, configured.p95, configured.most)),
                percent(statistics.median(found.regret95 for found in every)),
                percent(scores.mean(scores.of_direction(trials, direction, _held)), 1),
                percent(scores.mean(scores.of_direction(trials, direction, lambda found: found.settled)), 1),
                f"{sum(found.shortfall > TOLERANCE for found in settled)} of {len(settled)}",
                percent(scores.mean(scores.of_direction(trials, direction, lambda found: found.regret95 > LOW)), 1),
                sum(found.bytes_per_s < found.default_bytes_per_s for found in every),
                sum(found.below_default > BELOW for found in every),
                percent(pairs.same, 1),
                percent(pairs.alike, 1),
                f"{scores.mean(scores.of_direction(trials, direction, lambda found: found.ties)):.0f}",
            )


def _held(found: Found) -> bool:
    return found.shortfall <= found.regret95


def honesty(of_group: dict[str, list[Trial]]) -> None:
    header(
        "models",
        "direction",
        "phases",
        "covers the truth at level",
        "covers the fresh truth",
        "half width",
        "drift either way",
        "noise",
        "left out: behind a cliff",
        "of models",
        "transfer, MiB",
    )
    for group, trials in of_group.items():
        for direction in DIRECTIONS:
            if not scores.of_direction(trials, direction, lambda found: found.regret):
                continue
            covered = scores.coverage(trials, direction)
            transfers = scores.of_direction(trials, direction, lambda found: found.transfer_bytes)
            row(
                group,
                direction,
                covered.phases,
                percent(covered.level, 1),
                percent(covered.fresh, 1),
                percent(covered.half_width),
                percent(scores.mean(scores.of_direction(trials, direction, lambda found: abs(found.drift)))),
                percent(scores.mean(scores.of_direction(trials, direction, lambda found: found.noise))),
                covered.cliffs,
                covered.cliff_models,
                f"{scores.mean(transfers) / 2**20:.0f}",
            )


def _cells(found: Spread, digits: int) -> list[str]:
    return [f"{value:.{digits}f}" for value in (found.mean, found.p95, found.most)]


def cost(of_group: dict[str, list[Trial]]) -> None:
    header(
        "models",
        *("I/O s: mean", "p95", "most"),
        *("wall s: mean", "p95", "most"),
        *("GiB written: mean", "p95", "most"),
        "GiB read",
        "visits",
        "Python ms",
    )
    for group, trials in of_group.items():
        whole = [each for each in trials if each.found]
        if not whole:
            continue
        io_s = scores.by_model(whole, lambda each: sum(found.io_s for found in each.found))
        read = scores.of_direction(whole, "read", lambda found: found.bytes / GIB)
        row(
            group,
            *_cells(scores.spread(io_s), 1),
            *_cells(scores.spread(scores.by_model(whole, lambda each: each.wall_s)), 1),
            *_cells(scores.spread(scores.by_model(whole, lambda each: each.written_bytes / GIB)), 1),
            f"{scores.mean(read):.1f}",
            f"{scores.mean(scores.by_model(whole, lambda each: sum(found.visits for found in each.found))):.0f}",
            f"{scores.mean(scores.by_model(whole, lambda each: each.cpu_s)) * 1e3:.0f}",
        )


def _games(trials: Iterable[Trial], seeds: set[int]) -> list[Played]:
    """Our own sweeps as the rivals' are recorded."""
    return [
        Played(
            rival=OURS,
            model=each.model,
            seed=each.seed,
            direction=found.direction,
            transfer_bytes=found.transfer_bytes,
            setting=found.setting,
            regret=found.regret,
            io_s=found.io_s,
            bytes=found.bytes,
            behind_cliff=found.behind_cliff,
        )
        for each in trials
        if each.seed in seeds
        for found in each.found
    ]


def _by_rival(played: Iterable[Played]) -> dict[str, list[Played]]:
    """By name, in the order in which they are first met."""
    found: dict[str, list[Played]] = {}
    for each in played:
        found.setdefault(each.rival, []).append(each)
    return found


def _mean(games: Iterable[Played], value: Callable[[Played], float]) -> float:
    of_model: dict[str, list[float]] = {}
    for each in games:
        of_model.setdefault(each.model, []).append(value(each))
    return scores.mean(of_model)


def _picks(played: Iterable[Played]) -> dict[str, dict[int, Pick]]:
    found: dict[str, dict[int, Pick]] = {}
    for each in played:
        pick = Pick(each.setting, each.transfer_bytes, 1 / (1 + each.regret))
        found.setdefault(each.model, {})[each.seed] = pick
    return found


def league(of_group: Mapping[str, Sequence[Played]]) -> None:
    """Each rival's choices and costs, per direction."""
    header(
        *("models", "direction", "searched by", "regret: mean", "p95", "worst"),
        *("same program", "within 1 % of each other", "I/O s", "GiB"),
    )
    for group, played in of_group.items():
        for direction in DIRECTIONS:
            for rival, games in _by_rival(each for each in played if each.direction == direction).items():
                of_model: dict[str, list[float]] = {}
                for each in games:
                    of_model.setdefault(each.model, []).append(each.regret)
                regret = scores.spread(of_model)
                pairs = scores.agreement(_picks(games))
                row(
                    *(group, direction, rival),
                    *map(percent, (regret.mean, regret.p95, regret.most)),
                    *(percent(pairs.same, 1), percent(pairs.alike, 1)),
                    f"{_mean(games, lambda each: each.io_s):.1f}",
                    f"{_mean(games, lambda each: each.bytes / GIB):.1f}",
                )


def rivalry(trials: Sequence[Trial], played: Sequence[Played], *, each: bool) -> None:
    """Ours and the rivals on the same drives with the same seeds.

    Behind a cliff other settings are the best than on the fresh drive that regret is of, and many passes lead there:
    the models that nobody drove over one are a group of their own.
    """
    games = [*_games(trials, {one.seed for one in played}), *played]
    over = {one.model for one in games if one.behind_cliff}
    groups = grouped(games)
    if level := [one for one in games if over and one.model not in over]:
        groups["no cliff met"] = level
    for of_group in (groups, *([each_model(games)] if each else [])):
        league(of_group)


def tables(found: Sequence[Trial], *, each: bool) -> None:
    sizes = sorted({one.device_bytes for one in found})
    for size in sizes:
        trials = [one for one in found if one.device_bytes == size]
        print(f"\n## A drive of {size / 1e12:g} TB")
        for of_group in (grouped(trials), *([each_model(trials)] if each else [])):
            quality(of_group)
            honesty(of_group)
            cost(of_group)
    if failed := [one for one in found if one.error]:
        print(f"\n{len(failed)} sweeps failed, the first ({failed[0].model}, seed {failed[0].seed}): {failed[0].error}")
