"""A smooth model of the throughput over the request size and the requests in flight, and its fit.

A request takes a latency alone, and the drive (or the thread that submits) passes a limited number a second. By
Little's law the time between two completions is the latency divided by the number in flight, or the time that the
bottleneck takes, with a soft bend between the two. Latency and bottleneck are a time plus the bytes over a speed, with
deviations that change smoothly with the size, so each size learns from all others. A Gaussian process over the
doublings of size and number in flight takes what the curve does not explain, such as the cost of many threads. The
sharpness of the bend and the sizes of the deviations are those under which the measurements are likeliest.

Successive fits need no state: equal measurements give equal fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio_tuned.search import curve_spells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

# The sharpness of the bend: 1 is a queue with random service, above 4 the bend is sharp.
_BENDS = (0.7, 1.0, 1.5, 2.2, 3.3, 5.0)
_USUAL_BEND, _BEND_SPREAD = math.log(3.0), 0.7
# The prior of the logarithms of the two times and the two speeds: their spread around the guess.
_GUESS_SPREAD = 1.5
# The deviations of latency and bottleneck over the sizes: amplitudes of their logarithms, and a length in doublings.
_DEVIATIONS = (0.02, 0.1, 0.4)
_DEVIATION_LENGTH = 2.0
_OWN_DEVIATION = 0.002
# The time that the start of a transfer loses, relative to its first request, alone: the logarithm and its spread.
_USUAL_START, _START_SPREAD = 0.0, 0.25
_USUAL_WAKE, _WAKE_SPREAD = math.log(12e-6), 0.5
_MAX_START = 0.4
_STEPS, _EQUAL_STEPS = 12, 8
_FIRST_SCALE, _MIN_SCALE = 0.05, 0.015
# Measurements far off count less, as those of Student's distribution with that many degrees of freedom.
_FREEDOM = 4.0
# The process: its amplitudes and lengths in doublings, and the noise of a measurement; the likeliest pair is taken.
_AMPLITUDES = (0.003, 0.01, 0.03)
_NOISES = (0.003, 0.006, 0.012, 0.025, 0.05, 0.1)
_SIZE_LENGTH, _LEVEL_LENGTH = 1.5, 1.3
# A prior of the noise, which prevails while there are few measurements: the logarithms' mean and spread.
_USUAL_NOISE, _NOISE_SPREAD = math.log(0.01), 1.0


class Seen(NamedTuple):
    """A measurement: the size's place in the list of sizes, log2 of the number in flight, and bytes per second.

    `transfer_s` is the time of each of its transfers, and `at_s` the time when it ended.
    """

    size: int
    level: int
    bytes_per_s: float
    transfer_s: float
    at_s: float = 0.0


class Guess(NamedTuple):
    """What is expected before the first measurement: the latency of a small request, and the highest throughput."""

    latency_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeModel:
    """The fitted model: the mean of the logarithm of bytes/s by size and level, and its covariances in each size."""

    log_rate: Floats
    covariance: Floats

    def error(self, size: int, level: int) -> float:
        """Return the standard error of the logarithm at a size and level."""
        return math.sqrt(max(0.0, float(self.covariance[size, level, level])))

    def rate(self, size: int, level: int) -> float:
        """Return the expected bytes per second at a size and level."""
        return math.exp(float(self.log_rate[size, level]))

    def draws(self, size: int, levels: int, count: int) -> Floats:
        """Return draws of the logarithms of the first `levels` levels of one size, a row each; equal in each call."""
        covariance = self.covariance[size, :levels, :levels]
        values, vectors = np.linalg.eigh(covariance)
        random = np.random.default_rng(1).standard_normal((count, levels))
        drawn: Floats = self.log_rate[size, :levels] + random * np.sqrt(np.maximum(values, 0)) @ vectors.T
        return drawn


class _Points(NamedTuple):
    """Points of the curve: all sizes, and for each point the size's place, the level and the time of a transfer.

    Requests longer than `split_bytes` reach the drive in several. With `threads` each request in flight has a thread,
    and the threads wake each other at the start of a transfer.
    """

    sizes: Floats
    place: Places
    level: Floats
    transfer_s: Floats
    split_bytes: int
    threads: bool


def fit(
    sizes: Sequence[int], levels: int, seen: Sequence[Seen], guess: Guess, split_bytes: int, *, threads: bool
) -> SizeModel:
    """Return the model of the measurements on the grid of the sizes and the first `levels` powers of two in flight.

    Requests longer than `split_bytes` reach the drive in several. With `threads` each in flight has a thread.
    """
    points = _Points(
        sizes=np.array(sizes, dtype=np.float64),
        place=np.array([one.size for one in seen], dtype=np.intp),
        level=np.array([one.level for one in seen], dtype=np.float64),
        transfer_s=np.array([one.transfer_s for one in seen], dtype=np.float64),
        split_bytes=split_bytes,
        threads=threads,
    )
    log_rate = np.log(np.array([one.bytes_per_s for one in seen], dtype=np.float64))
    priors = [_Prior(points.sizes, guess, deviation) for deviation in _DEVIATIONS]
    bent = _best(points, log_rate, priors)
    if seen:
        block = curve_spells.blocks(np.array([one.at_s for one in seen]))
        cell = points.place * levels + points.level.astype(np.intp)
        lost = curve_spells.lost(cell, block, log_rate, bent.strain(points))
        if lost.any():
            log_rate = log_rate - lost
            bent = _best(points, log_rate, priors)
    return _with_process(points, log_rate, bent, levels)


def _best(points: _Points, log_rate: Floats, priors: Sequence[_Prior]) -> _Bent:
    """Return the likeliest of the fits with each size of the deviations and each sharpness of the bend."""
    found = [_bent(points, log_rate, prior, bend) for prior in priors for bend in _BENDS]
    return min(found, key=lambda one: one.cost)


class _Prior:
    """The prior of the values.

    They are the logarithms of the times of latency and bottleneck, of their speeds, their deviations by size, and last
    what the start of a transfer loses: the time of waking a thread, and that without data relative to a request alone.
    """

    def __init__(self, sizes: Floats, guess: Guess, deviation: float) -> None:
        count = len(sizes)
        doublings = np.log2(sizes)
        kernel = np.exp(-(((doublings[:, None] - doublings[None, :]) / _DEVIATION_LENGTH) ** 2) / 2)
        own = np.linalg.inv(deviation**2 * kernel + _OWN_DEVIATION**2 * np.eye(count))
        self.precision = np.zeros((6 + 2 * count, 6 + 2 * count))
        self.precision[:4, :4] = np.eye(4) / _GUESS_SPREAD**2
        self.precision[4 : 4 + count, 4 : 4 + count] = own
        self.precision[4 + count : -2, 4 + count : -2] = own
        self.precision[-2:, -2:] = np.diag([_WAKE_SPREAD**-2, _START_SPREAD**-2])
        # A request that is alone moves its bytes at less than the speed of the drive.
        speed = math.log(guess.bytes_per_s)
        self.mean = np.concatenate(
            [np.log([guess.latency_s, 3e-6]), [speed - 0.3, speed], np.zeros(2 * count), [_USUAL_WAKE, _USUAL_START]]
        )
        self.log_det = float(np.linalg.slogdet(self.precision)[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bent:
    """A fit of the curve with one sharpness of the bend and one size of the deviations.

    `cost` is the negative logarithm of its evidence.
    """

    bend: float
    values: Floats
    covariance: Floats
    weights: Floats
    cost: float

    def curve(self, points: _Points) -> tuple[Floats, Floats]:
        return _curve(self.values, self.bend, points)

    def strain(self, points: _Points) -> Floats:
        """Return how much the bottleneck, rather than the latency, decides about each point."""
        slopes = self.curve(points)[1]
        strain: Floats = -slopes[np.arange(len(points.place)), 4 + len(points.sizes) + points.place]
        return strain


def _curve(values: Floats, bend: float, points: _Points) -> tuple[Floats, Floats]:
    """Return the curve's logarithms of bytes/s at the points, and their derivatives by the values.

    Transfers that take infinite time lose nothing by their start.
    """
    sizes, place, level, transfer_s, split_bytes, threads = points
    count = len(sizes)
    moved = np.log(sizes)[None, :] - values[2:4, None]
    plain = np.logaddexp(values[:2, None], moved)
    timed = np.exp(values[:2, None] - plain)
    logs = plain + values[4:-2].reshape(2, count)
    waiting, bottleneck = logs[0, place] - level * math.log(2), logs[1, place]
    between = np.logaddexp(bend * waiting, bend * bottleneck) / bend
    part = np.exp(bend * (waiting - between))
    rows = np.arange(len(place))
    slopes = np.zeros((len(place), 6 + 2 * count))
    for kind, share in enumerate((part, 1 - part)):
        slopes[:, kind] = -share * timed[kind, place]
        slopes[:, 2 + kind] = share * (1 - timed[kind, place])
        slopes[rows, 4 + kind * count + place] = -share
    # The first requests, or their first pieces, take as long as one that is alone, and no data arrive before. A
    # transfer of one request at a time waits for each of them anyway.
    piece = np.minimum(sizes, split_bytes)
    near = np.minimum(np.arange(count), max(0, int(np.searchsorted(sizes, split_bytes, side="right")) - 1))
    plain_first = np.logaddexp(values[0], np.log(piece) - values[2])
    first = np.exp(values[-1] + plain_first + values[4 : 4 + count][near])[place]
    start = first * (1 - 2.0**-level)
    # As many threads as there are requests wake each other in the steps of a tree.
    wake = math.exp(values[-2]) * (level + 1) * (level > 0) if threads else np.zeros(len(level))
    lost = np.minimum((start + wake) / transfer_s, _MAX_START)
    by_start, by_wake = -start / transfer_s / (1 - lost), -wake / transfer_s / (1 - lost)
    by_time = np.exp(values[0] - plain_first)[place]
    slopes[:, 0] += by_start * by_time
    slopes[:, 2] -= by_start * (1 - by_time)
    slopes[rows, 4 + near[place]] += by_start
    slopes[:, -2], slopes[:, -1] = by_wake, by_start
    return np.log(sizes)[place] - between + np.log1p(-lost), slopes


def _bent(points: _Points, log_rate: Floats, prior: _Prior, bend: float) -> _Bent:
    """Fit the curve by damped Gauss-Newton steps with weights that discount measurements far off."""
    values, count = prior.mean.copy(), len(points.place)
    weights: Floats = np.ones(count)
    scale = _FIRST_SCALE
    for step in range(_STEPS):
        rate, slopes = _curve(values, bend, points)
        rest = log_rate - rate
        # The first steps, from a guess that may be far off, discount nothing.
        if count and step >= _EQUAL_STEPS:
            scale = max(_MIN_SCALE, 1.4826 * float(np.median(np.abs(rest))))
            weights = (_FREEDOM + 1) / (_FREEDOM + (rest / scale) ** 2)
        weighted = slopes.T * (weights / scale**2)
        left = weighted @ slopes + prior.precision
        right = weighted @ rest + prior.precision @ (prior.mean - values)
        values = values + np.clip(np.linalg.solve(left, right), -1.0, 1.0)
    rate, slopes = _curve(values, bend, points)
    # All fits are compared with one scale of the noise, so that the costs differ by the fit alone.
    rest = (log_rate - rate) / _MIN_SCALE
    weights = (_FREEDOM + 1) / (_FREEDOM + rest**2)
    weighted = slopes.T * (weights / _MIN_SCALE**2)
    precision = weighted @ slopes + prior.precision
    off = values - prior.mean
    cost = (_FREEDOM + 1) / 2 * float(np.sum(np.log1p(rest**2 / _FREEDOM))) + float(off @ prior.precision @ off) / 2
    cost += (float(np.linalg.slogdet(precision)[1]) - prior.log_det) / 2
    cost += ((math.log(bend) - _USUAL_BEND) / _BEND_SPREAD) ** 2 / 2
    return _Bent(
        bend=bend,
        values=values,
        covariance=np.asarray(np.linalg.inv(precision), dtype=np.float64),
        weights=weights,
        cost=cost,
    )


def _kernel(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> Floats:
    sizes = (one[0][:, None] - other[0][None, :]) / _SIZE_LENGTH
    levels = (one[1][:, None] - other[1][None, :]) / _LEVEL_LENGTH
    kernel: Floats = np.exp(-(sizes**2 + levels**2) / 2)
    return kernel


def _with_process(points: _Points, log_rate: Floats, bent: _Bent, levels: int) -> SizeModel:
    """Return the curve with the process that explains the rest of the measurements.

    The uncertainty of the curve's values is part of the process's prior.
    """
    count = len(points.sizes)
    every, steps = np.repeat(np.arange(count), levels), np.tile(np.arange(levels, dtype=np.float64), count)
    whole = points._replace(place=every, level=steps, transfer_s=np.full(len(every), np.inf))
    grid, slopes = bent.curve(whole)
    doublings = np.log2(points.sizes)
    kernel = _kernel((doublings[every], steps), (doublings[every], steps))
    of_curve = slopes @ bent.covariance @ slopes.T
    if not len(points.place):
        return _model(grid, of_curve + _AMPLITUDES[-1] ** 2 * kernel, count)
    rest = log_rate - bent.curve(points)[0]
    means = _means(points.place * levels + points.level.astype(np.intp), rest, bent.weights)
    among = kernel[np.ix_(means.cell, means.cell)]
    amplitude, noise = _likeliest(among, means)
    # The curve was fitted to these measurements, so only the process is conditioned on them.
    lower = np.linalg.cholesky(amplitude**2 * among + np.diag(means.variance(noise)))
    beside = np.linalg.solve(lower, amplitude**2 * kernel[means.cell])
    mean = beside.T @ np.linalg.solve(lower, means.rest)
    return _model(grid + mean, of_curve + amplitude**2 * kernel - beside.T @ beside, count)


class _Means(NamedTuple):
    """The mean of the measurements of each cell of the grid, with their weights; then what is left within cells."""

    cell: Places
    rest: Floats
    weight: Floats
    within: float
    repeats: int

    def variance(self, noise: float) -> Floats:
        """Return the variance of each mean."""
        variance: Floats = noise**2 / self.weight
        return variance


def _means(cells: Places, rest: Floats, weights: Floats) -> _Means:
    cell, where = np.unique(cells, return_inverse=True)
    weight = np.bincount(where, weights).astype(np.float64)
    mean = np.bincount(where, weights * rest) / weight
    within = float(np.sum(weights * (rest - mean[where]) ** 2))
    return _Means(cell, mean, weight, within, len(rest) - len(cell))


def _likeliest(among: Floats, means: _Means) -> tuple[float, float]:
    """Return the amplitude of the process and the noise under which the measurements are likeliest."""
    best, found = math.inf, (_AMPLITUDES[0], _NOISES[0])
    for amplitude in _AMPLITUDES:
        for noise in _NOISES:
            lower = np.linalg.cholesky(amplitude**2 * among + np.diag(means.variance(noise)))
            scaled = np.linalg.solve(lower, means.rest)
            cost = float(scaled @ scaled) / 2 + float(np.log(np.diag(lower)).sum())
            cost += means.within / (2 * noise**2) + means.repeats * math.log(noise)
            cost += ((math.log(noise) - _USUAL_NOISE) / _NOISE_SPREAD) ** 2 / 2
            if cost < best:
                best, found = cost, (amplitude, noise)
    return found


def _model(grid: Floats, covariance: Floats, count: int) -> SizeModel:
    levels = len(grid) // count
    blocks = covariance.reshape(count, levels, count, levels)
    own = np.stack([blocks[size, :, size, :] for size in range(count)])
    return SizeModel(log_rate=grid.reshape(count, levels), covariance=own)
