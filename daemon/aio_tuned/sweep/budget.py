"""The limit of the bytes that a sweep writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.errors import UsageError
from aio_tuned.search import plan

if TYPE_CHECKING:
    from aio_tuned.sweep.order import Order


def write_budget(order: Order, earlier_bytes: int) -> int:
    """Return the bytes that the whole sweep may write; earlier processes of the sweep wrote `earlier_bytes` of them."""
    if order.write_cap_bytes is None:
        return order.write_budget_bytes
    return min(order.write_budget_bytes, earlier_bytes + order.write_cap_bytes)


def min_write_bytes(order: Order, alignment_bytes: int) -> int:
    """Return the least bytes that the measurements of a write phase need."""
    return plan.min_write_bytes(order.settings["write"], alignment_bytes, order.max_transfer_bytes, order.fraction)


def check_write_budget(order: Order, fill_bytes: int, alignment_bytes: int, earlier_bytes: int = 0) -> None:
    """Raise UsageError, before any I/O, if the write budget is too small for the bytes that must be written."""
    sure = fill_bytes + order.zeroed_bytes
    # The first process of a resumable sweep reserves the bytes with which a second process prepares the target again.
    kept_back = sure if order.resumable and not earlier_bytes else 0
    measured = min_write_bytes(order, alignment_bytes)
    least, budget = earlier_bytes + sure + kept_back + measured, write_budget(order, earlier_bytes)
    if least > budget:
        raise UsageError(
            f"write budget of {formatting.amount(budget)}: too small; the scratch file and one measurement of each"
            f" setting need {-(-least >> 20)} MiB; pass --write-budget {-(-least >> 20)}M or more, a smaller --grid,"
            " or --read-only"
        )
