"""Samples -> Curve: what each point gives, and how sure that is. Pure; the only user of numpy."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.model import Curve, Phase, Point, PointStats, Sample
from aio_tuned.plan import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
# More foreign I/O than this on the device during a visit taints it: 5 % is what a log daemon on a root drive may do
# without moving a throughput of GB/s; a paying workload does far more.
FOREIGN_SHARE = 0.05
# Where no point has been visited twice, the noise between visits is guessed, as if from two degrees of freedom.
_GUESSED_NOISE = 0.05
_GUESSED_FREEDOM = 2
# Median absolute deviation to standard deviation, for normal noise.
_MAD_TO_SD = 1.4826
# What a sample is worth to the median absolute deviation, against its worth to the standard deviation.
_MAD_EFFICIENCY = 0.37


def taint(sample: Sample) -> str:
    """Why the visit must be thrown away and made again; "" if it is good."""
    if sample.cache_verdict == "cache":
        return "served from a cache"
    foreign = sample.device_read_bytes + sample.device_write_bytes - sample.bytes
    if sample.cache_verdict == "device" and foreign > FOREIGN_SHARE * sample.bytes:
        return "others used the device"
    return ""


def counts(sample: Sample, phase: Phase) -> bool:
    """Whether the visit is one of the phase's plan: calibration only warms up, and may use another transfer size."""
    return sample.request.purpose != "calibrate" and sample.request.transfer_bytes == phase.transfer_bytes


def clean(samples: Iterable[Sample]) -> list[Sample]:
    """The samples that count."""
    return [sample for sample in samples if not taint(sample)]


def student_t(confidence: float, freedom: float) -> float:
    """Two-sided quantile of Student's t, by the Cornish-Fisher expansion (Abramowitz & Stegun 26.7.5).

    Exact for 1 and 2 degrees of freedom; elsewhere within 0.6 % for 95 % and 2 % for 99 %. scipy would be exact, and
    40 MB.
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


def _pooled(groups: Sequence[NDArray[np.float64]]) -> tuple[float, int]:
    """Variance between visits to one point, over all points visited more than once, and its degrees of freedom.

    By the median of the residuals: one stalled visit among a thousand must not widen every interval. Each residual
    from its group's mean is scaled up for having helped to make that mean.
    """
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return 0.0, 0
    residuals = np.concatenate([(group - group.mean()) * np.sqrt(len(group) / (len(group) - 1)) for group in repeated])
    freedom = int(_MAD_EFFICIENCY * sum(len(group) - 1 for group in repeated))
    return float((_MAD_TO_SD * np.median(np.abs(residuals))) ** 2), freedom


def _point_stats(
    point: Point, visits: Sequence[Sample], logs: NDArray[np.float64], pooled: float, freedom: int
) -> PointStats:
    """Mean of the logarithms, with an interval from a moderated t (Smyth 2004).

    A point visited once or twice says little of its own noise, so the pooled variance stands in as `prior` visits'
    worth of evidence; what the point itself shows takes over as its visits grow.
    """
    # Its own visits are in the pool too, and must not count twice.
    prior = min(max(0, freedom - (len(logs) - 1)), 8)
    own = float(((logs - logs.mean()) ** 2).sum())
    total = prior + len(logs) - 1
    if total == 0:
        variance, total = max(pooled, _GUESSED_NOISE**2), _GUESSED_FREEDOM
    else:
        variance = (prior * pooled + own) / total
    half = student_t(CONFIDENCE, total) * np.sqrt(variance / len(logs))
    mean = float(logs.mean())
    return PointStats(
        point=point,
        bytes_per_s=float(np.exp(mean)),
        low_bytes_per_s=float(np.exp(mean - half)),
        high_bytes_per_s=float(np.exp(mean + half)),
        visits=len(logs),
        latency_p99_us=float(np.median([visit.latency_p99_ns for visit in visits])) / 1000,
        cpu_s_per_gb=sum(visit.cpu_ns for visit in visits) / sum(visit.bytes for visit in visits),
    )


def _drift(times_ns: Sequence[int], logs: NDArray[np.float64], span_ns: int) -> float:
    """Relative change over `span_ns` by the median slope between reference visits (Theil-Sen); 0 with under three."""
    if len(logs) < 3:  # noqa: PLR2004 - two points always make a line
        return 0.0
    times = np.array(times_ns, dtype=np.float64)
    earlier, later = np.triu_indices(len(logs), 1)
    slopes = (logs[later] - logs[earlier]) / (times[later] - times[earlier])
    return float(np.expm1(np.median(slopes) * span_ns))


def curve(phase: Phase, samples: Sequence[Sample]) -> Curve:
    """All that `samples` (of this phase, in the order in which they were taken) say of its points.

    Tainted samples and calibration visits do not count. A point without a sample is not in the curve.
    Throughputs are positive: the helper adapter refuses anything else.
    """
    of_program: dict[object, list[Sample]] = {}
    reference_program = program(phase.reference.setting, phase.transfer_bytes)
    clock, reference_times = 0, []
    for sample in samples:
        clock += sample.wall_ns
        if not counts(sample, phase) or taint(sample):
            continue
        key = program(sample.request.setting, phase.transfer_bytes)
        of_program.setdefault(key, []).append(sample)
        if key == reference_program:
            reference_times.append(clock)
    logs = {key: np.log([visit.bytes_per_s for visit in visits]) for key, visits in of_program.items()}
    pooled, freedom = _pooled(list(logs.values()))

    def known(point: Point) -> PointStats | None:
        key = program(point.setting, phase.transfer_bytes)
        if key not in of_program:
            return None
        return _point_stats(point, of_program[key], logs[key], pooled, freedom)

    measured = [stats for point in phase.points if (stats := known(point))]
    drift = 0.0
    if reference_program in logs:
        drift = _drift(reference_times, logs[reference_program], clock)
    return Curve(
        direction=phase.direction,
        points=tuple(measured),
        reference=known(phase.reference),
        transfer_bytes=phase.transfer_bytes,
        planned=len(phase.points),
        noise=float(np.sqrt(pooled)),
        drift=drift,
    )
