"""Adapter: runs `aio-sweep`, or a stand-in, and speaks the protocol of native/PROTOCOL.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sysconfig
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.blocking import TooLateError, within
from aio_tuned.errors import Exit, HelperError
from aio_tuned.model import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from aio_tuned.model import DropCaches, Request, Target

PROTOCOL = 1
# The helper ticks once a second whatever it does: a minute without is a helper that does not run. Ticks that get
# nowhere for five are a device that does not answer (a queue without paths, a suspended volume); no sync is that slow.
_SILENCE_S = 60.0
_STUCK_S = 300.0
# How long a helper may take to end.
END_S = 10.0
_LAST_WORDS = 4096
# 65536 transfers in one answer are 1.3 MB.
_LINE_LIMIT = 4 << 20

_EXIT_OF_CODE = {
    64: Exit.HELPER,
    65: Exit.HELPER,
    66: Exit.TARGET,
    69: Exit.BUSY,
    71: Exit.SYSTEM,
    74: Exit.IO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the helper says of the target when it is ready."""

    version: str
    device_number: str
    dio_alignment_bytes: int
    buffer: str
    drop_caches: bool
    no_drop_reason: str
    counters_live: bool
    fill_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A sign of life during something long; `total_bytes` is 0 if it is open-ended."""

    phase: str
    bytes: int
    total_bytes: int


def find(explicit: Path | None = None) -> Path:
    """The helper to run: `explicit`, else $AIO_TUNED_HELPER, else the one installed with this package."""
    if explicit is None and (named := os.environ.get("AIO_TUNED_HELPER")):
        explicit = Path(named)
    if explicit is not None:
        # A bare name is looked up in PATH, as a shell would.
        found = shutil.which(str(explicit))
        if found is None:
            raise HelperError(f"helper {explicit}: no such program, or not executable")
        return Path(found)
    installed = Path(sysconfig.get_path("scripts")) / "aio-sweep"
    if installed.exists():
        return installed
    if found := shutil.which("aio-sweep"):
        return Path(found)
    raise HelperError(
        f"the helper aio-sweep is not installed ({installed}): reinstall aio-tuned, or pass --helper PATH"
    )


def arguments(
    target: Target,
    *,
    allow_write: bool,
    most_transfer_bytes: int,
    drop_caches: DropCaches,
    counters: Sequence[Path],
) -> tuple[str, ...]:
    """The helper's command line for a target; the `counters` are stat files, summed, or left for it to find."""
    words = [
        f"--{target.kind}={target.path}",
        f"--span-bytes={target.span_bytes}",
        f"--max-transfer-bytes={most_transfer_bytes}",
        f"--drop-caches={drop_caches}",
    ]
    if target.kind == "device":
        words.append(f"--offset-bytes={target.offset_bytes}")
    if counters:
        words.append(f"--counters={','.join(map(str, counters))}")
    if allow_write:
        words.append("--allow-write")
    return tuple(words)


def request_line(request: Request) -> str:
    """The protocol's line for a request."""
    setting = request.setting
    words = {
        "id": request.id,
        "op": request.direction,
        "block_size": setting.block_size,
        "queue_depth": setting.queue_depth,
        "io_parallelism": setting.io_parallelism,
        "overlap_events": int(setting.overlap_events),
        "single_submit": int(setting.single_submit),
        "transfer_bytes": request.transfer_bytes,
        "min_ns": request.min_ns,
        "min_transfers": request.min_transfers,
        "max_bytes": request.max_bytes,
    }
    if request.drop_caches is not None:
        words["drop_caches"] = int(request.drop_caches)
    return "point " + " ".join(f"{key}={value}" for key, value in words.items())


