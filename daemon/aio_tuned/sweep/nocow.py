"""The throughput of writes without copy-on-write, for the finding on btrfs writes that use the page cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned.errors import DeferredError, HelperError
from aio_tuned.helper.process import Helper
from aio_tuned.model.measurement import Request
from aio_tuned.search.taint import taint_reason
from aio_tuned.sweep import page_cache
from aio_tuned.sweep.budget import write_budget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.target import Target
    from aio_tuned.sweep.observer import SweepObserver
    from aio_tuned.sweep.order import Order, SweepOutcome

# The finding shows an order of magnitude, so four transfers to a small file are enough.
_MAX_TRANSFER_BYTES = 64 << 20
_TRANSFERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NocowWrites:
    """The throughput with the default setting, None if it was not measured, and the bytes written."""

    bytes_per_s: float | None = None
    written_bytes: int = 0


async def measure(
    program: Path,
    start: Callable[..., tuple[str, ...]],
    order: Order,
    target: Target,
    outcome: SweepOutcome,
    observer: SweepObserver,
    grace_s: float,
) -> NocowWrites:
    """Write a second scratch file without copy-on-write if the sweep's writes to a btrfs passed through the page cache.

    `start` returns the helper's command line. Do nothing if the write budget is too small. An error of the helper or a
    lack of space ends only this measurement, not the sweep.
    """
    if target.filesystem != "btrfs" or not page_cache.passed(outcome.samples, "write"):
        return NocowWrites()
    transfer = min(_MAX_TRANSFER_BYTES, order.max_transfer_bytes)
    needed = (1 + _TRANSFERS) * transfer
    if outcome.written_bytes + needed > write_budget(order, 0):
        return NocowWrites()
    observer.reserve(needed)
    words = start(replace(target, nocow=True, span_bytes=transfer), max_transfer_bytes=transfer, drop_caches="never")
    request = Request(
        id=1, direction="write", setting=order.reference, transfer_bytes=transfer, min_ns=0, min_transfers=_TRANSFERS
    )
    try:
        async with await Helper.start(program, words, grace_s=grace_s) as helper:
            await helper.hello()
            sample = await helper.measure(request)
            await helper.finish()
    except (HelperError, DeferredError):
        return NocowWrites(written_bytes=needed)
    good = not taint_reason(sample) and not sample.passing_bytes
    return NocowWrites(bytes_per_s=sample.bytes_per_s if good else None, written_bytes=needed)
