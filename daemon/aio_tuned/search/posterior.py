"""The joint posterior of the points' true throughputs, and how far each may be below the best.

Throughput changes smoothly with the logarithms of block size, depth and threads, so a point's neighbours carry
information about it: a Gaussian process (Rasmussen & Williams 2006, chapter 2). How smooth a drive's surface is, and
how far single points deviate from it, is not known: a mixture of processes, each weighted by how likely it makes the
measurements (chapter 5), keeps that doubt, where the one most likely process claimed 0.6 % and was 13.7 % off on a
simulated drive. Draws from the mixture are joint: errors that all points share cancel in their differences. In each
draw the best point is known, and with it the shortfall of every point; the chance that a shortfall is below some limit
is the share of the draws in which it is.
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

# Length scales: doublings of a size or a count, a switch of overlap_events, of single_submit.
_REACHES = ((1.5, 1.0, 1.0), (3.0, 2.0, 4.0))
# Standard deviations of the surface, as logarithms, with their prior weights; and of a point's own deviation from it.
_SWINGS = ((0.006, 0.1), (0.02, 0.35), (0.06, 0.35), (0.18, 0.2))
_OWN = (0.0005, 0.003, 0.012, 0.04)
# A process with a smaller weight than this is left out.
_MIN_WEIGHT = 0.02
# Fewer points say nothing of a surface.
_FEWEST = 6
# A point visited this seldom may have met a slow mode; it is inflated if the others put it this many of its standard
# deviations elsewhere.
_FEW_VISITS = 2
_ODD = 3.0
# Points further below the top than this share and the noise cannot be the best, and are left out: a slope says little
# of a plateau. So are all but the highest of a plateau: the time grows with the third power of their number.
_PLATEAU = 0.05
_PLATEAU_NOISES = 3.0
_UNSURE = 2.5
_MAX_POINTS = 160
# Student's t of this many degrees of freedom is normal to 1 % of its 99 % quantile.
_NORMAL = 200.0
_MIN_FREEDOM = 4.0
# A 95 % quantile of this many draws has a standard error of 0.8 % of the probability.
DRAWS = 800


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """Draws of the true log throughputs of the points that may be the best, and of the default's.

    `points` has them in the order of the columns, `mean` the means of their logarithms, `draws` one row a draw, and
    `shortfall` how far below the best of its draw each is, as a logarithm (0 is the best itself). `reference` is the
    default's point, one of them; None if it was not measured.
    """

    points: tuple[PointStats, ...]
    reference: PointStats | None
    mean: Floats
    draws: Floats
    shortfall: Floats

    def place(self, setting: Setting) -> int | None:
        """Return the column of the setting's point; None if the point was left out, or not measured."""
        columns = (column for column, point in enumerate(self.points) if setting in point.point.aliases)
        return next(columns, None)

    @property
    def default(self) -> int | None:
        """The column of the default's point; None if it was not measured."""
        return None if self.reference is None else self.place(self.reference.point.setting)

    def within(self, tolerance: float) -> Floats:
        """Return each point's probability of being at most `tolerance` (a share) below the best."""
        chances: Floats = (self.shortfall <= -math.log1p(-tolerance)).mean(0)
        return chances

    def quantile(self, column: int, confidence: float = 0.95) -> float:
        """Return the share of the best by which the point falls short at the most, with that confidence."""
        return float(-np.expm1(-np.quantile(self.shortfall[:, column], confidence)))

    def expected(self) -> Floats:
        """Return each point's expected shortfall, as a share of the best."""
        shares: Floats = -np.expm1(-self.shortfall).mean(0)
        return shares

    def best_chances(self) -> Floats:
        """Return each point's probability of being the best."""
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
    """Return the prior covariances of the mixture with their weights, which add up to 1.

    The mean has a flat prior, and is integrated out (Rasmussen & Williams, 2.7).
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
    """Return the mean and the covariance of the true values, given the measured ones."""
    count = len(values)
    ones = np.ones(count)
    inverse = np.linalg.inv(prior + np.diag(variances)).astype(np.float64)

    def centre(inverse: Floats) -> float:
        summed = inverse.sum(0)
        return float(summed @ values) / float(summed.sum())

    # The prediction for each point from all others: Rasmussen & Williams, equations 5.10 to 5.12.
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


def _tails(dice: np.random.Generator, freedom: float, count: int) -> Floats:
    """Return a factor for each draw that turns a normal deviation into one of Student's t."""
    if freedom >= _NORMAL:
        return np.ones(count)
    factors: Floats = np.sqrt(freedom / dice.chisquare(freedom, count))
    return factors


def _mixture(
    settings: tuple[Setting, ...],
    values: Floats,
    errors: Floats,
    odd: NDArray[np.bool_],
    freedom: float,
    count: int,
    dice: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return the posterior's means, and at least `count` joint draws."""
    if len(values) < _FEWEST:
        deviations = dice.standard_normal((count, len(values))) * errors
        return values.copy(), values + deviations * _tails(dice, freedom, count)[:, None]
    means, draws = np.zeros(len(values)), []
    for weight, prior in _processes(settings, values, errors**2):
        mean, covariance = _conditioned(prior, values, errors**2, odd)
        spread, directions = np.linalg.eigh(covariance)
        some = max(1, round(weight * count))
        deviations = (dice.standard_normal((some, len(values))) * np.sqrt(np.maximum(spread, 0))) @ directions.T
        draws.append(mean + deviations * _tails(dice, freedom, some)[:, None])
        means += weight * mean
    return means, np.concatenate(draws)


def _always(points: Sequence[PointStats], reference: PointStats | None, also: Sequence[Setting]) -> list[int]:
    """Return the indices of the points that take part whatever their figures are.

    What may be below the default is not chosen, so that the default must be there to be chosen itself; and a setting to
    keep must not be dropped for one unlucky visit.
    """
    wanted = {*also, *((reference.point.setting,) if reference else ())}
    return [place for place, point in enumerate(points) if not wanted.isdisjoint(point.point.aliases)]


def posterior(phase: Phase, curve: Curve, also: Sequence[Setting] = (), count: int = DRAWS) -> Posterior | None:
    """Return the posterior of the curve's points, with `count` draws or a few more; None if there are no points.

    Points that can hardly be the best are left out, but for the default and the settings in `also`. The same curve
    gives the same draws.
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
