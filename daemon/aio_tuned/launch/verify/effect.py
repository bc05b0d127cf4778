"""Which options of a consumer are in effect while it does I/O, by /proc and the drive's counters."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.launch.verify.proc import fields, names, text
from aio_tuned.launch.verify.queues import Queues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

_EVERY_S = 0.002
# Metadata, such as an inode's time, is no transfer of a thread.
_SMALL = 1 / 100
# Pages of the file that remain in the page cache after direct I/O: readahead at its ends at most.
_CACHED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a consumer's values ask for: threads, requests in each thread's kernel queue, and O_DIRECT.

    `depth` is None for a consumer without a kernel queue.
    """

    threads: int
    depth: int | None
    direct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What was seen while the consumer moved its bytes once; None is unknown.

    `threads` have moved data, `depth` is the size of each kernel queue (libaio's) by /proc/sys/fs/aio-nr, `direct`
    whether a file was open with O_DIRECT, `cached` the share of the files in the page cache afterwards, and
    `most_in_flight` the most requests that the drive had at once. If threads have `ended` by now, as those of fio,
    there may be more that moved data after the last look.
    """

    threads: int | None
    depth: int | None
    direct: bool | None
    cached: float
    most_in_flight: int
    ended: bool = False

    @property
    def complete(self) -> bool:
        """Whether threads and open files were seen."""
        return self.threads is not None and self.direct is not None

    @property
    def bypasses_cache(self) -> bool:
        """Whether the data went past the page cache: O_DIRECT is ignored by some filesystems."""
        return self.direct is not False and self.cached <= _CACHED


class Watch:
    """An observer of one process and its children, which looks every 2 ms until `stop` is set.

    `count_before` is the host's count of reserved AIO requests from before the process made its queues, if it has them.
    """

    def __init__(
        self,
        pid: int,
        folder: Path,
        in_flight: Callable[[], int],
        count_before: int | None = None,
        proc: Path = Path("/proc"),
    ) -> None:
        self._pid = pid
        self._prefix = f"{folder}/"
        self._in_flight = in_flight
        self._proc = proc
        self._count_before = count_before
        self._queues = Queues(proc, count_before)
        self._before: dict[tuple[int, int], int] = {}
        self._moved: dict[tuple[int, int], int] = {}
        self._direct: bool | None = None
        self._most_in_flight = 0

    def begin(self) -> Watch:
        """Forget what was seen, and return self; call it before a transfer."""
        self._before = {at: _moved(self._proc, *at) for at in self._threads()}
        self._moved = {}
        self._direct, self._most_in_flight = None, 0
        self._queues = Queues(self._proc, self._count_before)
        return self

    def run(self, stop: Event) -> None:
        """Look until `stop` is set, and once more then."""
        while True:
            last = stop.is_set()
            self._look()
            if last:
                return
            time.sleep(_EVERY_S)

    def seen(self, cached: float) -> Effect:
        """Return what was seen since begin()."""
        grown = [max(0, count - self._before.get(at, 0)) for at, count in self._moved.items()]
        most = max(grown, default=0)
        threads = sum(count > most * _SMALL for count in grown) if most else None
        return Effect(
            threads=threads,
            depth=self._queues.depth(),
            direct=self._direct,
            cached=cached,
            most_in_flight=self._most_in_flight,
            ended=not set(self._moved) <= set(self._threads()),
        )

    def _look(self) -> None:
        for at in self._threads():
            self._moved[at] = _moved(self._proc, *at)
        pids = {pid for pid, _ in self._moved}
        for pid in pids:
            self._look_at_files(pid)
        self._queues.look(pids)
        self._most_in_flight = max(self._most_in_flight, self._in_flight())

    def _look_at_files(self, pid: int) -> None:
        for name in names(self._proc / str(pid) / "fd"):
            try:
                if os.readlink(self._proc / str(pid) / "fd" / name).startswith(self._prefix):  # noqa: PTH115 - many a second
                    flags = fields(self._proc / str(pid) / "fdinfo" / name, ":")["flags"]
                    self._direct = bool(self._direct) or bool(int(flags, 8) & os.O_DIRECT)
            except (OSError, KeyError, ValueError):
                continue  # closed by now

    def _threads(self) -> Iterator[tuple[int, int]]:
        """Yield process and number of each thread of the process and its children."""
        pending = [self._pid]
        while pending:
            pid = pending.pop()
            for name in names(self._proc / str(pid) / "task"):
                yield pid, int(name)
                children = self._proc / str(pid) / "task" / name / "children"
                pending += map(int, text(children).split())


def _moved(proc: Path, pid: int, thread: int) -> int:
    """Return the bytes that a thread has had read from and written to drives."""
    found = fields(proc / str(pid) / "task" / str(thread) / "io", ":")
    return int(found["read_bytes"] or "0") + int(found["write_bytes"] or "0")
