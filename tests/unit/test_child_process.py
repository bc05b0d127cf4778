from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.child_process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 1 << 16


def shell(script: str, *, stderr: bool = False) -> ChildProcess:
    return ChildProcess.start(("sh", "-c", script), line_limit=LIMIT, stderr=stderr)


def with_shell(script: str, work: Callable[[ChildProcess], Awaitable[Any]], *, stderr: bool = False) -> Any:  # noqa: ANN401
    async def run() -> Any:  # noqa: ANN401 - whatever the work gives
        child = shell(script, stderr=stderr)
        try:
            return await asyncio.wait_for(work(child), 20)
        finally:
            child.kill()
            await child.wait()
            child.close()

    return asyncio.run(run())


def test_lines_and_the_rest_are_read_in_their_order() -> None:
    async def work(child: ChildProcess) -> list[bytes]:
        return [
            await child.stdout.readline(),
            await child.stdout.read(2),
            await child.stdout.readline(),
            await child.stdout.readline(),
            await child.stdout.readline(),
        ]

    assert with_shell("printf 'one\\ntwo\\nend'", work) == [b"one\n", b"tw", b"o\n", b"end", b""]


def test_a_line_of_the_limit_is_read_and_a_longer_one_refused() -> None:
    async def work(child: ChildProcess) -> int:
        return len(await child.stdout.readline())

    assert with_shell(f"head -c {LIMIT - 1} /dev/zero; echo", work) == LIMIT
    with pytest.raises(ValueError, match="longer than 65536 bytes"):
        with_shell("exec cat /dev/zero", work)


def test_a_read_is_woken_though_a_cancelled_one_ends_after_it_began() -> None:
    async def work(child: ChildProcess) -> bytes:
        cancelled = asyncio.ensure_future(child.stdout.read())
        await asyncio.sleep(0)
        reading = asyncio.ensure_future(child.stdout.read())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        await child.stdin.write(b"x")
        return await asyncio.wait_for(reading, 5)

    assert with_shell("exec cat", work) == b"x"


def test_more_than_a_pipe_holds_is_written() -> None:
    async def work(child: ChildProcess) -> bytes:
        await child.stdin.write(b"x" * 1_000_000)
        child.stdin.close()
        return await child.stdout.readline()

    assert int(with_shell("sleep 0.1; wc -c", work)) == 1_000_000


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_a_process_that_does_not_read_is_a_broken_pipe(size: int) -> None:
    async def work(child: ChildProcess) -> None:
        await child.wait()
        await child.stdin.write(b"x" * size)

    with pytest.raises(BrokenPipeError):
        with_shell("exit 0", work)


def test_a_write_that_waits_ends_with_the_process() -> None:
    async def work(child: ChildProcess) -> None:
        writing = asyncio.ensure_future(child.stdin.write(b"x" * 1_000_000))
        await asyncio.sleep(0.05)
        assert not writing.done()
        child.kill()
        await writing

    with pytest.raises(BrokenPipeError):
        with_shell("exec sleep 30", work)


def test_closing_ends_a_read_that_waits() -> None:
    async def work(child: ChildProcess) -> tuple[bytes, bytes]:
        reading = asyncio.ensure_future(child.stdout.readline())
        await asyncio.sleep(0.05)
        assert not reading.done()
        child.kill()
        child.stdout.close()
        return await reading, await child.stdout.read()

    assert with_shell("exec sleep 30", work) == (b"", b"")


def test_a_process_that_prints_endlessly_does_not_hold_up_the_loop() -> None:
    async def work(child: ChildProcess) -> bool:
        async def read_on() -> None:
            while await child.stdout.read():
                pass

        reading = asyncio.ensure_future(read_on())
        await asyncio.sleep(0.05)
        child.kill()
        await reading
        return True

    assert with_shell("exec cat /dev/zero", work)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -signal.SIGKILL)])
def test_the_exit_code(script: str, code: int) -> None:
    assert with_shell(script, ChildProcess.wait) == code


def test_signals_do_not_take_the_exit_code_away() -> None:
    async def work(child: ChildProcess) -> int:
        while await child.stdout.read():
            pass
        for _ in range(20):
            child.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.001)
        return await child.wait()

    assert with_shell("exit 3", work) == 3


def test_it_has_ended_although_another_process_has_its_pipes() -> None:
    async def work(child: ChildProcess) -> int:
        other = int(await child.stdout.readline())
        try:
            return await asyncio.wait_for(child.wait(), 10)
        finally:
            os.kill(other, signal.SIGKILL)

    assert with_shell("sleep 30 & echo $!; exit 4", work, stderr=True) == 4


def test_one_that_has_not_ended_is_left_behind_and_reaped_later() -> None:
    async def main() -> tuple[int, int]:
        child = shell("read line; exit 0")
        held = os.dup(child.stdin._pipe.fd)  # it continues reading
        child.close()
        return child.pid, held

    pid, held = asyncio.run(main())
    assert Path(f"/proc/{pid}").exists()
    os.close(held)
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "it was not reaped"
        time.sleep(0.01)


def test_it_is_in_a_session_of_its_own() -> None:
    async def work(child: ChildProcess) -> int:
        return int((await child.stdout.readline()).split()[5])

    assert with_shell("cat /proc/$$/stat", work) != os.getsid(0)


def test_a_program_that_is_not_there_is_an_oserror() -> None:
    with pytest.raises(FileNotFoundError):
        ChildProcess.start(("/no/such/program",), line_limit=LIMIT)
