"""The estimate of a curve from samples: the throughput of each point and its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.model.curve import Cliff, Curve, PointStats
from aio_tuned.search import smoothing
from aio_tuned.search.drift_fit import GUESSED_FREEDOM, GUESSED_NOISE, MIN_NOISE, Fit, fit
from aio_tuned.search.grid import program
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.measurement import Phase, Point, Sample
    from aio_tuned.model.setting import Setting

CONFIDENCE = 0.95

# The most visits that the pooled noise counts for, beside a point's own.
_MAX_PRIOR = 8

_MAX_MEMORY = 0.8

# Points further below the best than this share and the noise are not smoothed: a slope says little of a plateau.
_PLATEAU = 0.05

_PLATEAU_NOISES = 3.0

# A point with more visits than this is not an outlier because its neighbours differ.
_FEW_VISITS = 2

# The share to which the reference falls, and below which it stays: a full cache causes that, heat does not.
_CLIFF = 0.65

_STAYS_BELOW = 0.75

# A shorter fall may be a slow mode, which lasts for seconds too.
_CLIFF_REFERENCES = 4

_CLIFF_S = 4.0

# The logarithm of what no drive's link carries (PCIe 7.0 x16: 2.4e11 B/s): the upper bound of visits that agree on
# nothing, which would else have any number of digits.
_MAX_LEVEL = float(np.log(1e12))

# The most times that a race looks at its intervals (see race.py): each look may be wrong.
LOOKS = 32


def student_t(confidence: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t, by the Cornish-Fisher expansion (Abramowitz & Stegun 26.7.5).

    It is exact for 1 and 2 degrees of freedom, and elsewhere within 0.6 % for 95 % and 2 % for 99 %. For the
    guarantee's confidence its tail is too large by 10 % at 7 degrees of freedom and by 31 % at 5. scipy would be exact,
    but takes 40 MB.
    """
    upper = 0.5 + confidence / 2
    if freedom <= 1:
        return float(np.tan(np.pi * (upper - 0.5)))
    if freedom <= 2:  # noqa: PLR2004 - the closed form of two degrees
        alpha = 4 * upper * (1 - upper)
        return float(2 * (upper - 0.5) * np.sqrt(2 / alpha))
    z, n = NormalDist().inv_cdf(upper), freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits:
    """The measurements that count, in the order of their times.

    `place` holds the index of each in the phase's points; the index after the last point is the reference's.
    """

    samples: list[Sample]
    place: NDArray[np.intp]
    time_s: NDArray[np.float64]
    rate: NDArray[np.float64]

    def part(self, begin: int, end: int | None) -> _Visits:
        cut = slice(begin, end)
        return _Visits(samples=self.samples[cut], place=self.place[cut], time_s=self.time_s[cut], rate=self.rate[cut])


def places(phase: Phase) -> tuple[dict[Setting, int], int]:
    """Return the index of each setting's point in the phase's points, and the index of the reference.

    The reference's index is that of the point that is the same program, or the one after the last point.
    """
    found = {setting: place for place, point in enumerate(phase.points) for setting in point.aliases}
    setting = phase.reference.setting
    if setting not in found:
        programs = {program(point.setting, phase.transfer_bytes): place for place, point in enumerate(phase.points)}
        found[setting] = programs.get(program(setting, phase.transfer_bytes), len(phase.points))
    return found, found[setting]


def _visits(phase: Phase, samples: Sequence[Sample]) -> tuple[_Visits, int]:
    """Return the measurements that count, and the index of the reference."""
    of_setting, reference = places(phase)
    kept: list[Sample] = []
    place: list[int] = []
    middle_s: list[float] = []
    clock_ns = 0
    for sample in samples:
        clock_ns += sample.wall_ns
        if not is_counted(sample, phase) or taint_reason(sample):
            continue
        if (found := of_setting.get(sample.request.setting)) is not None:
            kept.append(sample)
            place.append(found)
            middle_s.append((clock_ns - sample.elapsed_ns / 2) / 1e9)
    visits = _Visits(
        samples=kept,
        place=np.array(place, dtype=np.intp),
        time_s=np.array(middle_s),
        rate=np.log([sample.bytes_per_s for sample in kept]),
    )
    return visits, reference


