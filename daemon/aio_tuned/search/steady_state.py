"""Writing on and on with one setting -> what it gives when it is steady, and where it fell. Pure.

A drive that is written for long becomes slower: the cache of cheap cells is full, blocks must be erased first. SNIA's
Solid State Storage Performance Test Specification (2.0.1, section 2.1.24) calls a drive steady when, of five windows,
the highest and the lowest differ by no more than 20 % of their average, and the line of least squares through them by
no more than 10 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.model.curve import Steady
from aio_tuned.model.measurement import Request
from aio_tuned.search.taint import moved_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.setting import Setting

_WINDOWS = 5
_MAX_RANGE = 0.2
_MAX_SLOPE = 0.1
# Of the bytes that are kept for it each window has this part: a cache that holds less than all but the last five of
# them is found.
_WINDOW_SHARE = 1 / 32
_TIME_PART = 4
# Below this part of what the first window gave the drive has fallen.
_FALL = 0.75


def time_ns(phase: Phase) -> int:
    """What of the phase's time is for writing on."""
    return phase.time_budget_ns // _TIME_PART if phase.sustain_bytes else 0


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
    """The next window to write; None if the bytes or the time that are kept for it are spent.

    That it is steady for five windows does not end it: a cache that is not yet full is as steady.
    """
    windows = _windows(samples)
    size = max(phase.transfer_bytes, int(phase.sustain_bytes * _WINDOW_SHARE))
    if (
        sum(sample.bytes for sample in windows) + size > phase.sustain_bytes
        or moved_bytes(samples) + size > phase.write_budget_bytes
    ):
        return None
    if sum(sample.wall_ns for sample in windows) >= time_ns(phase):
        return None
    if windows:
        setting = windows[0].request.setting  # what it began with, whatever the samples say since
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
    """What the windows say; None if there are fewer than five."""
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
