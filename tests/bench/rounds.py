"""The value of each setting, and the loss of choosing it, from rounds of measurements of the same settings. Pure.

`logs` is always the natural logarithm of bytes/s, one row a round and one column a point. A drive that drifts moves a
whole round: the median over its points is the round's level, and a point is what it has above that.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Logs = NDArray[np.float64]

# What one round would have chosen is judged by the other three, and in each the best by the two that are left.
MIN_ROUNDS = 4
# The standard error of a standard error from this many is 1 / sqrt(2 * 200), 5 %.
_RESAMPLES = 200
# Two points are alike if they differ by no more than this.
ALIKE = 0.01


def levels(logs: Logs) -> Logs:
    """The level of each round."""
    found: Logs = np.median(logs, axis=1)
    return found


def above(logs: Logs) -> Logs:
    """What each visit has above its round's level."""
    return logs - levels(logs)[:, None]


def values(logs: Logs) -> Logs:
    """The value of each point: the median over the rounds of what it has above the level."""
    found: Logs = np.median(above(logs), axis=0)
    return found


def _regrets(high: Logs, drawn: NDArray[np.int64]) -> Logs:
    """regrets() of the rounds drawn, of which `high` is what above() says; a round may be drawn more than once."""
    lost = np.empty_like(high)
    for row in np.unique(drawn):
        best = int(np.argmax(np.median(high[drawn[drawn != row]], axis=0)))
        lost[row] = high[row, best] - high[row]
    found: Logs = np.median(lost[drawn], axis=0)
    return found


def regrets(logs: Logs) -> Logs:
    """What each point loses against the best one, as a difference of logarithms: the median over the rounds.

    The highest of many noisy values is too high. So for each round the best point is found in all others, and what it
    has in this one owes nothing to having been found. A point that is better has less than 0.
    """
    return _regrets(above(logs), np.arange(len(logs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its standard error, both relative (0.01: one percent)."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.2%} ± {self.error:.2%}"


def _share(logs: Any) -> Any:  # noqa: ANN401 - a number or an array, as given
    """What is lost, of what the best has."""
    return -np.expm1(-logs)


class Reference:
    """What the rounds say. Standard errors are by the bootstrap over the rounds (Efron 1979)."""

    def __init__(self, logs: Logs) -> None:
        if len(logs) < MIN_ROUNDS:
            raise ValueError(f"{len(logs)} rounds: at least {MIN_ROUNDS} are needed")
        self.logs = logs
        self.levels, self.values, self.regrets = levels(logs), values(logs), _share(regrets(logs))
        drawn = np.random.default_rng(0).integers(len(logs), size=(_RESAMPLES, len(logs)))
        drawn = drawn[np.ptp(drawn, axis=1) > 0]  # one round alone has no others
        high = above(logs)
        self.value_errors = np.median(high[drawn], axis=1).std(axis=0)
        self._again = _share(np.array([_regrets(high, each) for each in drawn]))

    def regret(self, at: int) -> Estimate:
        """What the point at that place loses."""
        return Estimate(value=float(self.regrets[at]), error=float(self._again[:, at].std()))

    def mean_regret(self, chosen: Sequence[int]) -> Estimate:
        """What the points lose on average; they are all held against the same reference, and err with it."""
        places = list(chosen)
        error = float(self._again[:, places].mean(axis=1).std())
        return Estimate(value=float(self.regrets[places].mean()), error=error)

    def below_highest(self, chosen: Sequence[int]) -> float:
        """What the points are on average below the highest value, which is too high: more than they lose."""
        return float(_share(self.values.max() - self.values[list(chosen)]).mean())

    def alike(self, one: int, other: int) -> bool:
        """Whether the two differ by no more than a percent."""
        return bool(abs(self.values[one] - self.values[other]) <= np.log1p(ALIKE))


def pairs(chosen: Sequence[int]) -> list[tuple[int, int]]:
    """Every pair of choices."""
    return list(itertools.combinations(chosen, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """DeepSpeed's rule, one visit a point and the highest wins: what each round would have chosen and lost."""

    chosen: tuple[int, ...]
    regrets: tuple[float, ...]

    @property
    def mean_regret(self) -> Estimate:
        """What they lose on average; the error is by their scatter, and the reference's own is not in it."""
        error = statistics.stdev(self.regrets) / len(self.regrets) ** 0.5
        return Estimate(value=statistics.fmean(self.regrets), error=error)


def single_visits(logs: Logs) -> Single:
    """Each round as a sweep of its own, held against all others."""
    chosen = tuple(int(place) for place in np.argmax(logs, axis=1))
    lost = [_share(regrets(np.delete(logs, row, axis=0)))[place] for row, place in enumerate(chosen)]
    return Single(chosen=chosen, regrets=tuple(float(share) for share in lost))
