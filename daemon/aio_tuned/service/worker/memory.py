"""The memory that a sweep needs, and the memory available to this process on its host and in its control groups.

The helper locks a buffer of the size of one transfer, and a second of half that size when it measures huge pages beside
the consumer's memory. The kernel kills a process of a group at its limit, so a sweep is cut to the available memory
before it begins, or deferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search.plan import MIN_TRANSFER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

# Twice the memory of the worker, which grows to 31 MiB in a default sweep, and of the helper without its buffer.
PROCESSES_BYTES = 64 << 20
# A CPU's lists of free pages, which the ballast empties, had up to 2.5 GiB of 24.
MAX_BALLAST_BYTES = 4 << 30
# A sweep takes at most this share of the host's available memory, which includes other processes' page cache.
_HOST_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableMemory:
    """The bytes that a sweep may take, and where: "on the host" or "in control group PATH"."""

    free_bytes: int
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """The mount of one version of control groups below /sys/fs/cgroup, and its files."""

    mount: str
    limits: tuple[str, ...]
    usage: str
    cache: str


# The kernel drops the cache in `inactive_file` before it kills a process; above memory.high it slows processes down.
_V2 = _Version(mount="", limits=("memory.max", "memory.high"), usage="memory.current", cache="inactive_file")
_V2_BESIDE_V1 = _Version(mount="unified", limits=_V2.limits, usage=_V2.usage, cache=_V2.cache)
_V1 = _Version(
    mount="memory", limits=("memory.limit_in_bytes",), usage="memory.usage_in_bytes", cache="total_inactive_file"
)


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> AvailableMemory | None:
    """Return the least memory of the host and of each control group of this process; None if none can be read."""
    return min(_all_available(proc, cgroup), key=lambda each: each.free_bytes, default=None)


def _all_available(proc: Path, cgroup: Path) -> Iterator[AvailableMemory]:
    if (free_kib := _field(proc / "meminfo", "MemAvailable:")) is not None:
        yield AvailableMemory(free_bytes=int(free_kib * 1024 * _HOST_SHARE), where="on the host")
    for line in _text(proc / "self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            versions: tuple[_Version, ...] = (_V2, _V2_BESIDE_V1)
        else:
            versions = (_V1,) if "memory" in controllers.split(",") else ()
        for version in versions:
            yield from _of_groups(cgroup / version.mount, Path(path), version)


def _of_groups(mount: Path, path: Path, version: _Version) -> Iterator[AvailableMemory]:
    """Yield the memory of the group and of all groups above it; in a container the upper ones are missing."""
    for place in (path, *path.parents):
        folder = mount / place.relative_to("/") if place.is_absolute() else mount / place
        limits = [limit for name in version.limits if (limit := _number(_text(folder / name))) is not None]
        used = _number(_text(folder / version.usage))
        if limits and used is not None:
            cache = _field(folder / "memory.stat", version.cache) or 0
            yield AvailableMemory(
                free_bytes=max(0, min(limits) - max(0, used - cache)), where=f"in control group {place}"
            )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    """Return the number; None for "max" and for a missing file."""
    return int(text) if text.strip().isdecimal() else None


def _field(path: Path, name: str) -> int | None:
    for line in _text(path).splitlines():
        key, _, rest = line.partition(" ")
        if key == name:
            return _number(rest.split()[0]) if rest.split() else None
    return None


def needed_bytes(transfer_bytes: int) -> int:
    """Return the bytes that a sweep with transfers of that size needs."""
    return transfer_bytes + transfer_bytes // 2 + PROCESSES_BYTES


def fitting_transfer(available: AvailableMemory | None, transfer_bytes: int) -> int:
    """Return the transfer size, halved until it fits into the memory; 0 if the smallest transfer does not fit.

    Return the whole size if the memory cannot be read: the helper reports an error if its buffer does not fit.
    """
    while available is not None and needed_bytes(transfer_bytes) > available.free_bytes:
        transfer_bytes //= 2
        if transfer_bytes < MIN_TRANSFER_BYTES:
            return 0
    return transfer_bytes


def ballast(available: AvailableMemory | None, transfer_bytes: int) -> int:
    """Return the bytes that the helper may take while it allocates its buffer: half of what the sweep leaves.

    Return 0 if the memory cannot be read.
    """
    if available is None:
        return 0
    return min(MAX_BALLAST_BYTES, max(0, available.free_bytes - needed_bytes(transfer_bytes)) // 2)


def describe(available: AvailableMemory, needed_bytes: int) -> str:
    """Return the reason why a sweep that needs that many bytes is deferred or cut."""
    return (
        f"memory: {formatting.size(available.free_bytes)} available {available.where}, but a sweep needs"
        f" {formatting.size(needed_bytes)}; raise MemoryMax= or free memory"
    )
