"""The process of the helper `aio-sweep`, or of a stand-in for it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sysconfig
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.child_process import ChildProcess
from aio_tuned.errors import AioTunedError, DeferredError, Exit, HelperError
from aio_tuned.helper.protocol import (
    EXIT_OF_CODE,
    FAILED_REQUEST,
    GIVEN_UP,
    NO_SPACE,
    REFUSALS,
    Hello,
    Tick,
    parse_hello,
    parse_message,
    parse_point,
    parse_span,
    parse_zeroing,
    request_line,
    tells_of_the_end,
)
from aio_tuned.timeouts import TooLateError, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from aio_tuned.model.measurement import Request, Sample

# The helper ticks once a second, so after a minute without a tick it has failed. Without progress in the ticks for five
# minutes the device does not answer (a queue without paths, a suspended volume); no sync takes that long.
_SILENCE_S = 60.0

_STUCK_S = 300.0

# The wait before another try when free space ran short.
NO_SPACE_RETRY_S = 600.0

# The limit for a silent helper to zero a raw device that it has written. It is never killed.
RAW_END_S = 300.0

# The limit for a helper to exit, and the least time for the kernel to end a killed one.
END_S = 10.0
_KILLED_S = 1.0

_REINSTALL = "reinstall aio-tuned"
_SEE_LOGS = "see dmesg and the journal"

_LAST_WORDS = 4096

# 65536 transfers in one answer are 1.3 MB.
_LINE_LIMIT = 4 << 20


def find(explicit: Path | None = None) -> Path:
    """Return the path of `explicit`, or else of the installed helper; raise HelperError if there is none."""
    if explicit is not None:
        # A bare name is looked up in PATH, as a shell would.
        found = shutil.which(str(explicit))
        if found is None:
            raise HelperError(f"{explicit}: not found or not executable; correct --helper or AIO_TUNED_HELPER")
        return Path(found)
    installed = Path(sysconfig.get_path("scripts")) / "aio-sweep"
    if installed.exists():
        return installed
    if found := shutil.which("aio-sweep"):
        return Path(found)
    raise HelperError(f"aio-sweep: not installed ({installed}); reinstall aio-tuned or pass --helper PATH")


class RawWriteRefusedError(HelperError):
    """The refusal of the helper to write a raw device that other processes may use; nothing was written."""


class RequestFailedError(HelperError):
    """The helper's report that it cannot do a request, which says nothing against the target: others may succeed.

    It rejects the request, or the host has too little memory, too few threads, or no space for a new file.
    """


def _error(message: dict[str, Any], wanted: str) -> AioTunedError:
    """Return the exception for an `error` message of the helper, received in place of a `wanted` message."""
    said, code = str(message.get("message", message)), message.get("code")
    if wanted == "hello" and message.get("op") in REFUSALS:
        return RawWriteRefusedError(said, Exit.BUSY)
    if code == GIVEN_UP:
        return DeferredError(said, NO_SPACE_RETRY_S)
    exit_code = EXIT_OF_CODE.get(code, Exit.HELPER) if isinstance(code, int) else Exit.HELPER
    if wanted == "point" and (code in FAILED_REQUEST or message.get("name") in NO_SPACE):
        return RequestFailedError(said, exit_code)
    return HelperError(said, exit_code)


class Helper:
    """One running helper process; use it as `async with await Helper.start(…) as helper`.

    `stuck` is true if close() could not end the process: it hangs in the kernel (D state), or it still zeroes a raw
    device. `span` is the last reported state of the written span of a raw device: "clean", "left", or "" if unknown.
    """

    def __init__(
        self,
        process: ChildProcess,
        on_tick: Callable[[Tick], None],
        grace_s: float,
        *,
        writes_raw: bool = False,
    ) -> None:
        self._process = process
        self._on_tick = on_tick
        self._writes_raw = writes_raw
        self._grace_s = grace_s
        self.stuck = False
        self.span = ""
        self._ended = False
        self._last_words = b""
        self._listening = asyncio.ensure_future(self._listen())

    @classmethod
    async def start(
        cls,
        program: Path,
        words: tuple[str, ...],
        on_tick: Callable[[Tick], None] = lambda _: None,
        *,
        grace_s: float = END_S,
        writes_raw: bool = False,
    ) -> Helper:
        """Start the process, which prepares the target before its hello; raise HelperError if it cannot be run.

        close() waits `grace_s` seconds for the process to exit, then kills it and waits for a third of that, at least
        1 s. A process that `writes_raw` is never killed.
        """
        try:
            # Ctrl-C does not reach the session of the helper; close() ends it in order instead. Nothing is awaited
            # here, so that no cancellation separates a helper that may write a raw device from its close().
            process = ChildProcess.start((str(program), *words), line_limit=_LINE_LIMIT, stderr=True)
        except OSError as error:
            raise HelperError(
                f"{program}: cannot be run: {error.strerror}; correct --helper or AIO_TUNED_HELPER"
            ) from None
        return cls(process, on_tick, grace_s, writes_raw=writes_raw)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _listen(self) -> None:
        """Keep the last bytes of standard error; the helper reports its errors on standard output as well."""
        assert self._process.stderr is not None  # noqa: S101 - we asked for the pipe
        while words := await self._process.stderr.read(_LAST_WORDS):
            self._last_words = (self._last_words + words)[-_LAST_WORDS:]

    async def hello(self) -> Hello:
        """Wait until the target is ready.

        Raise HelperError if the helper fails, DeferredError if it removed its scratch file for lack of space.
        """
        return parse_hello(await self._next("hello"))

    async def measure(self, request: Request) -> Sample:
        """Measure one setting and return the sample with the time of its arrival.

        Raise HelperError if the helper fails or violates the protocol.
        """
        # A helper that has just exited left the reason on standard output, which _next reads.
        with contextlib.suppress(BrokenPipeError):
            await self._process.stdin.write(request_line(request).encode() + b"\n")
        return replace(parse_point(await self._next("point"), request), at_s=round(time.time(), 3))

    async def finish(self) -> int:
        """End a complete run and return the total of bytes written as counted by the helper (0 if it does not count).

        Raise HelperError unless the helper announces its end and exits with code 0; its samples are not valid then.
        """
        self._process.stdin.close()
        message = await self._next("end")
        self._ended = True
        self.span = str(message.get("span", "clean"))
        try:
            code = await within(END_S, self._process.wait())
        except TooLateError:
            raise HelperError(
                f"aio-sweep: still running {END_S:.0f} s after the end of the sweep; see the kernel log", Exit.IO
            ) from None
        if code != 0:
            raise HelperError(f"aio-sweep: exited with code {code} after the end of the sweep; run the sweep again")
        written = message.get("bytes_written", 0)
        return written if isinstance(written, int) else 0

    async def close(self) -> None:
        """End the process, in whatever state it is."""
        if not self._ended:
            self._process.send_signal(signal.SIGTERM)
            self._process.stdin.close()
        try:
            await self._drained(self._grace_s)
        except TooLateError:
            if not self._writes_raw:
                self._process.kill()
                with contextlib.suppress(TooLateError):
                    await self._drained(max(_KILLED_S, self._grace_s / 3))
        finally:
            # A process that inherited the pipes may hold them open after the helper has exited.
            self.stuck = self._process.returncode is None
            self._process.close()

    async def _drained(self, seconds: float) -> None:
        """Read the output until the process has exited, so that a helper with a full pipe can exit.

        Raise TooLateError after `seconds`. The time starts again with each progress of zeroing a raw device or
        trimming a scratch file, which must not be interrupted.
        """
        loop = asyncio.get_running_loop()
        end, rest, zeroed = loop.time() + seconds, b"", Tick(phase="", bytes=-1, total_bytes=0)
        moved_at = loop.time()
        while said := await within(end - loop.time(), self._process.stdout.read(1 << 16)):
            said = rest[-_LAST_WORDS:] + said
            # Up to 8 MiB of invalid output may wait, in lines of one byte.
            *lines, rest = said.split(b"\n") if tells_of_the_end(said) else (said[said.rfind(b"\n") + 1 :],)
            self.span = next((found for line in lines if (found := parse_span(line))), self.span)
            for line in lines:
                if (tick := parse_zeroing(line)) is None:
                    continue
                self._on_tick(tick)
                if tick != zeroed:
                    zeroed, moved_at = tick, loop.time()
                if loop.time() - moved_at <= _STUCK_S:
                    end = loop.time() + seconds
            if loop.time() > end:
                raise TooLateError
        await asyncio.wait({self._listening}, timeout=max(0, end - loop.time()))
        await within(end - loop.time(), self._process.wait())

    async def _line(self) -> bytes:
        """Return the next line of output; raise HelperError at its end or after a minute of silence."""
        try:
            line = await within(_SILENCE_S, self._process.stdout.readline())
        except TooLateError:
            raise HelperError(f"aio-sweep: no output for {_SILENCE_S:.0f} s; see the kernel log", Exit.IO) from None
        except ValueError:
            raise HelperError(f"aio-sweep: output line longer than {_LINE_LIMIT >> 20} MiB; {_REINSTALL}") from None
        if line:
            return line
        try:
            code = await within(self._grace_s, self._process.wait())
        except TooLateError:
            raise HelperError(
                "aio-sweep: closed its output but is still running; see the kernel log", Exit.IO
            ) from None
        ended = f"killed by signal {-code}" if code < 0 else f"exited with code {code}"
        await asyncio.wait({self._listening}, timeout=1)
        said = self._last_words.decode("utf-8", "replace").strip()
        raise HelperError(
            f"aio-sweep: {ended} without an error message; {f'last output: {said}' if said else _SEE_LOGS}"
        )

    async def _next(self, wanted: str) -> dict[str, Any]:
        """Return the next message that is not a tick; raise HelperError if it is not of the wanted type."""
        loop = asyncio.get_running_loop()
        moved_at, before = loop.time(), Tick(phase="", bytes=-1, total_bytes=0)
        while True:
            line = await self._line()
            try:
                kind, message = parse_message(line)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                raise HelperError(f"aio-sweep: invalid message {line[:200]!r}; {_REINSTALL}") from None
            if isinstance(message, Tick):
                self._on_tick(message)
                if message != before:
                    moved_at, before = loop.time(), message
                elif loop.time() - moved_at > _STUCK_S:
                    raise HelperError(f"the drive has not responded for {_STUCK_S:.0f} s; see the kernel log", Exit.IO)
            elif kind == "error":
                self._ended = True
                self.span = str(message.get("span", ""))
                raise _error(message, wanted)
            elif kind == "end" and wanted != kind:
                raise HelperError("aio-sweep: terminated before the sweep was complete; run the sweep again")
            elif kind != wanted:
                raise HelperError(f"aio-sweep: message {kind!r} instead of {wanted!r}; {_REINSTALL}")
            else:
                return message
