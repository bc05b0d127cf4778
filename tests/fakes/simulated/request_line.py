"""The parser of request lines, by all rules of section 3 of native/PROTOCOL.md."""

from __future__ import annotations

from dataclasses import dataclass

from aio_tuned.model.measurement import Request
from aio_tuned.model.setting import Direction, Setting

_MAX_LINE_BYTES = 1023
# Each key has its minimum, its maximum, and its default; keys with the default None are required.
_NUMBERS: dict[str, tuple[int, int, int | None]] = {
    "id": (0, 2**63 - 1, None),
    "block_size": (512, 64 << 20, None),
    "queue_depth": (1, 4096, None),
    "io_parallelism": (1, 64, None),
    "overlap_events": (0, 1, None),
    "single_submit": (0, 1, None),
    "transfer_bytes": (1, 2**63 - 1, None),
    "min_ns": (0, 10**12, 0),
    "min_transfers": (1, 65536, 1),
    "max_bytes": (0, 2**63 - 1, 0),
    "drop_caches": (0, 1, -1),
}


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


def _words(line: str) -> dict[str, str]:
    if len(line.encode()) > _MAX_LINE_BYTES:
        raise BadRequestError(f"the line is longer than {_MAX_LINE_BYTES} bytes")
    verb, *pairs = line.split(" ")
    if verb != "point":
        raise BadRequestError(f"{verb!r}: not a verb; the only one is point")
    words: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in (*_NUMBERS, "op"):
            raise BadRequestError(f"{pair!r}: not a key of a point")
        if key in words:
            raise BadRequestError(f"{key}={value}: given twice")
        words[key] = value
    return words


def _numbers(words: dict[str, str]) -> dict[str, int]:
    """Return every number of the line or its default; raise BadRequestError if one is missing or out of range."""
    found: dict[str, int] = {}
    for key, (least, most, default) in _NUMBERS.items():
        if (value := words.get(key)) is None:
            if default is None:
                raise BadRequestError(f"{key}: missing", found.get("id"))
            found[key] = default
        elif not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise BadRequestError(f"{key}={value}: not a decimal integer from {least} to {most}", found.get("id"))
        else:
            found[key] = int(value)
    return found


def _check(found: dict[str, int], limits: Limits) -> str:
    """Return what is wrong with numbers that are valid by themselves, or ""."""
    block, size, alignment = found["block_size"], found["transfer_bytes"], limits.alignment_bytes
    if block % alignment:
        return f"block_size={block}: not a multiple of the target's I/O alignment, {alignment} bytes"
    if size > limits.max_transfer_bytes:
        return f"transfer_bytes={size}: more than --max-transfer-bytes, {limits.max_transfer_bytes}"
    if size % (quantum := found["io_parallelism"] * alignment):
        return f"transfer_bytes={size}: not a multiple of io_parallelism times the I/O alignment, {quantum} bytes"
    return ""


def parse(line: str, limits: Limits) -> Request:
    """Return the request; raise BadRequestError with the key, the value and what is allowed."""
    words = _words(line)
    found = _numbers(words)
    directions: dict[str | None, Direction] = {"read": "read", "write": "write"}
    direction = directions.get(words.get("op"))
    if direction is None:
        raise BadRequestError(f"op={words.get('op', '')}: neither read nor write", found["id"])
    if direction == "write" and not limits.allow_write:
        raise BadRequestError("op=write: needs --allow-write", found["id"])
    if wrong := _check(found, limits):
        raise BadRequestError(wrong, found["id"])
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
    )
