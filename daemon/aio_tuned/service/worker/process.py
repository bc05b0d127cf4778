"""The worker process, which the daemon starts for each sweep, follows and ends.

A sweep has its own process because numpy would double the memory of an idle daemon, and because a fault of a sweep must
not affect the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.child_process import ChildProcess
from aio_tuned.errors import Exit
from aio_tuned.search.threads import limit_threads
from aio_tuned.service.worker import messages as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config
    from aio_tuned.service.worker.messages import Final, Job, Message

# The longest message carries a profile; with 100 findings it takes about 20 kB.
_LINE_LIMIT = 4 << 20
# The worker gives its helper 3 s to end, and 1 s more after a SIGKILL.
_END_S = 4.5
# A process that a SIGKILL has not ended by then is taken to be stuck in the kernel; on a busy host its end is not
# immediate. systemd waits for the daemon for 10 s in all.
_KILL_S = 2.0
# The limit for ending while the helper zeroes a raw device, which the helper reports once a second.
_ZEROING_S = 120.0
# 400 above the daemon's score, of 1000 at most: the kernel then kills the worker or its helper before the daemon.
_OOM_SCORE_ABOVE, _MOST_OOM_SCORE = 400, 1000
_WORKER = (sys.executable, "-m", "aio_tuned.service.worker")


def command(config: Config, worker: tuple[str, ...] = _WORKER) -> tuple[str, ...]:
    """Return the worker's command line with the configured priorities, which the helper inherits."""
    words = worker
    if config.nice and (nice := shutil.which("nice")):
        words = (nice, "-n", str(config.nice), *words)
    kind, _, level = config.io_priority.partition(":")
    if kind != "none" and (ionice := shutil.which("ionice")):
        class_words = ("-c", "3") if kind == "idle" else ("-c", "2", "-n", level or "4")
        words = (ionice, "-t", *class_words, *words)
    return words


def make_first_to_die(pid: int, proc: Path = Path("/proc")) -> None:
    """Raise the OOM score of the process and its children above the daemon's, so that the kernel kills them first."""
    with contextlib.suppress(OSError, ValueError):  # no reason to fail: the kernel may then kill the daemon first
        own = int((proc / "self/oom_score_adj").read_text())
        (proc / f"{pid}/oom_score_adj").write_text(str(min(_MOST_OOM_SCORE, own + _OOM_SCORE_ABOVE)))


class Runner:
    """One running worker; `zeroing` is true while its helper zeroes a device, and it needs more time to end."""

    def __init__(self, process: ChildProcess, listen: Callable[[Message], None]) -> None:
        self._process = process
        self._listen = listen
        self._final: Final | None = None
        self.zeroing = False
        self._reading = asyncio.ensure_future(self._read())
        self._left = asyncio.Event()

    @classmethod
    async def start(cls, job: Job, listen: Callable[[Message], None], worker: tuple[str, ...] = _WORKER) -> Runner:
        """Start a worker, or a substitute in a test, on the job; raise OSError if it cannot be started."""
        process = ChildProcess.start(
            command(job.config, worker),
            line_limit=_LINE_LIMIT,
            env=limit_threads(dict(os.environ)),
            cwd="/",  # because python -m also imports modules from the current folder
        )
        make_first_to_die(process.pid)
        sent = io.BytesIO()
        wire.send(job, sent)
        try:
            await process.stdin.write(sent.getvalue())
        except BrokenPipeError:
            pass  # the worker has ended: _ending reports that
        except asyncio.CancelledError:
            process.close()  # end of file on its standard input ends the worker
            raise
        return cls(process, listen)

    async def _read(self) -> None:
        while line := await self._process.stdout.readline():
            message = wire.from_line(line)
            self.zeroing = isinstance(message, wire.Zeroing)
            if isinstance(message, wire.Final):
                self._final = message
                return
            self._listen(message)

    async def result(self) -> Final:
        """Wait until the worker has ended or turns out to be unkillable, and return its final message."""
        ending = asyncio.ensure_future(self._ending())
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait({ending, left}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
        finally:
            ending.cancel()
            left.cancel()
            self._process.close()
        reason = "the drive does not respond: the worker process is stuck in the kernel (D state); see the kernel log"
        return wire.Failed(reason=reason, exit_code=Exit.IO)

    async def _ending(self) -> Final:
        broken = ""
        try:
            await self._reading
        except ValueError as error:
            broken = str(error)
        # A worker ends right after its final message, unless a drive that does not respond blocks it in the kernel.
        if broken or self._final is not None:
            await self.close()
        if self._final is not None and not broken:
            return self._final
        code = await self._process.wait()
        ended = f"killed by signal {-code}" if code < 0 else f"exited with code {code}"
        reason = broken or f"worker process {ended} before the sweep was complete; see journalctl -u aio-tuned"
        return wire.Failed(reason=reason, exit_code=Exit.HELPER)

    def end(self) -> None:
        """Send SIGTERM, on which the worker ends its helper and itself."""
        self._process.send_signal(signal.SIGTERM)

    async def close(self, extend: Callable[[float], None] = lambda _: None) -> bool:
        """End the worker, with SIGKILL if it does not obey SIGTERM; return whether it has ended.

        Call `extend` with the seconds that the end may take if the helper is zeroing a device.
        """
        self.end()
        ending = asyncio.ensure_future(self._process.wait())
        try:
            done, _ = await asyncio.wait({ending}, timeout=_END_S)
            if not done and self.zeroing:
                extend(_ZEROING_S)
                done, _ = await asyncio.wait({ending}, timeout=_ZEROING_S)
            if not done:
                self._process.kill()
                done, _ = await asyncio.wait({ending}, timeout=_KILL_S)
            if not done:
                self._left.set()
            return bool(done)
        finally:
            ending.cancel()
