"""Notification of mount changes."""

from __future__ import annotations

import select
from pathlib import Path


class MountWatch:
    """A watch on the mounts of this process's namespace; construct it before reading the mounts.

    The constructor raises OSError if mountinfo cannot be watched.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._file = (proc / "self/mountinfo").open("rb", buffering=0)
        # mountinfo is always readable; a change shows as POLLPRI and POLLERR, which asyncio's add_reader does not wait
        # for. An epoll descriptor is readable while a file in it has such an event.
        self._epoll = select.epoll()
        try:
            self._epoll.register(self._file, select.EPOLLPRI | select.EPOLLERR)
            self._text = self._read()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor, which becomes readable once after each change."""
        return self._epoll.fileno()

    def changed(self) -> bool:
        """Return whether the mounts have changed since the previous call."""
        # The texts are compared because a poll consumes the event, and the caller's wait for fileno() was a poll.
        self._epoll.poll(0)
        before, self._text = self._text, self._read()
        return self._text != before

    def close(self) -> None:
        """Close both descriptors."""
        self._epoll.close()
        self._file.close()

    def _read(self) -> bytes:
        self._file.seek(0)
        return self._file.read()
