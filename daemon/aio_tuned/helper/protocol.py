"""The protocol of the helper (native/PROTOCOL.md): command line, requests and answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.errors import Exit, HelperError
from aio_tuned.model.measurement import BufferPages, DropCaches, Engine, Request, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aio_tuned.model.target import Target

PROTOCOL = 2
# An older helper measures the five parameters with libaio, and nothing else.
_READABLE = (1, PROTOCOL)
# The phases in which a helper zeroes or trims what it wrote; it needs more time to exit then.
ENDING = ("zero", "trim")
_ENDING_PHASES = tuple(f'"{phase}"'.encode() for phase in ENDING)
_SPAN = b'"span"'

EXIT_OF_CODE = {
    64: Exit.HELPER,
    65: Exit.HELPER,
    66: Exit.TARGET,
    69: Exit.BUSY,
    71: Exit.SYSTEM,
    74: Exit.IO,
}
# The exit code of a helper that removed its scratch file because free space ran short.
GIVEN_UP = 75
# The codes of a rejected request and of too few resources, and the names of errors for want of space.
FAILED_REQUEST = (65, 71)
NO_SPACE = ("ENOSPC", "EDQUOT")
# The checks that a raw device must pass before the helper writes it: no other process has it open, and its counters
# count foreign writes.
REFUSALS = ("openers", "counters")


def _libaio_only() -> dict[Engine, str]:
    return {engine: "" if engine == "libaio" else "not in this helper" for engine in get_args(Engine)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The helper's description of the target when it is ready.

    `no_engine` has, for each engine, why it cannot be used, or "". `huge_share` is the part of the buffer on huge
    pages, `mean_run_bytes` the mean length of its physically contiguous runs (0 if the kernel does not show frame
    numbers), and `thp_policy` the kernel's policy for transparent huge pages, or "". `page_bytes` is the size of the
    kernel's pages, `thp_bytes` that of its transparent huge pages, and `reserved_page_bytes` the largest of those that
    can be reserved, up to the size of the buffer; 0 is none or unknown.
    """

    version: str
    dio_alignment_bytes: int
    buffer: str
    drop_caches: bool
    no_drop_reason: str
    counters_live: bool
    fill_bytes: int
    no_engine: Mapping[Engine, str] = field(default_factory=_libaio_only)
    huge_share: float = 0.0
    mean_run_bytes: int = 0
    thp_policy: str = ""
    page_bytes: int = 0
    thp_bytes: int = 0
    reserved_page_bytes: int = 0

    @property
    def share_alignment_bytes(self) -> int:
        """The bytes of which each thread's share of a transfer is a multiple.

        A share that begins within a page needs one more segment for each request.
        """
        return max(self.dio_alignment_bytes, self.page_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Progress of the helper in a long task; `total_bytes` is 0 if the size of the task is unknown."""

    phase: str
    bytes: int
    total_bytes: int


def arguments(  # noqa: PLR0913 - the options of aio-sweep
    target: Target,
    *,
    allow_write: bool,
    max_transfer_bytes: int,
    drop_caches: DropCaches,
    counters: Sequence[Path],
    expect_devices: Sequence[str],
    expect_diskseq: int | None,
    key: str = "",
    buffer: BufferPages = "consumer",
    ballast_bytes: int = 0,
) -> tuple[str, ...]:
    """Return the helper's command line for a target.

    `counters` are stat files, which the helper sums; without any it finds them itself. The helper exits before any I/O
    if the opened target is on none of `expect_devices`, or on a disk with another sequence number than
    `expect_diskseq`. It marks the bytes that it writes with `key`, and takes up to `ballast_bytes` of memory while it
    allocates its buffer.
    """
    words = [
        f"--{target.kind}={target.path}",
        f"--span-bytes={target.span_bytes}",
        f"--max-transfer-bytes={max_transfer_bytes}",
        f"--drop-caches={drop_caches}",
        f"--protocol={PROTOCOL}",
        f"--expect-device={','.join(expect_devices)}",
        *([f"--ballast-bytes={ballast_bytes}"] if ballast_bytes else ()),
    ]
    if expect_diskseq is not None:
        words.append(f"--expect-diskseq={expect_diskseq}")
    if target.kind == "device":
        words.append(f"--offset-bytes={target.offset_bytes}")
    if target.min_free_bytes:
        words.append(f"--min-free-bytes={target.min_free_bytes}")
    if counters:
        words.append(f"--counters={','.join(map(str, counters))}")
    if buffer != "consumer":
        words.append(f"--buffer={buffer}")
    if target.nocow:
        words.append("--nocow")
    if target.trim:
        words.append("--trim")
    if key:
        words.append(f"--key={key}")
    if allow_write:
        words.append("--allow-write")
    return tuple(words)


def request_line(request: Request) -> str:
    """Return the line of the protocol for a request."""
    setting = request.setting
    words: dict[str, int | str] = {
        "id": request.id,
        "op": "mixed" if request.read_percent else request.direction,
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
    # The keys of protocol 2, which an older helper does not know.
    if request.engine != "libaio":
        words["engine"] = request.engine
    if request.access == "random":
        words |= {"access": "random", "seed": request.seed}
    if request.read_percent:
        words["read_percent"] = request.read_percent
    if request.memory is not None:
        words["memory"] = request.memory
    if request.groups > 1:
        words["groups"] = request.groups
    if request.new_file:
        words["new_file"] = 1
    if request.max_foreign_bytes:
        words["max_foreign_bytes"] = request.max_foreign_bytes
    return "point " + " ".join(f"{key}={value}" for key, value in words.items())


def parse_hello(message: dict[str, Any]) -> Hello:
    """Return the used parts of a `hello` message; raise HelperError if its protocol or one of the parts is wrong."""
    if message.get("protocol") not in _READABLE:
        version = message.get("protocol")
        raise HelperError(f"aio-sweep: protocol version {version!r} instead of {PROTOCOL}; reinstall aio-tuned")
    try:
        buffer, engines = message["buffer"], message.get("engines", _libaio_only())
        locked = "locked" if buffer["locked"] else "not locked"
        hello = Hello(
            version=str(message.get("version", "?")),
            dio_alignment_bytes=int(message["dio_alignment_bytes"]),
            buffer=f"{int(buffer['bytes']) >> 20} MiB, {int(buffer['huge_bytes']) >> 20} MiB of it huge pages"
            f" ({buffer['backing']}), {locked}",
            drop_caches=bool(message["page_cache"]["drop_caches"]),
            no_drop_reason=str(message["page_cache"].get("reason", "")),
            counters_live=bool(message["counters"]["live"]),
            fill_bytes=int(message["fill_bytes"]),
            no_engine={engine: str(engines[engine]) for engine in get_args(Engine)},
            huge_share=int(buffer["huge_bytes"]) / max(1, int(buffer["bytes"])),
            mean_run_bytes=int(buffer.get("mean_run_bytes", 0)),
            thp_policy=str(buffer.get("thp_policy", "")),
            page_bytes=int(buffer.get("page_bytes", 0)),
            thp_bytes=int(buffer.get("thp_bytes", 0)),
            reserved_page_bytes=int(buffer.get("reserved_page_bytes", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HelperError(f"aio-sweep: missing or invalid value in hello: {error}; reinstall aio-tuned") from None
    if hello.dio_alignment_bytes <= 0 or hello.fill_bytes < 0:
        raise HelperError("aio-sweep: impossible alignment or fill size in hello; reinstall aio-tuned")
    return hello


def parse_point(message: dict[str, Any], request: Request) -> Sample:
    """Return the sample that answers `request`; raise HelperError if the message is incomplete or contradictory."""
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
            passing_bytes=int(message["cache"].get("passing_bytes", 0)),
            requests=int(message.get("requests", 0)),
            again=int(message.get("again", 0)),
            return_ns=int(message.get("return_ns", 0)),
            groups_ns=tuple(int(ns) for ns in message.get("groups_ns", ())),
            mix_written_bytes=(
                int(message["written_bytes"]) if request.read_percent and "written_bytes" in message else None
            ),
        )
        answers = message["id"], message["op"], message["transfer_bytes"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HelperError(
            f"aio-sweep: missing or invalid value in the answer to request {request.id}: {error}; reinstall aio-tuned"
        ) from None
    op = "mixed" if request.read_percent else request.direction
    if answers != (request.id, op, request.transfer_bytes):
        raise HelperError(
            f"aio-sweep: answer {answers} does not match request {request.id} ({op}); reinstall aio-tuned"
        )
    if (
        not sample.transfers_ns
        or min(sample.transfers_ns) <= 0
        or sum(sample.transfers_ns) != sample.elapsed_ns
        or sample.bytes != len(sample.transfers_ns) * request.transfer_bytes
        or sample.wall_ns < sample.elapsed_ns
        or min(sample.latency_p50_ns, sample.latency_p99_ns, sample.device_read_bytes, sample.device_write_bytes) < 0
        or min(sample.passing_bytes, sample.requests, sample.again, sample.return_ns) < 0
        or not 0 <= sample.written_bytes <= sample.bytes
        or (request.groups > 1 and (len(sample.groups_ns) != request.groups or min(sample.groups_ns) <= 0))
        or min(cpu_ns) < 0
        or sample.cache_verdict not in ("device", "cache", "unknown")
    ):
        raise HelperError(
            f"aio-sweep: times or bytes in the answer to request {request.id} do not add up; reinstall aio-tuned"
        )
    return sample


def parse_message(line: bytes) -> tuple[str, dict[str, Any] | Tick]:
    """Return the type of one message, and the message.

    Raise ValueError, KeyError, TypeError, OverflowError or RecursionError if the line is not a message.
    """
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


def _readable(line: bytes) -> dict[str, Any] | Tick | None:
    """Return the message in a line; None if the line is not a message."""
    try:
        return parse_message(line)[1]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def tells_of_the_end(lines: bytes) -> bool:
    """Return whether parse_span or parse_zeroing may find something in these lines, quickly for any bytes."""
    return _SPAN in lines or any(phase in lines for phase in _ENDING_PHASES)


def parse_span(line: bytes) -> str:
    """Return the state of the span of a raw device in the last line of a helper ("clean" or "left"), or ""."""
    if _SPAN not in line:
        return ""
    message = _readable(line)
    return str(message.get("span", "")) if isinstance(message, dict) else ""


def parse_zeroing(line: bytes) -> Tick | None:
    """Return the tick of a helper that zeroes or trims what it wrote; None for any other line."""
    if not any(phase in line for phase in _ENDING_PHASES):
        return None
    message = _readable(line)
    return message if isinstance(message, Tick) and message.phase in ENDING else None
