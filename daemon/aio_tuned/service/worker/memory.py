"""The memory that a sweep needs, and what the host and the control groups of this process have left of it.

The helper locks a buffer of the size of one transfer. A group at its limit would have the kernel kill a process, so the
sweep is fitted into what is left before it begins, or waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search.plan import MIN_TRANSFER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

# The worker, whose own memory grows to 31 MiB in a default sweep, and the helper besides its buffer; twice that.
PROCESSES_BYTES = 64 << 20
# A sweep takes at most this share of what the host has left: the page cache of others is part of it.
_HOST_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The bytes that a sweep may take, and whose they are: "the host" or the path of a control group."""

    free_bytes: int
    whose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """Where one version of control groups is mounted below /sys/fs/cgroup, and its files."""

    mount: str
    limits: tuple[str, ...]
    usage: str
    cache: str


# `inactive_file` is cache that the kernel drops before it kills; above memory.high it slows processes down.
_V2 = _Version(mount="", limits=("memory.max", "memory.high"), usage="memory.current", cache="inactive_file")
_V2_BESIDE_V1 = _Version(mount="unified", limits=_V2.limits, usage=_V2.usage, cache=_V2.cache)
_V1 = _Version(
    mount="memory", limits=("memory.limit_in_bytes",), usage="memory.usage_in_bytes", cache="total_inactive_file"
)


def read_room(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> Room | None:
    """Return the least room of the host and of each control group above this process; None if none can be read."""
    return min(_rooms(proc, cgroup), key=lambda room: room.free_bytes, default=None)


def _rooms(proc: Path, cgroup: Path) -> Iterator[Room]:
    if (available := _field(proc / "meminfo", "MemAvailable:")) is not None:
        yield Room(free_bytes=int(available * 1024 * _HOST_SHARE), whose="the host")
    for line in _text(proc / "self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            versions: tuple[_Version, ...] = (_V2, _V2_BESIDE_V1)
        else:
            versions = (_V1,) if "memory" in controllers.split(",") else ()
        for version in versions:
            yield from _of_groups(cgroup / version.mount, Path(path), version)


def _of_groups(mount: Path, path: Path, version: _Version) -> Iterator[Room]:
    """Yield the room of the group and of all above it; in a container the upper ones are not there."""
    for place in (path, *path.parents):
        folder = mount / place.relative_to("/") if place.is_absolute() else mount / place
        limits = [limit for name in version.limits if (limit := _number(_text(folder / name))) is not None]
        used = _number(_text(folder / version.usage))
        if limits and used is not None:
            cache = _field(folder / "memory.stat", version.cache) or 0
            yield Room(free_bytes=max(0, min(limits) - max(0, used - cache)), whose=f"control group {place}")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    """Return the number; None for "max" and for no file."""
    return int(text) if text.strip().isdecimal() else None


def _field(path: Path, name: str) -> int | None:
    for line in _text(path).splitlines():
        key, _, rest = line.partition(" ")
        if key == name:
            return _number(rest.split()[0]) if rest.split() else None
    return None


def fitting_transfer(room: Room | None, transfer_bytes: int) -> int:
    """Return the largest power-of-two part of the transfer for which there is room; 0 if there is for none.

    A host whose memory cannot be read, which has no /proc, is not kept from sweeping: the helper says what it lacks.
    """
    while room is not None and transfer_bytes + PROCESSES_BYTES > room.free_bytes:
        transfer_bytes //= 2
        if transfer_bytes < MIN_TRANSFER_BYTES:
            return 0
    return transfer_bytes


def describe(room: Room, needed_bytes: int) -> str:
    """Return why a sweep that needs so many bytes has to wait, or is cut."""
    return (
        f"memory: {formatting.size(room.free_bytes)} of {room.whose} are left for a sweep, and it needs"
        f" {formatting.size(needed_bytes)}; raise MemoryMax=, or free memory"
    )
