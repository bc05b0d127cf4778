from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from aio_tuned.timeouts import TooLateError, answer, in_thread
from unit.support.builders import PROJECT


def test_the_result_comes_from_another_thread() -> None:
    assert asyncio.run(in_thread(threading.get_ident)) != threading.get_ident()


def test_an_exception_is_raised_where_it_is_awaited() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 // 0))


def test_the_event_loop_continues() -> None:
    go = threading.Event()

    async def main() -> bool:
        waiting = asyncio.create_task(in_thread(lambda: go.wait(10)))
        await asyncio.sleep(0)
        go.set()
        return await waiting

    assert asyncio.run(main())


def test_cancelling_does_not_wait_for_the_thread_and_its_late_end_harms_nobody() -> None:
    go, ended = threading.Event(), threading.Event()
    complaints: list[object] = []

    def stuck() -> None:
        go.wait(10)
        ended.set()

    async def main() -> float:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        began = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(in_thread(stuck), 0.05)
        took = time.monotonic() - began
        go.set()
        ended.wait(10)
        await asyncio.sleep(0.05)
        return took

    assert asyncio.run(main()) < 5
    assert not complaints


def test_a_thread_that_ends_after_the_loop_is_closed_says_nothing() -> None:
    """And one that never ends does not hold up the process: its exit is what the time limit is for."""
    program = """
import asyncio, os, threading, time
from aio_tuned.timeouts import TooLateError, answer, in_thread

late = threading.Event()
reader, _ = os.pipe()

async def main():
    for function in (lambda: os.read(reader, 1), late.wait):
        try:
            await asyncio.wait_for(in_thread(function), 0.05)
        except asyncio.TimeoutError:
            pass

asyncio.run(main())
late.set()
time.sleep(0.1)
print("end")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "daemon")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_threads_are_gone_when_their_calls_are() -> None:
    before = threading.active_count()

    async def main() -> None:
        await asyncio.gather(*(in_thread(lambda: None) for _ in range(50)))

    asyncio.run(main())
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


# --- without asyncio -------------------------------------------------------------------------------------


def test_an_answer_is_the_functions_result_or_error() -> None:
    assert answer(lambda: 7, 10) == 7
    with pytest.raises(ZeroDivisionError):
        answer(lambda: 1 // 0, 10)


def test_a_function_that_does_not_return_is_left() -> None:
    go = threading.Event()
    with pytest.raises(TooLateError):
        answer(go.wait, 0.05)
    go.set()


def test_the_functions_own_timeout_is_its_error() -> None:
    """As of a network filesystem: ETIMEDOUT is a TimeoutError."""

    def call() -> None:
        raise TimeoutError(110, "Connection timed out")

    with pytest.raises(TimeoutError, match="Connection timed out"):
        answer(call, 10)
