"""Adapter: calls that may block for ever, out of the event loop's way; and waits that end."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

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


class TooLateError(Exception):
    """What was waited for did not come in time."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or TooLateError.

    Before Python 3.12 asyncio.wait_for() loses a cancellation that comes together with the result: Ctrl-C would do
    nothing.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TooLateError
        return task.result()
    finally:
        task.cancel()
