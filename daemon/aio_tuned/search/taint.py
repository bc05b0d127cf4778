"""Samples that do not count: served from a cache, or disturbed by other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.measurement import Phase, Sample

# The purposes of the measurements that belong to each stage.
STAGE_PURPOSES: dict[str, tuple[str, ...]] = {"pass": ("reference", "pass"), "race": ("repeat",)}

# More I/O of other processes than this share taints a visit: a log daemon on a root drive causes up to 5 % without
# changing a throughput of GB/s; a production workload causes far more.
FOREIGN_SHARE = 0.05


def taint_reason(sample: Sample) -> str:
    """Return why the measurement must be discarded and repeated; "" if it is good."""
    if sample.cache_verdict == "cache":
        return "served from a cache"
    if _unexplained_bytes(sample) > FOREIGN_SHARE * sample.bytes:
        return "others used the device"
    # These counters hold nothing of ours, whatever the device's own prove.
    if sample.neighbour_bytes > FOREIGN_SHARE * sample.bytes:
        return "others used another namespace of the drive"
    return ""


def foreign_bytes(sample: Sample) -> int:
    """Return the bytes that others have moved on the drive during the measurement, as far as its counters prove it."""
    return max(0, _unexplained_bytes(sample)) + sample.neighbour_bytes


def _unexplained_bytes(sample: Sample) -> int:
    """Return what the device's own counters have beyond the measurement, 0 if they prove nothing."""
    if sample.cache_verdict != "device":
        return 0
    return sample.device_read_bytes + sample.device_write_bytes - sample.bytes


def is_counted(sample: Sample, phase: Phase) -> bool:
    """Return whether the sample is the phase's, in its plan's transfer size.

    Calibration only warms up, and may use another size; sustained writes are another experiment.
    """
    return is_of(sample, phase) and sample.request.transfer_bytes == phase.transfer_bytes


def is_of(sample: Sample, phase: Phase) -> bool:
    """Return whether the sample was taken by the phase, which pays for it."""
    request = sample.request
    return request.direction == phase.direction and request.purpose in STAGE_PURPOSES[phase.stage]


def clean_samples(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples that are not tainted."""
    return [sample for sample in samples if not taint_reason(sample)]


def moved_bytes(samples: Iterable[Sample]) -> int:
    """Return the bytes of the phase's budget that the samples took; calibration precedes the budget."""
    return sum(sample.bytes for sample in samples if sample.request.purpose != "calibrate")
