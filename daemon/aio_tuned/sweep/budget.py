"""The number of bytes that a sweep may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.errors import UsageError
from aio_tuned.search import plan

if TYPE_CHECKING:
    from aio_tuned.sweep.order import Order


def write_budget(order: Order, earlier_bytes: int) -> int:
    """Return the bytes that the sweep may write in all, `earlier_bytes` of them by earlier processes of the sweep."""
    if order.write_cap_bytes is None:
        return order.write_budget_bytes
    return min(order.write_budget_bytes, earlier_bytes + order.write_cap_bytes)


def min_write_bytes(order: Order, alignment_bytes: int) -> int:
    """Return the bytes that the measurements of a write phase need at the least."""
    return plan.min_write_bytes(order.settings["write"], alignment_bytes, order.max_transfer_bytes, order.fraction)


def check_write_budget(order: Order, fill_bytes: int, alignment_bytes: int, earlier_bytes: int = 0) -> None:
    """Raise UsageError, before any I/O, if the write budget is too small for the bytes that must be written."""
    sure = fill_bytes + order.zeroed_bytes
    # The first process of a resumable sweep reserves the bytes by which a second one would prepare the target again.
    kept_back = sure if order.resumable and not earlier_bytes else 0
    visits = min_write_bytes(order, alignment_bytes)
    least, budget = earlier_bytes + sure + kept_back + visits, write_budget(order, earlier_bytes)
    if least > budget:
        raise UsageError(
            f"the write budget of {budget >> 20} MiB is too small: the scratch file and one visit to"
            f" each point take {-(-least >> 20)} MiB; pass --write-budget {-(-least >> 20)}M or more, a smaller --grid,"
            " or --read-only"
        )
