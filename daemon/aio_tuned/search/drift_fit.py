"""A robust fit of each point's throughput and of the drive's drift over time.

The logarithm of a measured throughput is the level of its point, plus the drift at its time, plus noise. Levels and
drift are fitted together, so that a point is compared with points measured at about the same time, as in a randomised
block design (Fisher 1935) with a curve in place of the blocks. Noise has tails and second modes (a stall, garbage
collection, other I/O), so measurements far from the others of their point lose their weight (Tukey's biweight; Beaton &
Tukey 1974). Their scale is the median absolute deviation, which half of the measurements cannot move. The fitted level
is therefore the usual throughput, without the loss of the mean to stalls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

# Median absolute deviation to standard deviation, for normal noise.
_MAD_TO_SD = 1.4826
# Efficiency of the median absolute deviation, against that of the standard deviation.
_MAD_EFFICIENCY = 0.37
# Tukey's constant for 95 % efficiency under normal noise; _LOST_SQUARES scales the weighted squares accordingly.
_BIWEIGHT = 4.685
_LOST_SQUARES = 1.2
# A point that uses only a part of the drive drifts less than the drive, so this share of the drift counts as error.
_SHARE_OF_DRIFT = 0.05
# If two measurements of a point lie far apart, either may be the outlier: both count a little, which raises the error.
_MIN_WEIGHT_OF_TWO = 0.05
_MIN_WEIGHT = 0.01
# Without repeated measurements this noise is assumed, with two degrees of freedom.
GUESSED_NOISE = 0.05
GUESSED_FREEDOM = 2
# A few dozen measurements cannot show that the noise of a drive is below this.
MIN_NOISE = 1e-4
_ROUNDS = 4
# Fewer repeated measurements of a group say too little about its noise.
_MIN_GROUP = 10
# A group has two modes if more than this share of its measurements are outliers, and this many times as large a share
# as in another group.
_MODE_SHARE = 0.1
_MODE_TIMES = 3.0
# Seconds between the knots of the drift's curve, and the most knots. Shorter swings are noise.
_KNOT_S = 1.2
_MAX_KNOTS = 64
# Candidates for the standard deviation of the drift from knot to knot; cross-validation chooses one.
_WANDER = (0.0003, 0.002, 0.008, 0.03)
_MIN_REPEATS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The fitted levels, the drift and the noise.

    Each point has a `level` (the log throughput at the drive's usual level), a `weight` in measurements, and `squares`
    (its own squared deviations). `noise` is the standard deviation between measurements of one point, with `freedom`
    degrees of freedom. `group_noise` is the noise of each point's group and never below `noise`. `drift` is the log of
    the drive's level at each measurement, relative to the median. `tail` is the log distance by which the worst 5 % of
    the measurements lie below their points. `memory` is the correlation of successive deviations. `level_error` is the
    standard error of the usual level, which all points share.
    """

    level: Floats
    weight: Floats
    squares: Floats
    visits: Places
    noise: float
    group_noise: Floats
    freedom: int
    drift: Floats
    tail: float
    memory: float
    level_error: float


def _sums(place: Places, values: Floats, count: int) -> Floats:
    """Sum the values by place, for places from 0 to `count`."""
    return np.bincount(place, values, count).astype(np.float64)