def _cliff(phase: Phase, visits: _Visits, reference: int) -> tuple[_Visits, _Visits, Cliff] | None:
    """Split the measurements where the reference fell and stayed down; return None if it did not.

    The result has the measurements before and after the fall, and its figures. The fall lies between two measurements
    of the reference; those between the two are left out, as they may lie on either side.
    """
    at = np.flatnonzero(visits.place == reference)
    rates = visits.rate[at]
    if len(rates) == 0 or rates[-_CLIFF_REFERENCES:].max() >= rates.max() + np.log(_STAYS_BELOW):
        return None
    for number in range(1, len(at) - _CLIFF_REFERENCES + 1):
        before, behind = float(np.median(rates[:number])), float(np.median(rates[number:]))
        lasted_s = visits.time_s[-1] - visits.time_s[at[number]]
        if (
            lasted_s >= _CLIFF_S
            and behind < before + np.log(_CLIFF)
            and rates[number:].max() < before + np.log(_STAYS_BELOW)
        ):
            last = int(at[number - 1]) + 1
            return (
                visits.part(0, last),
                visits.part(int(at[number]), None),
                Cliff(
                    before_counts=len(np.unique(visits.place[:last])) >= len(phase.points[: phase.sure_points]) / 2,
                    after_bytes=sum(sample.bytes for sample in visits.samples[:last]),
                    before_bytes_per_s=float(np.exp(before)),
                    behind_bytes_per_s=float(np.exp(behind)),
                ),
            )
    return None


