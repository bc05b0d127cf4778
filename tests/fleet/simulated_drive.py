"""Drives of a few models, each a little unlike the others, as a sweep and a check of a fleet measure them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.search.check import FEW_ROUNDS, MIN_GAIN
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS, truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aio_tuned.model.setting import Direction, Setting

# How much drives of one model differ, and the noise of a sweep's estimate of a point and of one round of a check.
DRIVES_DIFFER = 0.01
_SWEEP_NOISE = 0.002
_ROUND_NOISE = 0.006
_WIDTH = 0.004


class Measured(NamedTuple):
    """A point with its throughput in bytes per second, and the limits of its interval."""

    setting: Setting
    bytes_per_s: float
    low_bytes_per_s: float
    high_bytes_per_s: float


@dataclass(eq=False)
class SimulatedDrive:
    """One drive of a model; `slow` is the share of the model's throughput that an odd drive has, 1 for a sound one.

    `weather` has points that this drive likes less for a while, with the share that they keep: what a bad sweep sees.
    """

    model: str
    seed: int
    slow: float = 1.0
    weather: Mapping[tuple[Direction, Setting], float] = field(default_factory=dict)
    _dice: random.Random = field(init=False)
    _level: float = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._level = self.slow * (1 + self._dice.uniform(-DRIVES_DIFFER, DRIVES_DIFFER))

    def share(self, direction: Direction, setting: Setting) -> float:
        """The true share of a point's throughput in that of the model's best point."""
        found = truth(NAMED[self.model], direction)
        return found.of(setting) / found.best_bytes_per_s

    def sweep(self, direction: Direction) -> list[Measured]:
        """Measure all points of the grid; the fastest is first."""
        rates = truth(NAMED[self.model], direction).bytes_per_s.tolist()
        found = [
            self._measured(setting, rate * self.weather.get((direction, setting), 1.0), _SWEEP_NOISE)
            for setting, rate in zip(SETTINGS, rates, strict=True)
        ]
        return sorted(found, key=lambda each: -each.bytes_per_s)

    def check(self, direction: Direction, settings: Iterable[Setting]) -> dict[Setting, Measured]:
        """Measure a few points in rounds."""
        table = truth(NAMED[self.model], direction)
        return {each: self._median_of_rounds(each, table.of(each)) for each in settings}

    def _median_of_rounds(self, setting: Setting, rate: float) -> Measured:
        rounds = [self._measured(setting, rate, _ROUND_NOISE) for _ in range(FEW_ROUNDS)]
        middle = median(each.bytes_per_s for each in rounds)
        return Measured(setting, middle, middle * (1 - _WIDTH), middle * (1 + _WIDTH))

    def _measured(self, setting: Setting, rate: float, noise: float) -> Measured:
        found = rate * self._level * (1 + self._dice.gauss(0, noise))
        return Measured(setting, found, found * (1 - _WIDTH), found * (1 + _WIDTH))


def faster_challenger(
    found: Mapping[Setting, Measured], chosen: Setting, shares: Mapping[Setting, float]
) -> Setting | None:
    """Return a challenger that gains on the chosen setting more than it did where the setting is from."""
    for setting, share in shares.items():
        gain = found[setting].bytes_per_s / found[chosen].bytes_per_s / share - 1
        if setting != chosen and gain > MIN_GAIN:
            return setting
    return None