def _medians(point: Places, rate: Floats, visits: Places) -> Floats:
    order = np.lexsort((rate, point))
    ordered, first = rate[order], np.cumsum(visits) - visits
    low = np.minimum(first + np.maximum(visits - 1, 0) // 2, len(rate) - 1)
    high = np.minimum(first + visits // 2, len(rate) - 1)
    found: Floats = (ordered[low] + ordered[high]) / 2
    return found


class _Drift:
    """The curve of the drift: straight lines between knots, with as little change of height as the data allow."""

    def __init__(self, point: Places, time_s: Floats, points: int) -> None:
        span_s = float(time_s.max() - time_s.min())
        self._count = count = int(np.clip(span_s / _KNOT_S, 2, _MAX_KNOTS))
        place = (time_s - time_s.min()) / max(span_s, 1e-9) * (count - 1)
        self._left = np.clip(place.astype(np.intp), 0, count - 2)
        self._share = place - self._left
        self._point, self._points = point, points
        self._penalty = 0.0
        self.freedom = 0.0
        steps = np.diff(np.eye(count), axis=0)
        self._steps = steps.T @ steps

    def _shared(self, values: Floats, row: Places, rows: int) -> Floats:
        """Sum the values by row and knot, with each value divided between the two knots around its measurement."""
        flat = row * self._count + self._left
        size = rows * self._count
        found = _sums(flat, values * (1 - self._share), size) + _sums(flat + 1, values * self._share, size)
        return found.reshape(rows, self._count)

    def at_visits(self, rate: Floats, weight: Floats, noise: float, *, choose: bool) -> Floats:
        """Return the drift at each measurement.

        The levels of the points are eliminated, so a point with a single measurement contributes nothing.
        """
        total = np.maximum(_sums(self._point, weight, self._points), 1e-12)
        mean = _sums(self._point, weight * rate, self._points) / total
        hats = self._shared(weight, self._point, self._points)
        left = self._shared(weight * (1 - self._share), self._left, self._count)
        right = self._shared(weight * self._share, self._left + 1, self._count)
        normal = left + right - hats.T @ (hats / total[:, None])
        rest = rate - mean[self._point]
        wanted = self._shared(weight * rest, np.zeros(len(rate), np.intp), 1)[0] - hats.T @ (
            _sums(self._point, weight * rest, self._points) / total
        )
        if choose:
            repeats = len(rate) - self._points
            tries = []
            for wander in _WANDER:
                heights, freedom = self._solve(normal, wanted, (noise / wander) ** 2)
                away = float((weight * rest * rest).sum() - 2 * heights @ wanted + heights @ normal @ heights)
                tries.append((away / max(repeats - freedom, 1.0) ** 2, (noise / wander) ** 2))
            self._penalty = min(tries)[1]
        heights, self.freedom = self._solve(normal, wanted, self._penalty)
        found: Floats = heights[self._left] * (1 - self._share) + heights[self._left + 1] * self._share
        found -= np.median(found)
        return found

    def _solve(self, normal: Floats, wanted: Floats, penalty: float) -> tuple[Floats, float]:
        """Return the heights of the knots and their effective degrees of freedom (Craven & Wahba 1978)."""
        whole = normal + penalty * self._steps + 1e-6 * np.eye(self._count)
        solved = np.linalg.solve(whole, np.column_stack((wanted, normal))).astype(np.float64)
        return solved[:, 0], float(np.trace(solved[:, 1:]))


def _group_noise(noise: float, group: Places, of_visit: Places, deviations: Floats) -> Floats:
    """Return the noise of each point, which is the noise of its group but never below that of all points.

    `group` has the group of each point, and `of_visit` the group of each repeated measurement in `deviations`. A group
    with far more outliers than another has two modes. Consumers get the mean of both modes, so neither is an outlier.
    If all groups have outliers, as from garbage collection, these do not distinguish points.
    """
    found = np.full(len(group), noise)
    sizes = {each: np.abs(deviations[of_visit == each]) for each in np.unique(group).tolist()}
    known = {each: mine for each, mine in sizes.items() if len(mine) >= _MIN_GROUP}
    shares = {each: float((mine > _BIWEIGHT * noise).mean()) for each, mine in known.items()}
    for each, mine in known.items():
        spread = float(_MAD_TO_SD * np.median(mine))
        if shares[each] > max(_MODE_SHARE, _MODE_TIMES * min(shares.values())):
            spread = max(spread, float(np.sqrt((mine**2).mean())))
        found[group == each] = max(noise, spread)
    return found


def fit(point: Places, time_s: Floats, rate: Floats, group: Places) -> Fit:
    """Fit measurements, oldest first, each with its point, time in seconds and log throughput.

    `group` has the group of each point, since one group may be noisier than another: a single thread that moves between
    two cores has two modes, and with the noise of all points its fast mode would win by chance. A point without a
    measurement gets the level nan and no weight.
    """
    points = len(group)
    visits = np.bincount(point, minlength=points)
    seen = visits > 0
    several = visits[point] > 1
    repeats = int((visits[seen] - 1).sum())
    weight: Floats = np.ones(len(rate))
    drift: Floats = np.zeros(len(rate))
    curve = _Drift(point, time_s, points) if repeats >= _MIN_REPEATS else None
    widened = np.sqrt(visits[point] / np.maximum(visits[point] - 1, 1))
    least = np.where(visits[point] > 2, _MIN_WEIGHT, _MIN_WEIGHT_OF_TWO)  # noqa: PLR2004 - two have no middle
    level, noise = _medians(point, rate, visits), GUESSED_NOISE
    spread: Floats = np.full(points, GUESSED_NOISE)
    away = rate - level[point]
    for number in range(_ROUNDS):
        if repeats:
            noise = max(float(_MAD_TO_SD * np.median(np.abs(away * widened)[several])), MIN_NOISE)
            spread = _group_noise(noise, group, group[point[several]], (away * widened)[several])
            far = np.minimum(np.abs(away) / (_BIWEIGHT * spread[point]), 1)
            weight = np.where(several, np.maximum((1 - far**2) ** 2, least), 1.0)
        if curve is not None:
            drift = curve.at_visits(rate, weight, noise, choose=number < _ROUNDS - 1)
        total = _sums(point, weight, points)
        level = _sums(point, weight * (rate - drift), points) / np.maximum(total, 1e-12)
        away = rate - drift - level[point]
    level[~seen] = np.nan
    tail, memory = 0.0, 0.0
    if repeats >= 20:  # noqa: PLR2004 - a twentieth of fewer is less than one
        tail = max(0.0, -float(np.quantile((away * widened)[several], 0.05)))
        memory = _memory(away[several])
    return Fit(
        level=level,
        weight=total,
        squares=_LOST_SQUARES * _sums(point, weight * away**2, points),
        visits=visits,
        noise=noise if repeats else 0.0,
        group_noise=_group_noise(noise, group, group[point[several]], (away * widened)[several]) if repeats else spread,
        freedom=int(_MAD_EFFICIENCY * repeats),
        drift=drift,
        tail=tail,
        memory=memory,
        level_error=math.hypot(
            noise * math.sqrt(curve.freedom / len(rate)) if curve is not None else 0.0,
            _SHARE_OF_DRIFT * float(drift.std()),
        ),
    )


def _memory(away: Floats) -> float:
    """Return the rank correlation of successive deviations, which a few stalls cannot cause."""
    ranks = np.argsort(np.argsort(away)).astype(np.float64)
    if len(ranks) < 3 or np.ptp(away) == 0:  # noqa: PLR2004 - two are one pair
        return 0.0
    return float(np.corrcoef(ranks[:-1], ranks[1:])[0, 1])
