"""Adapter: the worker process that runs one sweep for the daemon.

A process of its own, because numpy alone would double what the daemon takes while it idles, and because nothing that
goes wrong in a sweep can then go wrong in the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import signal
import sys
from typing import TYPE_CHECKING

from aio_tuned.errors import Exit
from aio_tuned.service.worker import messages as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config
    from aio_tuned.service.worker.messages import Final, Job, Message

# A profile of 100 findings is some 20 kB.
_LINE_LIMIT = 4 << 20
# The worker gives its helper 3 s to end, and 1 s more to be killed.
_END_S = 4.5
# A helper that zeroes what it wrote on a raw device says so once a second.
_ZEROING_S = 120.0
_WORKER = (sys.executable, "-m", "aio_tuned.service.worker")


def command(config: Config, worker: tuple[str, ...] = _WORKER) -> tuple[str, ...]:
    """The worker's command line, with the priorities that the configuration asks for; they are inherited."""
    words = worker
    if config.nice and (nice := shutil.which("nice")):
        words = (nice, "-n", str(config.nice), *words)
    kind, _, level = config.io_priority.partition(":")
    if kind != "none" and (ionice := shutil.which("ionice")):
        class_words = ("-c", "3") if kind == "idle" else ("-c", "2", "-n", level or "4")
        words = (ionice, "-t", *class_words, *words)
    return words


class Runner:
    """One running worker. `zeroing` is true while it must be given more time to end."""

    def __init__(self, process: asyncio.subprocess.Process, listen: Callable[[Message], None]) -> None:
        self._process = process
        self._listen = listen
        self._final: Final | None = None
        self.zeroing = False
        self._reading = asyncio.ensure_future(self._read())
        self._left = asyncio.Event()

    @classmethod
    async def start(cls, job: Job, listen: Callable[[Message], None], worker: tuple[str, ...] = _WORKER) -> Runner:
        """Start a worker (or a stand-in for it) on the job; OSError if there can be none."""
        process = await asyncio.create_subprocess_exec(
            *command(job.config, worker),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            cwd="/",  # python -m looks for modules where it stands
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - we asked for the pipe
        sent = io.BytesIO()
        wire.send(job, sent)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has died, and _read will say so
            process.stdin.write(sent.getvalue())
            await process.stdin.drain()
        return cls(process, listen)

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - we asked for the pipe
        while line := await self._process.stdout.readline():
            message = wire.from_line(line)
            self.zeroing = isinstance(message, wire.Zeroing)
            if isinstance(message, wire.Final):
                self._final = message
                return
            self._listen(message)

    async def result(self) -> Final:
        """What came of the sweep, once the worker has gone, or has had to be left behind."""
        ending = asyncio.ensure_future(self._ending())
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait({ending, left}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
        finally:
            ending.cancel()
            left.cancel()
        reason = "its worker is stuck in the kernel (D state) and cannot be ended: the drive does not answer"
        return wire.Failed(reason=reason, exit_code=Exit.IO)

    async def _ending(self) -> Final:
        broken = ""
        try:
            await self._reading
        except ValueError as error:
            broken = str(error)
        # It leaves at once after its last word; but a thread of it that a dead drive holds in the kernel may not.
        if broken or self._final is not None:
            await self.close()
        if self._final is not None and not broken:
            return self._final
        code = await self._process.wait()
        ended = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        reason = broken or f"the worker was {ended} without a result; see the journal"
        return wire.Failed(reason=reason, exit_code=Exit.HELPER)

    def end(self) -> None:
        """Ask it to end its helper and itself."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    async def close(self, extend: Callable[[float], None] = lambda _: None) -> bool:
        """End it, by force if need be; whether it has gone.

        `extend` is told how many seconds more it takes to zero a device that was written.
        """
        self.end()
        gone = asyncio.ensure_future(self._process.wait())
        try:
            done, _ = await asyncio.wait({gone}, timeout=_END_S)
            if not done and self.zeroing:
                extend(_ZEROING_S)
                done, _ = await asyncio.wait({gone}, timeout=_ZEROING_S)
            if not done:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                done, _ = await asyncio.wait({gone}, timeout=0.3)
            if not done:
                self._left.set()
            return bool(done)
        finally:
            gone.cancel()
