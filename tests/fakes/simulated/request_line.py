"""The parser of request lines, by all rules of section 3 of native/PROTOCOL.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.measurement import Access, BufferPages, Engine, Request
from aio_tuned.model.setting import Direction, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_LINE_BYTES = 1023
# Each key has its minimum, its maximum, and its default; keys with the default None are required.
_NUMBERS: dict[str, tuple[int, int, int | None]] = {
    "id": (0, 2**63 - 1, None),
    "block_size": (512, 64 << 20, None),
    "queue_depth": (1, 4096, None),
    "io_parallelism": (1, 512, None),
    "overlap_events": (0, 1, None),
    "single_submit": (0, 1, None),
    "transfer_bytes": (1, 2**63 - 1, None),
    "min_ns": (0, 10**12, 0),
    "min_transfers": (1, 65536, 1),
    "max_bytes": (0, 2**63 - 1, 0),
    "drop_caches": (0, 1, -1),
}
# The keys of protocol 2. A read_percent is required with op=mixed, and forbidden without.
_NEW_NUMBERS: dict[str, tuple[int, int, int | None]] = {
    "seed": (0, 2**63 - 1, 0),
    "read_percent": (1, 99, 0),
    "groups": (1, 16, 1),
    "new_file": (0, 1, 0),
    "max_foreign_bytes": (0, 2**63 - 1, 0),
    "fixed_buffers": (0, 1, 0),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "engine": get_args(Engine),
    "access": get_args(Access),
    "memory": get_args(BufferPages),
}
_MAX_THREADS, _MAX_PSYNC_THREADS = 64, 512


class BadRequestError(Exception):
    """A line violates a rule; `number` is its id, if that could be read."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of the target and the command line."""

    alignment_bytes: int
    max_transfer_bytes: int
    allow_write: bool
    protocol: int = 2
    scratch: bool = True


def _words(line: str, known: Iterable[str]) -> dict[str, str]:
    if len(line.encode()) > _MAX_LINE_BYTES:
        raise BadRequestError(f"the line is longer than {_MAX_LINE_BYTES} bytes")
    verb, *pairs = line.split(" ")
    if verb != "point":
        raise BadRequestError(f"{verb!r}: not a verb; the only one is point")
    words: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in known:
            raise BadRequestError(f"{pair!r}: not a key of a point")
        if key in words:
            raise BadRequestError(f"{key}={value}: given twice")
        words[key] = value
    return words


def _numbers(words: dict[str, str]) -> dict[str, int]:
    """Return every number of the line or its default; raise BadRequestError if one is missing or out of range."""
    found: dict[str, int] = {}
    for key, (least, most, default) in (_NUMBERS | _NEW_NUMBERS).items():
        if (value := words.get(key)) is None:
            if default is None:
                raise BadRequestError(f"{key}: missing", found.get("id"))
            found[key] = default
        elif not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise BadRequestError(f"{key}={value}: not a decimal integer from {least} to {most}", found.get("id"))
        else:
            found[key] = int(value)
    for key, choices in _CHOICES.items():
        if key in words and words[key] not in choices:
            raise BadRequestError(f"{key}={words[key]}: none of {', '.join(choices)}", found["id"])
    return found


def _check(words: dict[str, str], found: dict[str, int], limits: Limits) -> str:
    """Return what is wrong with numbers that are valid by themselves, or ""."""
    block, size, alignment = found["block_size"], found["transfer_bytes"], limits.alignment_bytes
    if block % alignment:
        return f"block_size={block}: not a multiple of the target's I/O alignment, {alignment} bytes"
    if size > limits.max_transfer_bytes:
        return f"transfer_bytes={size}: more than --max-transfer-bytes, {limits.max_transfer_bytes}"
    if words.get("access") == "random":
        return f"transfer_bytes={size}: not a multiple of block_size, {block} bytes" if size % block else ""
    # The threads of psync take one block after the other, and need no equal parts.
    threads = 1 if words.get("engine") == "psync" else found["io_parallelism"]
    if size % (quantum := threads * found["groups"] * alignment):
        return f"transfer_bytes={size}: not a multiple of io_parallelism times the I/O alignment, {quantum} bytes"
    return ""


def _check_engine(words: dict[str, str], found: dict[str, int]) -> str:
    """Return which key does not go with the engine or the access, or ""."""
    engine, threads = words.get("engine", "libaio"), found["io_parallelism"] * found["groups"]
    most = _MAX_PSYNC_THREADS if engine == "psync" else _MAX_THREADS
    if threads > most:
        return f"io_parallelism={found['io_parallelism']}: with {found['groups']} groups more than {most} threads"
    if engine == "psync" and found["queue_depth"] > 1:
        return f"queue_depth={found['queue_depth']}: psync has 1"
    if found["fixed_buffers"] and engine != "io_uring":
        return f"fixed_buffers=1: only with engine=io_uring, not {engine}"
    if found["new_file"] and (words.get("access") == "random" or found["groups"] > 1):
        return "new_file=1: only with sequential access and one group"
    return ""


def _check_op(op: str, found: dict[str, int], limits: Limits) -> str:
    """Return why the operation is refused, or ""."""
    if op not in (("read", "write") if limits.protocol == 1 else ("read", "write", "mixed")):
        return f"op={op}: neither read nor write"
    if op != "read" and not limits.allow_write:
        return f"op={op}: needs --allow-write"
    if (op == "mixed") != (found["read_percent"] > 0):
        return f"read_percent={found['read_percent']}: goes with op=mixed, and only with it"
    if found["new_file"] and (op != "write" or not limits.scratch):
        return "new_file=1: needs op=write and --scratch"
    return ""


def parse(line: str, limits: Limits) -> Request:
    """Return the request; raise BadRequestError with the key, the value and what is allowed."""
    new = () if limits.protocol == 1 else (*_NEW_NUMBERS, *_CHOICES)
    words = _words(line, (*_NUMBERS, "op", *new))
    found, op = _numbers(words), words.get("op", "")
    if wrong := _check_op(op, found, limits) or _check(words, found, limits) or _check_engine(words, found):
        raise BadRequestError(wrong, found["id"])
    direction: Direction = "read" if op == "read" else "write"
    engines: dict[str, Engine] = {engine: engine for engine in get_args(Engine)}
    memories: dict[str, BufferPages] = {memory: memory for memory in get_args(BufferPages)}
    setting = Setting(
        block_size=found["block_size"],
        queue_depth=found["queue_depth"],
        io_parallelism=found["io_parallelism"],
        overlap_events=bool(found["overlap_events"]),
        single_submit=bool(found["single_submit"]),
    )
    return Request(
        id=found["id"],
        direction=direction,
        setting=setting,
        transfer_bytes=found["transfer_bytes"],
        min_ns=found["min_ns"],
        min_transfers=found["min_transfers"],
        max_bytes=found["max_bytes"],
        drop_caches=None if found["drop_caches"] < 0 else bool(found["drop_caches"]),
        engine=engines[words.get("engine", "libaio")],
        access="random" if words.get("access") == "random" else "sequential",
        seed=found["seed"],
        read_percent=found["read_percent"],
        memory=memories.get(words.get("memory", "")),
        groups=found["groups"],
        new_file=bool(found["new_file"]),
    )
