"""The estimate of a curve from samples: the throughput of each point and its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio_tuned.model.curve import Cliff, Curve, PointStats
from aio_tuned.search.drift_fit import GUESSED_FREEDOM, GUESSED_NOISE, MIN_NOISE, Fit, fit
from aio_tuned.search.grid import program
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.measurement import Phase, Point, Sample
    from aio_tuned.model.setting import Setting

CONFIDENCE = 0.95

# The pooled noise counts for at most this many measurements in addition to a point's own.
_MAX_PRIOR = 8

_MAX_MEMORY = 0.8

# The reference falls to the first share and stays below the second: a full cache causes that, heat does not.
_CLIFF = 0.65

_STAYS_BELOW = 0.75

# A shorter fall may be a slow mode, which also lasts for seconds.
_CLIFF_LEVELS = 4

_CLIFF_S = 4.0

# The logarithm of a throughput that no link carries (PCIe 7.0 x16: 2.4e11 B/s). It limits the upper bound where
# measurements disagree so much that the bound would have any number of digits.
_MAX_LEVEL = float(np.log(1e12))


def student_t(confidence: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t, by the Cornish-Fisher expansion (Abramowitz & Stegun 26.7.5).

    The result is exact for 1 and 2 degrees of freedom, and elsewhere within 0.6 % for 95 % and 2 % for 99 %. Its tail
    beyond that is too large by 10 % at 7 degrees of freedom and by 31 % at 5. scipy would be exact, but takes 40 MB.
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
    """The measurements that count, oldest first.

    `place` holds the index of each measurement's point in the phase; the reference has the index after the last point.
    """

    samples: list[Sample]
    place: NDArray[np.intp]
    time_s: NDArray[np.float64]
    rate: NDArray[np.float64]

    def part(self, begin: int, end: int | None) -> _Visits:
        cut = slice(begin, end)
        return _Visits(samples=self.samples[cut], place=self.place[cut], time_s=self.time_s[cut], rate=self.rate[cut])


def places(phase: Phase) -> tuple[dict[Setting, int], int]:
    """Return the index of the point of each setting, and the index of the reference.

    The reference has the index of the point with identical I/O, or the index after the last point if there is none.
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


class _Levels(NamedTuple):
    """Measurements that show the drive's level: their indices, and the log throughput of the reference at each.

    `against` holds the index of the earlier measurement of the same point with which each is compared.
    """

    at: NDArray[np.intp]
    rate: NDArray[np.float64]
    against: NDArray[np.intp]


def _levels(phase: Phase, visits: _Visits, reference: int) -> _Levels:
    """Return the measurements of the reference and, in a race, the repeated measurements of the other points."""
    own = visits.place == reference
    if phase.stage == "pass" or not own.any():
        at = np.flatnonzero(own)
        return _Levels(at, visits.rate[at], np.full(len(at), -1))
    _, first, point = np.unique(visits.place, return_index=True, return_inverse=True)
    at = np.flatnonzero(own | (np.arange(len(visits.place)) != first[point]))
    against = first[point[at]]
    return _Levels(at, visits.rate[at] - visits.rate[against] + visits.rate[own][0], against)


def _cliff(
    phase: Phase, samples: Sequence[Sample], visits: _Visits, reference: int
) -> tuple[_Visits, _Visits, Cliff] | None:
    """Split the measurements where the drive's level fell and stayed low; return None if it did not fall.

    The result has the measurements before and after the fall, and the figures of the fall. It lies between two
    measurements that show the level; measurements between these two may lie on either side and are left out.
    """
    at, rates, against = _levels(phase, visits, reference)
    for number in range(1, len(at) - _CLIFF_LEVELS + 1):
        if visits.time_s[-1] - visits.time_s[at[number]] < _CLIFF_S:
            break
        # A point that was first measured after the fall does not show it.
        after = rates[number:][against[number:] < at[number]]
        before = float(np.median(rates[:number]))
        if (
            len(after) >= _CLIFF_LEVELS
            and after.max() < before + np.log(_STAYS_BELOW)
            and float(np.median(after)) < before + np.log(_CLIFF)
        ):
            last = int(at[number - 1]) + 1
            return (
                visits.part(0, last),
                visits.part(int(at[number]), None),
                Cliff(
                    before_counts=len(np.unique(visits.place[:last])) >= len(phase.points[: phase.sure_points]) / 2,
                    after_bytes=_moved_until(samples, visits.samples[last - 1]),
                    before_bytes_per_s=float(np.exp(before)),
                    behind_bytes_per_s=float(np.exp(np.median(after))),
                ),
            )
    return None


def _moved_until(samples: Sequence[Sample], last: Sample) -> int:
    """Return the bytes that the sweep has moved in the direction of the sample, up to and including the sample."""
    same = [sample for sample in samples if sample.request.direction == last.request.direction]
    return sum(sample.bytes for sample in same[: same.index(last) + 1])


def _errors(found: Fit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each point's standard error of the logarithm and its degrees of freedom (a moderated t, Smyth 2004).

    One or two measurements say little about a point's own noise, so the pooled variance counts as some measurements,
    and the point's own deviations prevail as their number grows. Correlated successive measurements count less, as in a
    first-order autoregression.
    """
    memory = min(max(found.memory, 0.0), _MAX_MEMORY)
    own = np.maximum(found.visits - 1, 0)
    # The pool includes a point's own measurements, which must not count twice.
    prior = np.clip(found.freedom - own, 0, _MAX_PRIOR)
    freedom = (prior + own).astype(np.float64)
    variance = (prior * found.group_noise**2 + found.squares) / np.maximum(freedom, 1)
    guessed = max(found.noise**2, GUESSED_NOISE**2)
    # A few measurements may agree to the last byte by chance, so their error is not zero.
    variance = np.maximum(np.where(freedom == 0, guessed, variance), MIN_NOISE**2)
    freedom = np.where(freedom == 0, GUESSED_FREEDOM, freedom)
    worth = np.maximum(found.weight, 1e-12) * (1 - memory) / (1 + memory)
    return np.sqrt(variance / worth), freedom


def _middle(values: Iterable[int]) -> float:
    """Return the median; numpy takes a hundred times as long for a few values."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def curve(phase: Phase, samples: Sequence[Sample]) -> Curve:
    """Estimate the curve of the phase from its samples, oldest first.

    Tainted samples and calibration do not count, and the curve omits points without a sample. All throughputs are
    positive, since the client of the helper rejects others. If the drive fell over a cliff, the curve uses the
    measurements on one side of it: those before it if they cover half of the points, else those after it.
    """
    visits, reference = _visits(phase, samples)
    cliff = None
    if fell := _cliff(phase, samples, visits, reference):
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
    threads = [point.setting.io_parallelism for point in (*phase.points, phase.reference)]
    found = fit(visits.place, visits.time_s, visits.rate, np.array(threads, dtype=np.intp))
    errors, freedom = _errors(found)
    of_place: list[list[Sample]] = [[] for _ in range(len(phase.points) + 1)]
    for place, sample in zip(visits.place.tolist(), visits.samples, strict=True):
        of_place[place].append(sample)
    seen = np.flatnonzero(found.visits[: len(phase.points)])
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
