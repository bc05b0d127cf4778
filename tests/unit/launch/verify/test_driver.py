"""A driver's end and its last words, with programs in place of the interpreter."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import HelperError
from aio_tuned.launch.verify.driver import Driver
from processes import alive, until

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path


def program(folder: Path, text: str) -> Path:
    """A program that reads what it is sent and does something else."""
    made = folder / "python"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o755)
    return made


def started(python: Path) -> Coroutine[None, None, Driver]:
    return Driver.start(python, "fio", os.environ, None, root=False)


def test_the_processes_of_a_driver_that_does_not_end_are_killed_with_it(tmp_path: Path) -> None:
    """An operator that is being built has a compiler, which would use the processors for minutes after Ctrl-C."""
    python = program(tmp_path, """sleep 600 & echo '{"compiler": '$!'}'; sleep 600""")

    async def compiler() -> int:
        driver = await started(python)
        async with driver:
            pid: int = (await driver.ask("configure"))["compiler"]
            assert alive(pid)
            await driver.end(0)
        return pid

    pid = asyncio.run(compiler())
    assert until(lambda: not alive(pid))


@pytest.mark.parametrize("answer", [r'{"error": "\\u001b[2J"}', "no answer"])
def test_a_terminal_does_not_obey_its_words(tmp_path: Path, answer: str) -> None:
    python = program(tmp_path, f"printf '\\033[2J\\n' >&2; echo '{answer}'")

    async def asked() -> None:
        async with await started(python) as driver:
            await driver.ask("hello")

    with pytest.raises(HelperError, match=r"\\x1b\[2J") as raised:
        asyncio.run(asked())
    assert str(raised.value).isprintable()


def test_an_answer_without_end_is_none(tmp_path: Path) -> None:
    python = program(tmp_path, "head -c 100000 /dev/zero | tr '\\0' '['; echo")

    async def asked() -> None:
        async with await started(python) as driver:
            await driver.ask("hello")

    with pytest.raises(HelperError, match="ended during hello"):
        asyncio.run(asked())
