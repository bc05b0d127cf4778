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
    GIVEN_UP,
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

# The helper ticks once a second: after a minute without a tick it does not run. If the ticks show no progress for five
# minutes, the device does not answer (a queue without paths, a suspended volume); no sync takes that long.
_SILENCE_S = 60.0

_STUCK_S = 300.0

# How long to wait for space that others need.
NO_SPACE_RETRY_S = 600.0

# How long a helper that has written a raw device may take to zero it, if it says nothing. It is never killed.
RAW_END_S = 300.0

# How long a helper may take to end, and how long at least the kernel to end one that was killed.
END_S = 10.0
_KILLED_S = 1.0

_LAST_WORDS = 4096

# 65536 transfers in one answer are 1.3 MB.
_LINE_LIMIT = 4 << 20


def find(explicit: Path | None = None) -> Path:
    """Return the helper to run: `explicit`, else the one installed with this package; raise HelperError without one."""
    if explicit is not None:
        # A bare name is looked up in PATH, as a shell would.
        found = shutil.which(str(explicit))
        if found is None:
            raise HelperError(
                f"helper {explicit}: no such program, or not executable; correct --helper or AIO_TUNED_HELPER"
            )
        return Path(found)
    installed = Path(sysconfig.get_path("scripts")) / "aio-sweep"
    if installed.exists():
        return installed
    if found := shutil.which("aio-sweep"):
        return Path(found)
    raise HelperError(
        f"the helper aio-sweep is not installed ({installed}): reinstall aio-tuned, or pass --helper PATH"
    )


class RawWriteRefusedError(HelperError):
    """The helper does not write the raw device, because others may use it; nothing was written."""


def _error(message: dict[str, Any], wanted: str) -> AioTunedError:
    """Return the exception for the helper's `error` line, which came where `wanted` was due."""
    said, code = str(message.get("message", message)), message.get("code")
    if wanted == "hello" and message.get("op") in REFUSALS:
        return RawWriteRefusedError(said, Exit.BUSY)
    if code == GIVEN_UP:
        return DeferredError(said, NO_SPACE_RETRY_S)
    return HelperError(said, EXIT_OF_CODE.get(code, Exit.HELPER) if isinstance(code, int) else Exit.HELPER)


