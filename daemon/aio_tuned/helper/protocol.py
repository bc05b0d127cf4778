"""The helper's protocol (native/PROTOCOL.md): command line, request lines, answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import Exit, HelperError
from aio_tuned.model.measurement import BufferPages, DropCaches, Request, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aio_tuned.model.target import Target

PROTOCOL = 1
# The phases in which a helper puts right what it has written; it needs more time to end then.
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
# The helper has given up the scratch file, because others need the space.
GIVEN_UP = 75
# What the helper could not make sure of before it writes a raw device: that others do not have it open, and that it
# counts what they write.
REFUSALS = ("openers", "counters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The helper's description of the target when it is ready."""

    version: str
    dio_alignment_bytes: int
    buffer: str
    drop_caches: bool
    no_drop_reason: str
    counters_live: bool
    fill_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A sign of life during long work; `total_bytes` is 0 if its end is unknown."""

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
    buffer: BufferPages = "huge",
) -> tuple[str, ...]:
    """Return the helper's command line for a target.

    The `counters` are stat files, which the helper sums; without any it finds them itself. The helper leaves before it
    touches the target if what it has opened is on none of `expect_devices`, or on a disk of another sequence number.
    It marks what it writes with the `key`.
    """
    words = [
        f"--{target.kind}={target.path}",
        f"--span-bytes={target.span_bytes}",
        f"--max-transfer-bytes={max_transfer_bytes}",
        f"--drop-caches={drop_caches}",
        f"--expect-device={','.join(expect_devices)}",
    ]
    if expect_diskseq is not None:
        words.append(f"--expect-diskseq={expect_diskseq}")
    if target.kind == "device":
        words.append(f"--offset-bytes={target.offset_bytes}")
    if target.min_free_bytes:
        words.append(f"--min-free-bytes={target.min_free_bytes}")
    if counters:
        words.append(f"--counters={','.join(map(str, counters))}")
    if buffer != "huge":
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
    """Return the protocol's line for a request."""
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
    """Return the parts of `hello` that are used here.

    Raise HelperError if it is of another protocol, or lacks or garbles one of them.
    """
    if message.get("protocol") != PROTOCOL:
        spoken = message.get("protocol")
        raise HelperError(f"the helper speaks protocol {spoken!r}, not {PROTOCOL}: reinstall aio-tuned")
    try:
        buffer = message["buffer"]
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
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise HelperError(f"the helper's hello lacks or garbles {error}") from None
    if hello.dio_alignment_bytes <= 0 or hello.fill_bytes < 0:
        raise HelperError("the helper's hello has an alignment or a fill size that cannot be")
    return hello


def parse_point(message: dict[str, Any], request: Request) -> Sample:
    """Return the sample that answers `request`; raise HelperError if the message does not, or contradicts itself."""
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
        or sample.passing_bytes < 0
        or min(cpu_ns) < 0
        or sample.cache_verdict not in ("device", "cache", "unknown")
    ):
        raise HelperError(
            f"the helper's answer to request {request.id} contradicts itself: times or bytes do not add up"
        )
    return sample


def parse_message(line: bytes) -> tuple[str, dict[str, Any] | Tick]:
    """Return the type of one message, and the message.

    Raise ValueError, KeyError, TypeError, OverflowError or RecursionError if the line is none.
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
    """Return the message of a line; None if it is not of the protocol."""
    try:
        return parse_message(line)[1]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def tells_of_the_end(lines: bytes) -> bool:
    """Return whether parse_span or parse_zeroing may find something in these lines; fast, even for nonsense."""
    return _SPAN in lines or any(phase in lines for phase in _ENDING_PHASES)


def parse_span(line: bytes) -> str:
    """Return what the last line of a helper says of the span of a raw device ("clean", "left"), "" if it says none."""
    if _SPAN not in line:
        return ""
    message = _readable(line)
    return str(message.get("span", "")) if isinstance(message, dict) else ""


def parse_zeroing(line: bytes) -> Tick | None:
    """Return the tick of a helper that zeroes or trims what it has written; None if the line is anything else."""
    if not any(phase in line for phase in _ENDING_PHASES):
        return None
    message = _readable(line)
    return message if isinstance(message, Tick) and message.phase in ENDING else None