def parse_hello(message: dict[str, Any]) -> Hello:
    """The parts of `hello` that we use; HelperError if it is of another protocol or lacks one."""
    if message.get("protocol") != PROTOCOL:
        spoken = message.get("protocol")
        raise HelperError(f"the helper speaks protocol {spoken!r}, not {PROTOCOL}: reinstall aio-tuned")
    try:
        buffer = message["buffer"]
        locked = "locked" if buffer["locked"] else "not locked"
        hello = Hello(
            version=str(message.get("version", "?")),
            device_number=str(message["target"]["device_number"]),
            dio_alignment_bytes=int(message["dio_alignment_bytes"]),
            buffer=f"{int(buffer['bytes']) >> 20} MiB, {int(buffer['huge_bytes']) >> 20} MiB of it huge pages"
            f" ({buffer['backing']}), {locked}",
            drop_caches=bool(message["page_cache"]["drop_caches"]),
            no_drop_reason=str(message["page_cache"].get("reason", "")),
            counters_live=bool(message["counters"]["live"]),
            fill_bytes=int(message["fill_bytes"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HelperError(f"the helper's hello lacks or garbles {error}") from None
    if hello.dio_alignment_bytes <= 0 or hello.fill_bytes < 0:
        raise HelperError("the helper's hello has an alignment or a fill size that cannot be")
    return hello


def parse_point(message: dict[str, Any], request: Request) -> Sample:
    """The sample that answers `request`; HelperError if it does not, or if its numbers cannot be."""
    try:
        cpu_ns = [int(message.get(key, 0)) for key in ("cpu_user_ns", "cpu_system_ns")]
        sample = Sample(
            request=request,
            transfers_ns=tuple(int(ns) for ns in message["transfers_ns"]),
            bytes=int(message["bytes"]),
            elapsed_ns=int(message["elapsed_ns"]),
            wall_ns=int(message["wall_ns"]),
            latency_p50_ns=int(message["latency_ns"]["p50"]),
            latency_p99_ns=int(message["latency_ns"]["p99"]),
            cache_verdict=message["cache"]["verdict"],
            cache_dropped=bool(message["cache"]["dropped"]),
            device_read_bytes=int(message["counters"]["read_bytes"]),
            device_write_bytes=int(message["counters"]["write_bytes"]),
            cpu_ns=sum(cpu_ns),
        )
        answers = message["id"], message["op"], message["transfer_bytes"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HelperError(f"the helper's answer to request {request.id} lacks or garbles {error}") from None
    if answers != (request.id, request.direction, request.transfer_bytes):
        raise HelperError(f"the helper answered {answers} to request {request.id} ({request.direction})")
    if (
        not sample.transfers_ns
        or min(sample.transfers_ns) <= 0
        or sum(sample.transfers_ns) != sample.elapsed_ns
        or sample.bytes != len(sample.transfers_ns) * request.transfer_bytes
        or sample.wall_ns < sample.elapsed_ns
        or min(sample.latency_p50_ns, sample.latency_p99_ns, sample.device_read_bytes, sample.device_write_bytes) < 0
        or min(cpu_ns) < 0
        or sample.cache_verdict not in ("device", "cache", "unknown")
    ):
        raise HelperError(
            f"the helper's answer to request {request.id} contradicts itself: times or bytes do not add up"
        )
    return sample


def _parse(line: bytes) -> tuple[str, dict[str, Any] | Tick]:
    """One message and its type; any of json's and int's errors if it is none."""
    message = json.loads(line)
    kind = message["type"]
    if kind != "tick":
        return kind, dict(message)
    tick = Tick(
        phase=str(message.get("phase", "")),
        bytes=int(message.get("bytes", 0)),
        total_bytes=int(message.get("total_bytes", 0)),
    )
    return kind, tick


def _zeroing(line: bytes) -> Tick | None:
    """The tick of a helper that zeroes what it has written; None if the line is anything else."""
    if b'"zero"' not in line:  # megabytes of nonsense must not hold us up
        return None
    try:
        _, message = _parse(line)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return message if isinstance(message, Tick) and message.phase == "zero" else None


class Helper:
    """One running helper process. Use as `async with await Helper.start(…) as helper`.

    `stuck` is true if close() could not end the process: it is in the kernel's hands (D state).
    """

    def __init__(self, process: asyncio.subprocess.Process, on_tick: Callable[[Tick], None], grace_s: float) -> None:
        self._process = process
        self._on_tick = on_tick
        self._grace_s = grace_s
        self.stuck = False
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
    ) -> Helper:
        """Start the process; it prepares the target before it says hello.

        close() gives it `grace_s` to end, and a third of that more once it has been killed.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                str(program),
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
                # Ctrl-C reaches the whole foreground process group; we end the helper ourselves, in order.
                start_new_session=True,
            )
        except OSError as error:
            raise HelperError(f"helper {program}: cannot be run: {error.strerror}") from None
        return cls(process, on_tick, grace_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _listen(self) -> None:
        """Keep the end of what the helper says on standard error; its errors come on standard output as well."""
        assert self._process.stderr is not None  # noqa: S101 - we asked for the pipe
        while words := await self._process.stderr.read(_LAST_WORDS):
            self._last_words = (self._last_words + words)[-_LAST_WORDS:]

    async def hello(self) -> Hello:
        """Wait until the target is ready."""
        return parse_hello(await self._next("hello"))

    async def measure(self, request: Request) -> Sample:
        """Visit one point; the sample says when its answer came."""
        assert self._process.stdin is not None  # noqa: S101 - we asked for the pipe
        # A helper that has just died says why on its standard output, which _next reads.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(request_line(request).encode() + b"\n")
            await self._process.stdin.drain()
        return replace(parse_point(await self._next("point"), request), at_s=round(time.time(), 3))

    async def finish(self) -> int:
        """End a good run and return the bytes written in all, as the helper counts them (0 if it does not).

        The helper must take its leave, or what it said is not to be trusted.
        """
        assert self._process.stdin is not None  # noqa: S101 - we asked for the pipe
        self._process.stdin.close()
        message = await self._next("end")
        self._ended = True
        try:
            code = await within(END_S, self._process.wait())
        except TooLateError:
            raise HelperError(f"the helper does not leave, {END_S:.0f} s after its end", Exit.IO) from None
        if code != 0:
            raise HelperError(f"the helper left with exit code {code} after its end")
        written = message.get("bytes_written", 0)
        return written if isinstance(written, int) else 0

    async def close(self) -> None:
        """End the process, whatever state it is in."""
        if self._process.returncode is None and not self._ended:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            await self._drained(self._grace_s)
        except TooLateError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            with contextlib.suppress(TooLateError):
                await self._drained(self._grace_s / 3)
        # Whoever has inherited its pipes may hold them open for longer than it lives.
        self.stuck = self._process.returncode is None
        # There is no public way to let go of our ends of them.
        self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001

    async def _drained(self, seconds: float) -> None:
        """Read on until the process has gone, so that a helper with a full pipe can leave.

        TooLateError after `seconds`, which begin anew while it zeroes what it has written on a raw device: that must
        not stay half done.
        """
        assert self._process.stdout is not None  # noqa: S101 - we asked for the pipe
        loop = asyncio.get_running_loop()
        end, rest, zeroed = loop.time() + seconds, b"", Tick(phase="", bytes=-1, total_bytes=0)
        moved_at = loop.time()
        while said := await within(end - loop.time(), self._process.stdout.read(1 << 16)):
            *lines, rest = (rest[-_LAST_WORDS:] + said).split(b"\n")
            for line in lines:
                if (tick := _zeroing(line)) is None:
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
        """The next line, HelperError if there is none."""
        assert self._process.stdout is not None  # noqa: S101 - we asked for the pipe
        try:
            line = await within(_SILENCE_S, self._process.stdout.readline())
        except TooLateError:
            raise HelperError(f"the helper has been silent for {_SILENCE_S:.0f} s", Exit.IO) from None
        except ValueError:
            raise HelperError("the helper's line is over-long") from None
        if line:
            return line
        try:
            code = await within(self._grace_s, self._process.wait())
        except TooLateError:
            raise HelperError("the helper has closed its standard output and does not leave", Exit.IO) from None
        ended = f"was killed by signal {-code}" if code < 0 else f"left with exit code {code}"
        await asyncio.wait({self._listening}, timeout=1)
        said = self._last_words.decode("utf-8", "replace").strip()
        raise HelperError(f"the helper {ended} without saying why" + (f": {said}" if said else ""))

    async def _next(self, wanted: str) -> dict[str, Any]:
        """The next message that is no tick; HelperError if it is not of the type that is due."""
        loop = asyncio.get_running_loop()
        moved_at, before = loop.time(), Tick(phase="", bytes=-1, total_bytes=0)
        while True:
            line = await self._line()
            try:
                kind, message = _parse(line)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                raise HelperError(f"the helper said what is not of the protocol: {line[:200]!r}") from None
            if isinstance(message, Tick):
                self._on_tick(message)
                if message != before:
                    moved_at, before = loop.time(), message
                elif loop.time() - moved_at > _STUCK_S:
                    raise HelperError(f"the device has not answered for {_STUCK_S:.0f} s; see the kernel log", Exit.IO)
            elif kind == "error":
                code = message.get("code")
                known = _EXIT_OF_CODE.get(code, Exit.HELPER) if isinstance(code, int) else Exit.HELPER
                raise HelperError(str(message.get("message", line)), known)
            elif kind == "end" and wanted != kind:
                raise HelperError("the helper took its leave before its time: somebody else has ended it")
            elif kind != wanted:
                raise HelperError(f"the helper said {kind!r} where {wanted!r} was due")
            else:
                return message
