"""Figures of merit from trials. Pure. A mean is over the models' own means: every model counts alike."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bench.trial import aliases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aio_tuned.model.setting import Direction, Setting
    from bench.trial import Found, Trial

# Two choices whose true values are within this are as good as each other.
ALIKE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A quantity: the mean over models, then median, 95th percentile and greatest over all trials."""

    mean: float
    median: float
    p95: float
    most: float


class Pick(NamedTuple):
    """A chosen setting, at which transfer size, and the share of the true best that it gives there."""

    setting: Setting
    transfer_bytes: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Which share of pairs of sweeps chose the same program, and one within 1 % in true value."""

    pairs: int
    same: float
    alike: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which share of the published intervals covers the truth at the phase's climate, and that of a fresh drive.

    Phases that went over a cliff are not counted but in `cliffs`, their number, and `cliff_models`, of how many models.
    """

    phases: int
    level: float
    fresh: float
    half_width: float
    cliffs: int
    cliff_models: int


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least that share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def mean(of_model: Mapping[str, Sequence[float]]) -> float:
    """The mean over models; not a number if there is none."""
    return statistics.fmean(map(statistics.fmean, of_model.values())) if of_model else math.nan


def spread(of_model: Mapping[str, Sequence[float]]) -> Spread:
    values = [value for each in of_model.values() for value in each]
    return Spread(mean=mean(of_model), median=statistics.median(values), p95=percentile(values, 0.95), most=max(values))


def by_model(trials: Iterable[Trial], value: Callable[[Trial], float | None]) -> dict[str, list[float]]:
    """The value of each trial that has one, by model; a model without any is left out."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        if (each := value(trial)) is not None:
            found.setdefault(trial.model, []).append(each)
    return found


def of_direction(
    trials: Iterable[Trial], direction: Direction, value: Callable[[Found], float | None]
) -> dict[str, list[float]]:
    """The value of each trial's phase of that direction, by model."""

    def of(trial: Trial) -> float | None:
        found = trial.of(direction)
        return None if found is None else value(found)

    return by_model(trials, of)


def same_program(one: Pick, other: Pick) -> bool:
    """Whether some setting amounts to either choice, each at its own transfer size."""
    return not aliases(one.setting, one.transfer_bytes).isdisjoint(aliases(other.setting, other.transfer_bytes))


def agreement(picks: Mapping[str, Mapping[int, Pick]]) -> Agreement:
    """Of consecutive seeds, 0 and 1, 2 and 3 and so on; `picks` are by model and seed."""
    same: dict[str, list[float]] = {}
    alike: dict[str, list[float]] = {}
    for name, of_seed in picks.items():
        for seed, one in of_seed.items():
            if seed % 2 or (other := of_seed.get(seed + 1)) is None:
                continue
            same.setdefault(name, []).append(same_program(one, other))
            alike.setdefault(name, []).append(abs(math.log(one.share / other.share)) <= math.log1p(ALIKE))
    return Agreement(pairs=sum(map(len, same.values())), same=mean(same), alike=mean(alike))


def picks(trials: Iterable[Trial], direction: Direction) -> dict[str, dict[int, Pick]]:
    """What each sweep chose, as `agreement` takes it."""
    chosen: dict[str, dict[int, Pick]] = {}
    for trial in trials:
        if found := trial.of(direction):
            chosen.setdefault(trial.model, {})[trial.seed] = Pick(found.setting, found.transfer_bytes, found.share)
    return chosen


def coverage(trials: Sequence[Trial], direction: Direction) -> Coverage:
    """How far the published intervals of that direction hold what they promise."""

    def covers(truth: Callable[[Found], float]) -> Callable[[Found], float | None]:
        return lambda found: (
            None if found.behind_cliff else found.low_bytes_per_s <= truth(found) <= found.high_bytes_per_s
        )

    def half_width(found: Found) -> float | None:
        return None if found.behind_cliff else math.log(found.high_bytes_per_s / found.low_bytes_per_s) / 2

    level = of_direction(trials, direction, covers(lambda found: found.level_bytes_per_s))
    cliffs = of_direction(trials, direction, lambda found: 1.0 if found.behind_cliff else None)
    return Coverage(
        phases=sum(map(len, level.values())),
        level=mean(level),
        fresh=mean(of_direction(trials, direction, covers(lambda found: found.fresh_bytes_per_s))),
        half_width=mean(of_direction(trials, direction, half_width)),
        cliffs=sum(map(len, cliffs.values())),
        cliff_models=len(cliffs),
    )