def _errors(found: Fit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each point's standard error of the logarithm and its degrees of freedom (a moderated t, Smyth 2004).

    A point measured once or twice says little about its own noise, so the pooled variance stands in for some
    measurements; the point's own deviations take over as their number grows. Where successive measurements deviate
    alike, they are worth fewer: those of a first-order autoregression.
    """
    memory = min(max(found.memory, 0.0), _MAX_MEMORY)
    own = np.maximum(found.visits - 1, 0)
    # A point's own visits are in the pool too, and must not count twice.
    prior = np.clip(found.freedom - own, 0, _MAX_PRIOR)
    freedom = (prior + own).astype(np.float64)
    variance = (prior * found.noise**2 + found.squares) / np.maximum(freedom, 1)
    guessed = max(found.noise**2, GUESSED_NOISE**2)
    # Visits that agree to the last byte are few; they are not exact.
    variance = np.maximum(np.where(freedom == 0, guessed, variance), MIN_NOISE**2)
    freedom = np.where(freedom == 0, GUESSED_FREEDOM, freedom)
    worth = np.maximum(found.weight, 1e-12) * (1 - memory) / (1 + memory)
    return np.sqrt(variance / worth), freedom


def _likely(
    phase: Phase, found: Fit, errors: NDArray[np.float64], seen: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log throughputs and their errors, those on the plateau smoothed with their neighbours."""
    level, error = found.level.copy(), errors.copy()
    noise = found.noise or GUESSED_NOISE
    # One high visit must not raise the floor, so the fifth highest stands for the top.
    top = float(np.sort(level[seen])[-min(5, len(seen))])
    near = seen[level[seen] > top - _PLATEAU - _PLATEAU_NOISES * noise]
    odd = found.visits[near] <= _FEW_VISITS
    settings = [phase.points[place].setting for place in near.tolist()]
    level[near], error[near] = smoothing.smooth(settings, level[near], error[near], odd)
    return level, error


def _middle(values: Iterable[int]) -> float:
    """Return the median; numpy's takes a hundred times as long for a few values."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def curve(phase: Phase, samples: Sequence[Sample], *, smooth: bool = True) -> Curve:
    """Estimate the curve of the phase from its samples, in the order in which they were taken.

    Tainted samples and calibration do not count, and a point without a sample is not in the curve. Throughputs are
    positive: the client of the helper refuses any other. Where the drive fell over a cliff, the curve is made of the
    measurements on one side: before it, if half of the points have been measured there. Without `smooth`, which takes
    most of the time, neighbours contribute nothing: likely throughputs are the measured ones.
    """
    visits, reference = _visits(phase, samples)
    cliff = None
    if fell := _cliff(phase, visits, reference):
        before, behind, cliff = fell
        visits = before if cliff.before_counts else behind
    if not visits.samples:
        return Curve(
            direction=phase.direction,
            points=(),
            reference=None,
            transfer_bytes=phase.transfer_bytes,
            planned=len(phase.points),
            noise=0.0,
            drift=0.0,
        )
    found = fit(visits.place, visits.time_s, visits.rate, len(phase.points) + 1)
    errors, freedom = _errors(found)
    of_place: list[list[Sample]] = [[] for _ in range(len(phase.points) + 1)]
    for place, sample in zip(visits.place.tolist(), visits.samples, strict=True):
        of_place[place].append(sample)
    seen = np.flatnonzero(found.visits[: len(phase.points)])
    likely, likely_error = found.level, errors
    if smooth and len(seen):
        likely, likely_error = _likely(phase, found, errors, seen)
    quantile = {number: student_t(CONFIDENCE, number) for number in np.unique(freedom).tolist()}

    def known(place: int, point: Point) -> PointStats:
        level, error = float(found.level[place]), float(errors[place])
        half = quantile[float(freedom[place])] * float(np.hypot(error, found.level_error))
        high = max(level, min(level + half, _MAX_LEVEL))
        return PointStats(
            point=point,
            bytes_per_s=float(np.exp(level)),
            low_bytes_per_s=float(np.exp(level - half)),
            high_bytes_per_s=float(np.exp(high)),
            visits=int(found.visits[place]),
            latency_p99_us=_middle(sample.latency_p99_ns for sample in of_place[place]) / 1000,
            error=error,
            freedom=float(freedom[place]),
            likely_bytes_per_s=float(np.exp(likely[place])),
            likely_error=float(likely_error[place]),
            cpu_s_per_gb=sum(sample.cpu_ns for sample in of_place[place])
            / sum(sample.bytes for sample in of_place[place]),
        )

    return Curve(
        direction=phase.direction,
        points=tuple(known(place, phase.points[place]) for place in seen.tolist()),
        reference=known(reference, phase.reference) if found.visits[reference] else None,
        transfer_bytes=phase.transfer_bytes,
        planned=len(phase.points),
        noise=found.noise,
        drift=float(np.expm1(found.drift[-1] - found.drift[0])),
        tail=found.tail,
        memory=found.memory,
        cliff=cliff,
    )


def simultaneous(curve: Curve) -> list[tuple[float, float]]:
    """Return bounds of each point's log throughput that hold for all points, at all looks, with 95 % together.

    By Bonferroni's inequality over points and looks, which needs no assumption on how points depend on each other. A
    point measured once or twice may have met a slow mode of the drive, so its upper bound is raised by what the worst
    twentieth of the measurements lose.
    """
    confidence = 1 - (1 - CONFIDENCE) / max(len(curve.points) * LOOKS, 1)
    quantile: dict[float, float] = {}
    bounds = []
    for stats in curve.points:
        if stats.freedom not in quantile:
            quantile[stats.freedom] = student_t(confidence, stats.freedom)
        half = quantile[stats.freedom] * stats.error
        level = float(np.log(stats.bytes_per_s))
        unlucky = curve.tail / stats.visits if stats.visits <= _FEW_VISITS else 0.0
        bounds.append((level - half, level + max(half, unlucky)))
    return bounds
