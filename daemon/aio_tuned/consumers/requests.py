"""The requests that saturate a drive, from the curve of the engine and request size that a consumer uses.

A profile without that curve (an older one, or an engine that was not measured) has only `saturating_concurrency`, which
was measured with libaio and the block size of the five parameters. The number is then that, and a note says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import formatting
from aio_tuned.consumers.export import ALIGNMENT, cap_note, capped
from aio_tuned.errors import UsageError
from aio_tuned.model.size_curve import SATURATED_SHARE
from aio_tuned.reader.requests import pick

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp, SizeCurve
    from aio_tuned.reader import Direction, DriveSettings
    from aio_tuned.reader.requests import Picked

# More threads than most hosts have processors.
_MANY_THREADS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A consumer's use of a drive: the direction of its settings, its engines, and the usual size of its requests.

    Of several engines the first one with a curve is taken. `usual` says where the size comes from: "the default of
    KVIKIO_TASK_SIZE".
    """

    direction: Direction
    engines: tuple[Engine, ...]
    usual_bytes: int
    usual: str


# What caches of keys and values move at a time, with their default numbers of tokens, for a model of 32 layers with 8
# heads of 128 values in 16 bits (Llama 3.1 8B).
KV_BLOCK_BYTES, KV_BLOCK = 2 << 20, "a block of 16 tokens of an 8B model in 16 bits"
KV_CHUNK_BYTES, KV_CHUNK = 32 << 20, "a chunk of 256 tokens of an 8B model in 16 bits"


class Needed(NamedTuple):
    """The number of requests in flight that saturate the drive, over all threads, with notes on its origin.

    `measured` is whether a curve has it.
    """

    in_flight: int
    measured: bool
    notes: tuple[str, ...]


# --- the number of requests in flight ---------------------------------------------------------------------------


def needed(drive: DriveSettings, usage: Usage, request_bytes: int, key: str, *, otherwise: int | None = None) -> Needed:
    """Return the requests in flight for requests of that size; the notes begin with the consumer's key.

    For "combined" it is the larger number of reads and writes. Without a curve it is `otherwise`, by default the
    saturating_concurrency.
    """
    found = _picked(drive, usage, request_bytes)
    if found:
        count = max(each.in_flight for each in found)
        notes = [_measured_note(key, usage, found)]
    else:
        count = otherwise or getattr(drive, usage.direction).saturating_concurrency
        curve = f"{' or '.join(usage.engines)} {' or '.join(f'{op}s' for op in _ops(usage.direction))}"
        missing = f"because the profile has no curve of {curve}; a new sweep measures it (aio-tuned tune)"
        notes = [f"{key}: {count} from the five parameters, {missing}."]
    if usage.engines == ("psync",) and count > _MANY_THREADS:
        why = "because each has one request in flight; larger requests need fewer"
        notes.append(f"{key}: more than {_MANY_THREADS} threads, {why}.")
    return Needed(count, bool(found), tuple(notes))


def _picked(drive: DriveSettings, usage: Usage, request_bytes: int) -> list[Picked]:
    """Return the settings of each direction that has a curve."""
    answers = (pick([curve], request_bytes, curve.op, curve.engine) for curve in _curves(drive, usage))
    return [answer for answer in answers if answer is not None]


def _curves(drive: DriveSettings, usage: Usage) -> list[SizeCurve]:
    """Return the curves of the first engine that has any, reads first."""
    for engine in usage.engines:
        found = [
            curve for op in _ops(usage.direction) for curve in drive.curves if (curve.engine, curve.op) == (engine, op)
        ]
        if found:
            return found
    return []


