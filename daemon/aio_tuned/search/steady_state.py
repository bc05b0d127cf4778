"""Sustained writes with one setting: their throughput, whether it is steady, and where it fell.

A drive slows down during long writes, when its cache of fast cells is full and blocks must be erased first. SNIA's
Solid State Storage Performance Test Specification (2.0.1, section 2.1.24) calls a drive steady if over five windows the
highest and the lowest throughput differ by at most 20 % of the average, and the ends of their line of least squares by
at most 10 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.model.curve import Steady
from aio_tuned.model.measurement import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.setting import Setting

_WINDOWS = 5
_MAX_RANGE = 0.2
_MAX_SLOPE = 0.1
# Each window writes 1/32 of the reserved bytes, so a write cache smaller than 27 windows is detected.
_WINDOW_SHARE = 1 / 32
# The drive has fallen if it stays below this share of the first window's throughput.
_FALL = 0.75


def _windows(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.request.purpose == "sustain"]


def _is_steady(speeds: Sequence[float]) -> bool:
    last = speeds[-_WINDOWS:]
    average = sum(last) / _WINDOWS
    middle = (_WINDOWS - 1) / 2
    slope = sum((place - middle) * speed for place, speed in enumerate(last))
    slope /= sum((place - middle) ** 2 for place in range(_WINDOWS))
    return max(last) - min(last) <= _MAX_RANGE * average and abs(slope) * (_WINDOWS - 1) <= _MAX_SLOPE * average


def next_request(phase: Phase, samples: Sequence[Sample], setting: Setting, first_id: int) -> Request | None:
    """Return the request for the next window; None if the throughput fell and is steady, or bytes or time are spent.

    Five steady windows alone do not end the writes, since a write cache that is not yet full is steady too.
    """
    windows = _windows(samples)
    size = max(phase.transfer_bytes, int(phase.sustain_bytes * _WINDOW_SHARE))
    if sum(sample.bytes for sample in windows) + size > phase.sustain_bytes:
        return None
    if sum(sample.wall_ns for sample in windows) >= phase.sustain_ns:
        return None
    if windows:
        setting = windows[0].request.setting  # the setting of the first window, even if the choice has changed
    if (fell := found(samples)) is not None and fell.fell_after_bytes is not None and fell.steady:
        return None
    return Request(
        id=first_id,
        direction=phase.direction,
        setting=setting,
        transfer_bytes=phase.transfer_bytes,
        min_ns=10**12,
        max_bytes=size,
        purpose="sustain",
    )


def found(samples: Sequence[Sample]) -> Steady | None:
    """Return the result of the sustained writes; None if there are fewer than five windows."""
    windows = _windows(samples)
    if len(windows) < _WINDOWS:
        return None
    speeds = [sample.bytes_per_s for sample in windows]
    fell_after, written = None, 0
    for number, sample in enumerate(windows):
        if max(speeds[number:]) < _FALL * speeds[0]:
            fell_after = written
            break
        written += sample.bytes
    last = windows[-_WINDOWS:]
    return Steady(
        bytes_per_s=sum(sample.bytes for sample in last) * 1e9 / sum(sample.elapsed_ns for sample in last),
        steady=_is_steady(speeds),
        fell_after_bytes=fell_after,
        written_bytes=sum(sample.bytes for sample in windows),
        first_bytes_per_s=speeds[0],
    )
