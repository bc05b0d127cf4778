"""Waits with a time limit, and threads for calls that may block without end."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def start(function: Callable[[], T]) -> Future[T]:
    """Run the function in a new thread; its result or error is in the Future.

    The thread is a daemon thread, unlike those of asyncio.to_thread, for which the interpreter waits at its exit.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # cancelling the wait must not cancel the outcome

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the outcome is awaited
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    Thread(target=run, name=f"blocking {getattr(function, '__name__', '')}".strip(), daemon=True).start()
    return outcome


async def in_thread(function: Callable[[], T]) -> T:
    """Run the function in a new thread, and return its result or raise its error.

    When cancelled, return at once and discard the thread's result, because a call on a dead drive may never end.
    """
    return await asyncio.wrap_future(start(function))


def answer(function: Callable[[], T], seconds: float) -> T:
    """Return the function's result or raise its error, without asyncio; raise TooLateError after `seconds`."""
    outcome = start(function)
    try:
        return outcome.result(seconds)
    except FutureTimeoutError:
        if outcome.done():  # the function's own error
            raise
        raise TooLateError from None


class TooLateError(Exception):
    """A wait exceeded its time limit."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; raise TooLateError if it takes longer than `seconds`.

    Before Python 3.12, asyncio.wait_for() loses a cancellation that arrives together with the result, so that Ctrl-C
    would have no effect.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TooLateError
        return task.result()
    finally:
        task.cancel()
