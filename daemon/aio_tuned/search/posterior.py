"""The joint posterior of the points' true throughputs, and the shortfall of each point below the best.

Throughput changes smoothly with the logarithms of block size, depth and threads, so the neighbours of a point carry
information about it, as in a Gaussian process (Rasmussen & Williams 2006, chapter 2). The smoothness of a drive's
surface and the deviation of single points from it are unknown. A mixture of processes, each weighted by the likelihood
of the measurements (chapter 5), keeps this uncertainty: on a simulated drive, the single most likely process claimed a
shortfall of 0.6 % where 13.7 % was true. The draws from the mixture are joint, so errors that all points share cancel
in the differences. Each draw has a best point and a shortfall of every other point. The probability of a shortfall
below a limit is the share of draws below the limit.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio_tuned.search.drift_fit import GUESSED_NOISE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.curve import Curve, PointStats
    from aio_tuned.model.measurement import Phase
    from aio_tuned.model.setting import Setting

    Floats = NDArray[np.float64]

# Length scales: doublings of a size or a count, then one change of overlap_events, then one of single_submit.
_REACHES = ((1.5, 1.0, 1.0), (3.0, 2.0, 4.0))
# Standard deviations of the surface (of logarithms), with prior weights, and of a point's own deviation from it.
_SWINGS = ((0.006, 0.1), (0.02, 0.35), (0.06, 0.35), (0.18, 0.2))
_OWN = (0.0005, 0.003, 0.012, 0.04)
# A process with a smaller weight than this is left out.
_MIN_WEIGHT = 0.02
# Fewer points do not determine a surface.
_FEWEST = 6
# A point with so few measurements may have met a slow mode by chance. Its error is inflated if the prediction from the
# other points deviates by this many standard deviations.
_FEW_VISITS = 2
_ODD = 3.0
# Points further below the top than this share and the noise cannot be the best and are left out, since a slope says
# little about a plateau. At most _MAX_POINTS remain, since the time grows with the third power of their number.
_PLATEAU = 0.05
_PLATEAU_NOISES = 3.0
_UNSURE = 2.5
_MAX_POINTS = 160
# With this many degrees of freedom, the 99 % quantile of Student's t is within 1 % of the normal one.
_NORMAL = 200.0
_MIN_FREEDOM = 4.0
# The probability of a 95 % quantile of this many draws has a standard error of 0.8 %.
DRAWS = 800


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """Draws of the true log throughputs of the points that may be the best, and of the default.

    `points` has the order of the columns. `mean` holds the means of the logarithms, `draws` one row for each draw, and
    `shortfall` the log distance of each point below the best of its draw (0 for the best). `reference` is the point of
    the default, which is one of `points`; None if it was not measured.
    """

    points: tuple[PointStats, ...]
    reference: PointStats | None
    mean: Floats
    draws: Floats
    shortfall: Floats

    def place(self, setting: Setting) -> int | None:
        """Return the column of the setting's point; None if the point was left out or not measured."""
        columns = (column for column, point in enumerate(self.points) if setting in point.point.aliases)
        return next(columns, None)

    @property
    def default(self) -> int | None:
        """The column of the default; None if it was not measured."""
        return None if self.reference is None else self.place(self.reference.point.setting)

    def within(self, tolerance: float) -> Floats:
        """Return the probability of each point to be at most `tolerance` (a share) below the best."""
        chances: Floats = (self.shortfall <= -math.log1p(-tolerance)).mean(0)
        return chances

    def quantile(self, column: int, confidence: float = 0.95) -> float:
        """Return the largest shortfall of the point with that confidence, as a share of the best."""
        return float(-np.expm1(-np.quantile(self.shortfall[:, column], confidence)))

    def expected(self) -> Floats:
        """Return the expected shortfall of each point, as a share of the best."""
        shares: Floats = -np.expm1(-self.shortfall).mean(0)
        return shares

    def best_chances(self) -> Floats:
        """Return the probability of each point to be the best."""
        chances: Floats = np.bincount(self.draws.argmax(1), minlength=len(self.points)) / len(self.draws)
        return chances


class _Process(NamedTuple):
    """One Gaussian process of the mixture: its prior covariance, and the logarithm of its evidence."""

    log_evidence: float
    prior: Floats


def _coordinates(settings: Sequence[Setting]) -> Floats:
    return np.array(
        [
            (
                math.log2(setting.block_size),
                math.log2(setting.queue_depth),
                math.log2(setting.io_parallelism),
                setting.overlap_events,
                setting.single_submit,
            )
            for setting in settings
        ],
        dtype=np.float64,
    )


@lru_cache(maxsize=16)
def _likenesses(settings: tuple[Setting, ...]) -> tuple[Floats, ...]:
    """Return the correlation of each pair of points, for each reach."""
    places = _coordinates(settings)
    found = []
    for sizes, overlap, single in _REACHES:
        scaled = places / np.array([sizes, sizes, sizes, overlap, single])
        found.append(np.exp(-0.5 * ((scaled[:, None, :] - scaled[None, :, :]) ** 2).sum(-1)))
    return tuple(found)


