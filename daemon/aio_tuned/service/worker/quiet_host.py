"""The wait for a quiet host, before a sweep drops the page cache that other processes have filled."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices import sysfs
from aio_tuned.devices.sensors import Sensors
from aio_tuned.errors import DeferredError
from aio_tuned.model.measurement import DROPPING
from aio_tuned.service.worker.throttle_rules import PAUSES_AWAY
from aio_tuned.storage.append_log import AppendLog
from aio_tuned.sweep import checkpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_tuned.model.measurement import DropCaches

# A process that reads a model or writes a checkpoint is detected within 2 s; the kernel's counters lag by up to 1 s.
_LOOK_S = 2.0
_LONGEST_S = 600.0
# Each notice adds a line to the journal and rewrites the status file, so there is one a minute.
_NOTICE_EVERY_S = 60.0
# The host is busy above either limit: the share of time in which a task waits for I/O, or the bytes entering the cache.
_BUSY_PERCENT = 10.0
_BUSY_BYTES_PER_S = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIo:
    """Counters of the whole host: the time in which a task waited for I/O, and the bytes that entered the page cache.

    The kernel does not count the latter. They follow from three counters of /proc/vmstat, in pages: the pages in the
    cache (nr_file_pages without nr_shmem, which a drop does not touch) and those reclaimed from it (pgsteal_file), so
    that a full cache that is still being filled counts too. pgpgin is unsuitable: it counts direct I/O, which does not
    suffer from a drop, and not reads from the network. The kernel does not count hits in the cache.
    """

    waited_us: int
    cached_bytes: int


def read_host_io(proc: Path) -> HostIo | None:
    """Return the counters now; None if the kernel lacks one of them."""
    waited_us = Sensors("", proc=proc).pressure_us()
    lines = sysfs.attribute(proc, "vmstat").splitlines()
    counts = {name: count for name, _, count in (line.partition(" ") for line in lines)}
    try:
        pages = int(counts["nr_file_pages"]) - int(counts["nr_shmem"]) + int(counts["pgsteal_file"])
    except (KeyError, ValueError):
        return None
    return None if waited_us is None else HostIo(waited_us=waited_us, cached_bytes=pages * os.sysconf("SC_PAGE_SIZE"))


def busy(before: HostIo, after: HostIo, seconds: float) -> str:
    """Return the reason if the host is busy, or ""; `before` and `after` are its counters, `seconds` apart."""
    percent = (after.waited_us - before.waited_us) / (seconds * 1e4)
    if percent >= _BUSY_PERCENT:
        return f"other processes wait for I/O {min(percent, 100):.0f} % of the time"
    bytes_per_s = (after.cached_bytes - before.cached_bytes) / seconds
    if bytes_per_s > _BUSY_BYTES_PER_S:
        return f"other processes fill the page cache at {formatting.throughput(bytes_per_s)}"
    return ""


def why_blind(proc: Path = Path("/proc")) -> str:
    """Return the reason if the host's activity cannot be observed, or "".

    Without PSI, which some distributions disable, a wait for a quiet host would never end. A sweep then evicts only the
    target's own pages, because the drive's counters prove its reads without a drop too.
    """
    if read_host_io(proc) is not None:
        return ""
    return f"{proc}/pressure/io or {proc}/vmstat does not show whether other processes use the cache; boot with psi=1"


def _has_dropped(record: Path) -> bool:
    if not record.exists():
        return False
    try:
        entries, opened = AppendLog.open(record)
    except OSError:
        return False
    opened.close()
    return checkpoint.has_dropped(entries)


class QuietHost:
    """The wait of one sweep for a quiet host: `wait` returns once the host is quiet, or raises DeferredError.

    It calls `notice` with the reason once a minute while the host is busy, and with "" at the end. `paused_s` is the
    time in which the host was busy.
    """

    def __init__(
        self,
        min_pause_s: float,
        *,
        notice: Callable[[str], None],
        proc: Path = Path("/proc"),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.paused_s = 0.0
        self._min_pause_s = min_pause_s
        self._notice = notice
        self._proc = proc
        self._monotonic = monotonic
        self._sleep = sleep

    async def before_sweep(self, policy: DropCaches, record: Path) -> str:
        """Wait if the sweep will drop the page cache; return the reason if it must not drop it, or "".

        Do not wait if the sweep's checkpoint, `record`, shows that an earlier worker has dropped the cache.
        """
        if policy not in DROPPING:
            return ""
        if blind := why_blind(self._proc):
            return blind
        writable = os.access(self._proc / "sys/vm/drop_caches", os.W_OK)
        if writable and (policy == "always" or not _has_dropped(record)):
            await self.wait()
        return ""

    async def wait(self, longest_s: float = _LONGEST_S) -> None:
        """Observe the host until it is quiet; raise DeferredError if it is still busy after `longest_s`."""
        waited_s, next_notice_s = 0.0, 0.0
        while reason := await self._look():
            reason = f"waiting to drop the page cache: {reason}"
            waited_s += _LOOK_S
            self.paused_s += _LOOK_S
            if waited_s + _LOOK_S > longest_s:
                refused = f'{reason}; to sweep without a drop, set [sweep] drop_caches = "file"'
                raise DeferredError(refused, self._min_pause_s * PAUSES_AWAY)
            if waited_s >= next_notice_s:
                self._notice(reason)
                next_notice_s = waited_s + _NOTICE_EVERY_S
        if waited_s:
            self._notice("")

    async def _look(self) -> str:
        before, begun = read_host_io(self._proc), self._monotonic()
        await self._sleep(_LOOK_S)
        after = read_host_io(self._proc)
        if before is None or after is None:
            return why_blind(self._proc) or f"{self._proc}: I/O counters cannot be read"
        return busy(before, after, self._monotonic() - begun)
