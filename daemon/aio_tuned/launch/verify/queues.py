"""The size of a consumer's kernel queues (libaio's), by its mappings and the host's count of reserved requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.launch.verify.proc import text

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class Queues:
    """The queues of some processes, looked at again and again while they do I/O.

    `before` is /proc/sys/fs/aio-nr from before the queues were made, if they are there already. The count is the whole
    host's: it says something about these processes only if every look finds what equal queues would make of it.
    """

    def __init__(self, proc: Path, before: int | None = None) -> None:
        self._proc = proc
        self._are_there = before is not None
        self._before = self._count() if before is None else before
        self._rings = 0
        self._looks: set[tuple[int, int]] = set()
        self._without: set[tuple[int, int]] = set()

    def look(self, pids: Collection[int]) -> None:
        """Look at the queues of the processes, and at the host's count."""
        count = self._count()
        # Queues that were there at the start remain; the mappings of a process with torch are many.
        if not (self._are_there and self._rings):
            self._rings = sum(_rings(self._proc / str(pid)) for pid in pids)
        if self._count() != count:
            return
        if self._rings:
            self._looks |= {*self._without, (self._rings, count)}
            self._without.clear()
        else:
            # Kept for the next queue: a process that ends gives back its requests only after its mappings.
            self._without.add((0, count))

    def depth(self) -> int | None:
        """Return the requests that each queue holds; None if it is not known."""
        rings, count = max(self._looks, default=(0, 0))
        if not rings or (not self._are_there and self._count() != self._before):
            return None
        depth = (count - self._before) // rings
        if depth <= 0 or any(count - self._before != depth * rings for rings, count in self._looks):
            return None
        return depth

    def _count(self) -> int:
        return int(text(self._proc / "sys/fs/aio-nr") or "0")


def _rings(process: Path) -> int:
    """Return the number of libaio's queues; each is a mapping of the process."""
    return sum("[aio]" in line for line in text(process / "maps").splitlines())