class Helper:
    """One running helper process; use it as `async with await Helper.start(…) as helper`.

    `stuck` is true if close() could not end the process, which then hangs in the kernel (D state), or was left behind
    with what it has written on a raw device. `span` is what it says of that: "clean", "left", or "" if it has said
    nothing.
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

        close() gives it `grace_s` seconds to end, and a third of that more, at least 1 s, once it has been killed. One
        that `writes_raw` is not killed, but left behind.
        """
        try:
            # Ctrl-C does not reach its session; close() ends it in order instead. Nothing is awaited here, so that no
            # cancellation comes between a helper that may have begun to write a raw device and its close().
            process = ChildProcess.start((str(program), *words), line_limit=_LINE_LIMIT, stderr=True)
        except OSError as error:
            raise HelperError(f"helper {program}: cannot be run: {error.strerror}") from None
        return cls(process, on_tick, grace_s, writes_raw=writes_raw)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _listen(self) -> None:
        """Keep the last bytes of the helper's standard error; its errors come on standard output as well."""
        assert self._process.stderr is not None  # noqa: S101 - we asked for the pipe
        while words := await self._process.stderr.read(_LAST_WORDS):
            self._last_words = (self._last_words + words)[-_LAST_WORDS:]

    async def hello(self) -> Hello:
        """Wait until the target is ready.

        Raise HelperError if the helper fails, DeferredError if it has given up its scratch file.
        """
        return parse_hello(await self._next("hello"))

    async def measure(self, request: Request) -> Sample:
        """Measure one point and return the sample, with the time when its answer came.

        Raise HelperError if the helper fails, or answers what the protocol does not allow.
        """
        # The reason of a helper that has just died is on its standard output, which _next reads.
        with contextlib.suppress(BrokenPipeError):
            await self._process.stdin.write(request_line(request).encode() + b"\n")
        return replace(parse_point(await self._next("point"), request), at_s=round(time.time(), 3))

    async def finish(self) -> int:
        """End a complete run and return the bytes written in all, as the helper counts them (0 if it does not).

        Raise HelperError if the helper does not announce its end and exit with code 0: what it reported is not to be
        trusted then.
        """
        self._process.stdin.close()
        message = await self._next("end")
        self._ended = True
        self.span = str(message.get("span", "clean"))
        try:
            code = await within(END_S, self._process.wait())
        except TooLateError:
            raise HelperError(
                f"the helper does not leave, {END_S:.0f} s after its end; see the kernel log", Exit.IO
            ) from None
        if code != 0:
            raise HelperError(f"the helper left with exit code {code} after its end")
        written = message.get("bytes_written", 0)
        return written if isinstance(written, int) else 0

    async def close(self) -> None:
        """End the process, whatever state it is in."""
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
            # A process that inherited the pipes may hold them open after the helper has ended.
            self.stuck = self._process.returncode is None
            self._process.close()

    async def _drained(self, seconds: float) -> None:
        """Read on until the process has ended, so that a helper with a full pipe can exit.

        Raise TooLateError after `seconds`. They begin again while the helper zeroes what it has written on a raw
        device, or gives a scratch file's space back, which must not stay half done.
        """
        loop = asyncio.get_running_loop()
        end, rest, zeroed = loop.time() + seconds, b"", Tick(phase="", bytes=-1, total_bytes=0)
        moved_at = loop.time()
        while said := await within(end - loop.time(), self._process.stdout.read(1 << 16)):
            said = rest[-_LAST_WORDS:] + said
            # 8 MiB of nonsense may wait, in lines of a byte.
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
        """Return the next line; raise HelperError if there is none."""
        try:
            line = await within(_SILENCE_S, self._process.stdout.readline())
        except TooLateError:
            raise HelperError(
                f"the helper has been silent for {_SILENCE_S:.0f} s; see the kernel log", Exit.IO
            ) from None
        except ValueError:
            raise HelperError("the helper's line is over-long") from None
        if line:
            return line
        try:
            code = await within(self._grace_s, self._process.wait())
        except TooLateError:
            raise HelperError(
                "the helper has closed its standard output and does not leave; see the kernel log", Exit.IO
            ) from None
        ended = f"was killed by signal {-code}" if code < 0 else f"left with exit code {code}"
        await asyncio.wait({self._listening}, timeout=1)
        said = self._last_words.decode("utf-8", "replace").strip()
        raise HelperError(f"the helper {ended} without saying why" + (f": {said}" if said else ""))

    async def _next(self, wanted: str) -> dict[str, Any]:
        """Return the next message that is no tick; raise HelperError if it is not of the wanted type."""
        loop = asyncio.get_running_loop()
        moved_at, before = loop.time(), Tick(phase="", bytes=-1, total_bytes=0)
        while True:
            line = await self._line()
            try:
                kind, message = parse_message(line)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                raise HelperError(f"the helper said what is not of the protocol: {line[:200]!r}") from None
            if isinstance(message, Tick):
                self._on_tick(message)
                if message != before:
                    moved_at, before = loop.time(), message
                elif loop.time() - moved_at > _STUCK_S:
                    raise HelperError(f"the device has not answered for {_STUCK_S:.0f} s; see the kernel log", Exit.IO)
            elif kind == "error":
                self._ended = True
                self.span = str(message.get("span", ""))
                raise _error(message, wanted)
            elif kind == "end" and wanted != kind:
                raise HelperError("the helper was terminated before the sweep was complete; run the sweep again")
            elif kind != wanted:
                raise HelperError(f"the helper said {kind!r} where {wanted!r} was due")
            else:
                return message