def _processes(settings: tuple[Setting, ...], values: Floats, variances: Floats) -> list[tuple[float, Floats]]:
    """Return the prior covariances of the mixture with weights that add up to 1.

    The mean has a flat prior and is integrated out (Rasmussen & Williams, 2.7).
    """
    count = len(values)
    identity = np.eye(count)
    both = np.column_stack((values, np.ones(count)))
    found: list[_Process] = []
    for like in _likenesses(settings):
        for swing, weight in _SWINGS:
            for own in _OWN:
                if own > swing:
                    continue
                prior = swing**2 * like + own**2 * identity
                whole = prior + np.diag(variances)
                half = float(np.log(np.diag(np.linalg.cholesky(whole))).sum())
                solved = np.linalg.solve(whole, both)
                precision = float(solved[:, 1].sum())
                mean = float(solved[:, 0].sum()) / precision
                fit = float((values - mean) @ (solved[:, 0] - mean * solved[:, 1]))
                found.append(_Process(math.log(weight) - 0.5 * fit - half - 0.5 * math.log(precision), prior))
    top = max(each.log_evidence for each in found)
    weights = np.exp([each.log_evidence - top for each in found])
    weights /= weights.sum()
    kept = [(float(weight), each.prior) for weight, each in zip(weights, found, strict=True) if weight > _MIN_WEIGHT]
    total = sum(weight for weight, _ in kept)
    return [(weight / total, prior) for weight, prior in kept]


def _conditioned(prior: Floats, values: Floats, variances: Floats, odd: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the mean and the covariance of the true values, given the measured ones.

    `odd` marks points with few measurements, whose variance is inflated if the other points contradict them.
    """
    count = len(values)
    ones = np.ones(count)
    inverse = np.linalg.inv(prior + np.diag(variances)).astype(np.float64)

    def centre(inverse: Floats) -> float:
        summed = inverse.sum(0)
        return float(summed @ values) / float(summed.sum())

    # Each point is predicted from all others: Rasmussen & Williams, equations 5.10 to 5.12.
    own = np.diag(inverse)
    apart = inverse @ (values - centre(inverse)) / own
    contradicted = odd & (np.abs(apart) > _ODD / np.sqrt(own))
    if contradicted.any():
        inflated = np.where(contradicted, variances + apart**2, variances)
        inverse = np.linalg.inv(prior + np.diag(inflated)).astype(np.float64)
    gain = prior @ inverse
    unexplained = ones - gain @ ones
    mean = centre(inverse) + gain @ (values - centre(inverse))
    covariance = prior - gain @ prior + np.outer(unexplained, unexplained) / float(inverse.sum())
    return mean, (covariance + covariance.T) / 2


def _tails(rng: np.random.Generator, freedom: float, count: int) -> Floats:
    """Return a factor for each draw that turns a normal deviation into one of Student's t."""
    if freedom >= _NORMAL:
        return np.ones(count)
    factors: Floats = np.sqrt(freedom / rng.chisquare(freedom, count))
    return factors


def _mixture(
    settings: tuple[Setting, ...],
    values: Floats,
    errors: Floats,
    odd: NDArray[np.bool_],
    freedom: float,
    count: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return the means of the posterior and at least `count` joint draws."""
    if len(values) < _FEWEST:
        deviations = rng.standard_normal((count, len(values))) * errors
        return values.copy(), values + deviations * _tails(rng, freedom, count)[:, None]
    means, draws = np.zeros(len(values)), []
    for weight, prior in _processes(settings, values, errors**2):
        mean, covariance = _conditioned(prior, values, errors**2, odd)
        spread, directions = np.linalg.eigh(covariance)
        some = max(1, round(weight * count))
        deviations = (rng.standard_normal((some, len(values))) * np.sqrt(np.maximum(spread, 0))) @ directions.T
        draws.append(mean + deviations * _tails(rng, freedom, some)[:, None])
        means += weight * mean
    return means, np.concatenate(draws)


def _always(points: Sequence[PointStats], reference: PointStats | None, also: Sequence[Setting]) -> list[int]:
    """Return the indices of the points that take part whatever their throughput.

    The default takes part because it is the fallback and the limit of the choice. The settings in `also` take part so
    that one slow measurement does not drop a setting to keep.
    """
    wanted = {*also, *((reference.point.setting,) if reference else ())}
    return [place for place, point in enumerate(points) if not wanted.isdisjoint(point.point.aliases)]


def posterior(phase: Phase, curve: Curve, also: Sequence[Setting] = (), count: int = DRAWS) -> Posterior | None:
    """Return the posterior of the curve with at least `count` draws; None if the curve has no points.

    Points that can hardly be the best are left out, except for the default and the settings in `also`. Equal curves
    give equal draws.
    """
    points = curve.points
    reference = curve.reference
    if reference is not None and not any(reference.point.setting in point.point.aliases for point in points):
        points = (*points, reference)
    if not curve.points:
        return None
    level = np.log([point.bytes_per_s for point in points])
    error = np.array([point.error for point in points])
    top = float(np.sort(level)[-min(5, len(level))])
    noise = curve.noise or GUESSED_NOISE
    near = (level > top - _PLATEAU - _PLATEAU_NOISES * noise) | (level + _UNSURE * error > top - _PLATEAU / 5)
    places = np.flatnonzero(near)
    if len(places) > _MAX_POINTS:
        highest = np.argsort(-(level + error)[places], kind="stable")[:_MAX_POINTS]
        places = np.sort(places[highest])
    places = np.union1d(places, np.array(_always(points, reference, also), dtype=np.intp))
    found = tuple(points[place] for place in places.tolist())
    freedom = max(_MIN_FREEDOM, float(np.median([point.freedom for point in found])))
    name = f"{phase.seed}/{phase.direction}/{phase.stage}/{sum(point.visits for point in curve.points)}"
    mean, draws = _mixture(
        tuple(point.point.setting for point in found),
        level[places],
        error[places],
        np.array([point.visits <= _FEW_VISITS for point in found]),
        freedom,
        count,
        np.random.default_rng(zlib.crc32(name.encode())),
    )
    return Posterior(points=found, reference=reference, mean=mean, draws=draws, shortfall=draws.max(1)[:, None] - draws)
