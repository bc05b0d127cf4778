"""Tainted samples, which a cache served or other processes disturbed; they are discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.measurement import Phase, Sample

# The purposes of the measurements of each stage.
STAGE_PURPOSES: dict[str, tuple[str, ...]] = {"pass": ("reference", "pass"), "race": ("repeat",)}

# The purposes of the experiments that follow the choice.
AFTER_CHOICE = ("curve", "memory", "new_file", "processes")

# A larger share of I/O by other processes taints a measurement: a log daemon on a root drive causes up to 5 % without
# changing a throughput of GB/s; a production workload causes far more.
FOREIGN_SHARE = 0.05


def taint_reason(sample: Sample) -> str:
    """Return why the measurement must be discarded and repeated, or "" if it counts."""
    if sample.cache_verdict == "cache":
        return "served from a cache"
    if _unexplained_bytes(sample) > FOREIGN_SHARE * sample.bytes:
        return "other processes used the drive"
    # The counters of other namespaces hold none of the sweep's own I/O, so they count whatever the verdict is.
    if sample.neighbour_bytes > FOREIGN_SHARE * sample.bytes:
        return "other processes used another namespace of the drive"
    return ""


def foreign_bytes(sample: Sample) -> int:
    """Return the bytes that other processes moved on the drive during the measurement, by the counters."""
    return max(0, _unexplained_bytes(sample)) + sample.neighbour_bytes


def _unexplained_bytes(sample: Sample) -> int:
    """Return the bytes in the device's own counters beyond the measurement; 0 if the verdict is not "device"."""
    if sample.cache_verdict != "device":
        return 0
    return sample.device_read_bytes + sample.device_write_bytes - sample.bytes


def is_counted(sample: Sample, phase: Phase) -> bool:
    """Return whether the sample was taken by the phase in the planned transfer size.

    Calibration warms up the drive and may use another size; sustained writes are a separate experiment.
    """
    return is_of(sample, phase) and sample.request.transfer_bytes == phase.transfer_bytes


def is_of(sample: Sample, phase: Phase) -> bool:
    """Return whether the sample was taken by the phase, so that its budgets pay for it."""
    request = sample.request
    return request.direction == phase.direction and request.purpose in STAGE_PURPOSES[phase.stage]


def clean_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples that are not tainted."""
    return [sample for sample in samples if not taint_reason(sample)]


def of_choice(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples of the sweep itself, without those of the experiments after the choice."""
    return [sample for sample in samples if sample.request.purpose not in AFTER_CHOICE]


def moved_bytes(samples: Iterable[Sample]) -> int:
    """Return the bytes that the samples took from the phase's budget, which calibration precedes."""
    return sum(sample.bytes for sample in samples if sample.request.purpose != "calibrate")
