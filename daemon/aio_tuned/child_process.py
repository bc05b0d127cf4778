"""A child process with pipes, which can be given up on every Python from 3.10 on.

asyncio has two reapers: Popen.poll(), which each signal and each close() calls, and a child watcher, which warns of an
unknown process and reports 255 where the first was faster. From Python 3.11 on its Process.wait() also waits until all
pipes are closed, which a process that cannot be killed never does. Here Popen alone reaps, no wait blocks the loop, and
closing waits for nothing.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from threading import Thread
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK = 1 << 16
# How often an ending process is looked at: first after 1 ms, each time after twice as long, at most 50 ms.
_FIRST_LOOK_S = 0.001
_LONGEST_LOOK_S = 0.05


class _Pipe:
    """Our end of a pipe, and the future that waits until it can be read or written."""

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
        """Wait until the pipe can be read or written, or is closed here."""
        loop = asyncio.get_running_loop()
        add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
        self._waiting = loop.create_future()
        add(self.fd, _wake, self._waiting)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if not self.closed:  # the number may be another file's by now
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
    """What the process prints to a pipe; at its end, and once it is closed here, b"" is read."""

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
                raise ValueError(f"a line of more than {self._line_limit} bytes")
            if not (more := await self._next(_CHUNK)):
                end = searched
                break
            self._rest += more
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        return line

    async def _next(self, count: int) -> bytes:
        # It waits even if there are bytes already, so that a process that prints endlessly does not hold up the loop.
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
        """Close our end; a read that waits returns b""."""
        self._pipe.close()


class Writer:
    """The standard input of the process."""

    def __init__(self, file: IO[bytes]) -> None:
        self._pipe = _Pipe(file)

    async def write(self, data: bytes) -> None:
        """Write all of it; raise BrokenPipeError if the process does not read any more, or if it is closed here."""
        rest = memoryview(data)
        while rest:
            if self._pipe.closed:
                raise BrokenPipeError
            try:
                rest = rest[os.write(self._pipe.fd, rest) :]
            except BlockingIOError:
                await self._pipe.ready(to_write=True)

    def close(self) -> None:
        """Close our end, which is the end of file for the process."""
        self._pipe.close()


class ChildProcess:
    """One child process; whoever starts it must call close(), which leaves a process behind that has not ended."""

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
    ) -> ChildProcess:
        """Start the process in a session of its own; raise OSError if it cannot be run."""
        popen = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stderr else None,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        return cls(popen, line_limit)

    @property
    def returncode(self) -> int | None:
        """The exit code, or less a signal's number; None while the process has not ended."""
        return self._popen.poll()

    async def wait(self) -> int:
        """Wait until the process has ended, whoever else has its pipes, and return its exit code."""
        look_s = _FIRST_LOOK_S
        # A pidfd can be readable before the process can be reaped, and waiting for that would block the loop.
        while (code := self._popen.poll()) is None:
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, _LONGEST_LOOK_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the process has ended."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._popen.kill()

    def close(self) -> None:
        """Close our ends of the pipes; a process that has not ended is left behind, and reaped when it ends."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        if self.returncode is None:
            Thread(target=self._popen.wait, name=f"left process {self.pid}", daemon=True).start()