def _measured_note(key: str, usage: Usage, found: list[Picked]) -> str:
    """Return the note on a number from curves: engine, size, and the figures of each direction."""
    first = found[0]
    figures = " and ".join(
        f"{each.in_flight} in flight for {each.direction}s ({formatting.throughput(each.throughput_bytes_per_s)})"
        for each in found
    )
    text = f"{key}: {first.engine} requests of {formatting.amount(first.request_bytes)} need {figures}"
    remarks = [each.note for each in found[:1] if each.note]
    if first.engine != usage.engines[0]:
        remarks.append(f"the profile has no curve of {usage.engines[0]}")
    missing = [op for op in _ops(usage.direction) if op not in {each.direction for each in found}]
    remarks += [f"{op}s were not measured with {first.engine}" for op in missing]
    return "; ".join((text, *remarks)) + "."


def _ops(direction: Direction) -> tuple[CurveOp, ...]:
    return ("read", "write") if direction == "combined" else (direction,)


# --- the size of a request --------------------------------------------------------------------------------------


def assumed_size(drive: DriveSettings, usage: Usage, options: ExportOptions) -> tuple[int, tuple[str, ...]]:
    """Return the size of requests that the consumer itself determines, with the note on an assumed one.

    Without a curve the size makes no difference, and there is no note.
    """
    if options.request_bytes is not None:
        return options.request_bytes, ()
    if not _curves(drive, usage):
        return usage.usual_bytes, ()
    assumed = f"requests of {formatting.amount(usage.usual_bytes)} are assumed, {usage.usual}"
    return usage.usual_bytes, (f"request_size: {assumed}; pass --request-size for another size.",)


def chunk(drive: DriveSettings, usage: Usage, options: ExportOptions, key: str) -> tuple[int, tuple[str, ...]]:
    """Return the size of a request for the consumer's key that sets it, with notes on it.

    It is --request-size, else good_size() up to --max-block-size. Raise UsageError for a size that direct I/O does not
    take, or above the cap.
    """
    cap = options.max_block_size
    before = getattr(drive, usage.direction)
    settings = capped(before, options)
    if options.request_bytes is not None:
        return _given_size(options.request_bytes, cap), ()
    size = good_size(drive, usage, cap)
    if size is None:
        return settings.block_size, cap_note(key, before, settings)
    if size == usage.usual_bytes:
        return size, ()
    usual = f"{formatting.amount(usage.usual_bytes)}, {usage.usual}"
    if cap is not None and usage.usual_bytes > cap:
        return size, (f"{key}: {size} bytes because of --max-block-size, instead of {usual}.",)
    if any(usage.usual_bytes not in curve.sizes for curve in _curves(drive, usage)):
        return size, (f"{key}: {size} bytes, because {usual}, was not measured.",)
    return size, (f"{key}: {size} bytes, which give more throughput than {usual}.",)


def good_size(drive: DriveSettings, usage: Usage, cap: int | None = None) -> int | None:
    """Return the size nearest to the usual one that gives 95 % of the best throughput; None without a curve.

    Only measured sizes count, up to the cap; of two directions the worse one.
    """
    shares = {size: share for size, share in _shares(_curves(drive, usage)).items() if cap is None or size <= cap}
    if not shares:
        return None
    least = SATURATED_SHARE * max(shares.values())
    good = (size for size, share in shares.items() if share >= least)
    return min(good, key=lambda size: abs(math.log2(size / usage.usual_bytes)))


def _given_size(request_bytes: int, cap: int | None) -> int:
    if request_bytes % ALIGNMENT:
        raise UsageError(f"--request-size {request_bytes}: not for direct I/O; pass a multiple of {ALIGNMENT}")
    if cap is not None and request_bytes > cap:
        raise UsageError(f"--request-size {request_bytes}: above --max-block-size {cap}; leave one of them out")
    return request_bytes


def _shares(curves: list[SizeCurve]) -> dict[int, float]:
    """Return the sizes that all the curves have, each with its throughput relative to the best, in the worst curve."""
    if not curves:
        return {}
    rates = [{size: curve.saturated(size).throughput_bytes_per_s for size in curve.sizes} for curve in curves]
    sizes = set.intersection(*(set(each) for each in rates))
    return {size: min(each[size] / max(each.values()) for each in rates) for size in sorted(sizes)}
