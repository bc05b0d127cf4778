"""A child process with pipes that can be abandoned while it is running, on every Python from 3.10 on.

asyncio's own has two reapers: Popen.poll(), which each signal and each close() calls, and a child watcher, which warns
of an unknown process and reports 255 if the first was faster. From Python 3.11 on, its Process.wait() also waits until
all pipes are closed, which never happens for a process that cannot be killed. Here only Popen reaps, no wait blocks the
loop, and closing does not wait.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from threading import Thread
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK = 1 << 16
# The intervals at which an ending process is polled: 1 ms at first, doubled each time up to 50 ms.
_FIRST_POLL_S = 0.001
_LONGEST_POLL_S = 0.05


class Account(NamedTuple):
    """The user as whom a child process runs, with its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class _Pipe:
    """This process's end of a pipe, and the future of a wait until it can be read or written."""

    def __init__(self, file: IO[bytes]) -> None:
        os.set_blocking(file.fileno(), False)
        self._file = file
        self._waiting: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        return self._file.closed

    @property
    def fd(self) -> int:
        return self._file.fileno()

    async def ready(self, *, to_write: bool) -> None:
        """Wait until the pipe can be read or written, or close() is called.

        A wait supersedes an earlier one that is cancelled and has not ended yet.
        """
        loop = asyncio.get_running_loop()
        add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        waiting = self._waiting = loop.create_future()
        add(self.fd, _wake, waiting)
        try:
            await waiting
        finally:
            if self._waiting is waiting:
                self._waiting = None
                if not self.closed:  # else the descriptor may be another file's by now
                    remove(self.fd)

    def close(self) -> None:
        if self._waiting is not None:
            loop = self._waiting.get_loop()
            loop.remove_reader(self.fd)
            loop.remove_writer(self.fd)
            _wake(self._waiting)
        self._file.close()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class Reader:
    """The output of the process through a pipe; it reads b"" at the end of file and after close()."""

    def __init__(self, file: IO[bytes], line_limit: int) -> None:
        self._pipe = _Pipe(file)
        self._line_limit = line_limit
        self._rest = bytearray()

    async def read(self, count: int = _CHUNK) -> bytes:
        """Return the next bytes, at most `count`."""
        if not self._rest:
            return await self._next(count)
        found = bytes(self._rest[:count])
        del self._rest[:count]
        return found

    async def readline(self) -> bytes:
        """Return the next line; raise ValueError if it is longer than the limit."""
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > self._line_limit:
                raise ValueError(f"line longer than {self._line_limit} bytes")
            if not (more := await self._next(_CHUNK)):
                end = searched
                break
            self._rest += more
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        return line

    async def _next(self, count: int) -> bytes:
        # Waiting even if bytes are available gives other tasks a turn while a process prints endlessly.
        while not self._pipe.closed:
            await self._pipe.ready(to_write=False)
            if self._pipe.closed:
                break
            try:
                return os.read(self._pipe.fd, count)
            except BlockingIOError:
                continue
        return b""

    def close(self) -> None:
        """Close the pipe; a waiting read returns b""."""
        self._pipe.close()


class Writer:
    """The standard input of the process."""

    def __init__(self, file: IO[bytes]) -> None:
        self._pipe = _Pipe(file)

    async def write(self, data: bytes) -> None:
        """Write all of `data`; raise BrokenPipeError if the process has closed the pipe, or after close()."""
        rest = memoryview(data)
        while rest:
            if self._pipe.closed:
                raise BrokenPipeError
            try:
                rest = rest[os.write(self._pipe.fd, rest) :]
            except BlockingIOError:
                await self._pipe.ready(to_write=True)

    def close(self) -> None:
        """Close the pipe; the process then reads the end of file."""
        self._pipe.close()


class ChildProcess:
    """One child process; its owner must call close(), which abandons a process that is still running."""

    def __init__(self, popen: subprocess.Popen[bytes], line_limit: int) -> None:
        assert popen.stdin is not None  # noqa: S101 - start() asks for the pipes
        assert popen.stdout is not None  # noqa: S101 - see above
        self._popen = popen
        self.pid = popen.pid
        self.stdin = Writer(popen.stdin)
        self.stdout = Reader(popen.stdout, line_limit)
        self.stderr = Reader(popen.stderr, line_limit) if popen.stderr is not None else None

    @classmethod
    def start(
        cls,
        words: tuple[str, ...],
        *,
        line_limit: int,
        stderr: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        account: Account | None = None,
    ) -> ChildProcess:
        """Start the process in a new session, by default as this process's user; raise OSError if it cannot be run."""
        popen = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stderr else None,
            env=env,
            cwd=cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=account.groups if account else None,
        )
        return cls(popen, line_limit)

    @property
    def returncode(self) -> int | None:
        """Return the exit code, or the negated number of the signal that ended it; None while it is running."""
        return self._popen.poll()

    async def wait(self) -> int:
        """Wait until the process has ended, even if other processes hold its pipes, and return its exit code."""
        poll_s = _FIRST_POLL_S
        # A pidfd can be readable before the process can be reaped, and the wait for that would block the loop.
        while (code := self._popen.poll()) is None:
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, _LONGEST_POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the process has ended."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._popen.kill()

    def close(self) -> None:
        """Close the pipes; a process that is still running is abandoned, and reaped by a thread when it ends."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        if self.returncode is None:
            Thread(target=self._popen.wait, name=f"reaper of process {self.pid}", daemon=True).start()
