"""Adapter: calls that may block for ever, out of the event loop's way."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(function: Callable[[], T]) -> T:
    """What the function returns or raises, from a thread of its own.

    When cancelled it returns at once, and the thread is left to end by itself, unheard: in a call on a dead drive that
    may be never. It is a daemon thread, as asyncio.to_thread's are not: those the interpreter waits for at its exit.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # from here on, cancelling the wait does not cancel the outcome

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the outcome is awaited
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    Thread(target=run, name=f"blocking {getattr(function, '__name__', '')}".strip(), daemon=True).start()
    return await asyncio.wrap_future(outcome)
