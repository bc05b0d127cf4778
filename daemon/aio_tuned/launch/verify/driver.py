"""A driver: a consumer's interpreter that does the consumer's I/O on request, by JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import json
import os
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

from aio_tuned.child_process import ChildProcess
from aio_tuned.errors import Exit, HelperError
from aio_tuned.formatting import printable
from aio_tuned.timeouts import TooLateError, within

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

    from aio_tuned.child_process import Account

# The driver's modules are sent to it, because the user as whom it runs may not be able to read our installation. The
# first keeps its full name, by which the second imports it.
_PACKAGE = "aio_tuned.launch.verify.drivers"
_BOOT = """
import json, sys, types
for name, source in json.loads(sys.stdin.readline()):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
"""
_LINE_LIMIT = 1 << 20
_LAST_LINES = 20
_SHOWN_LETTERS = 500
# An operator of DeepSpeed is built at its first use, which takes 4 to 7 minutes on two processors.
START_S = 1200.0
_ANSWER_S = 120.0
_END_S = 10.0
_LAST_WORDS_S = 0.1


def _modules(consumer: str) -> list[tuple[str, str]]:
    folder = importlib.resources.files(_PACKAGE)
    return [
        (f"{_PACKAGE}.protocol", (folder / "protocol.py").read_text(encoding="utf-8")),
        ("__driver__", (folder / f"{consumer}_io.py").read_text(encoding="utf-8")),
    ]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the answer in a line; None if it is none, as at the end of the process."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _shown(text: str) -> str:
    """Return another user's words for a terminal."""
    return printable(text[:_SHOWN_LETTERS])


class Driver:
    """One running driver; use it as `async with await Driver.start(…) as driver`."""

    def __init__(self, process: ChildProcess, what: str) -> None:
        self._process = process
        self._what = what
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._listening = asyncio.ensure_future(self._listen())

    @property
    def pid(self) -> int:
        """The number of the interpreter's process."""
        return self._process.pid

    @classmethod
    async def start(
        cls, python: Path, consumer: str, environment: Mapping[str, str], account: Account | None, *, root: bool
    ) -> Driver:
        """Start the consumer's driver as that account; raise HelperError if the interpreter cannot be run.

        As root the interpreter ignores the variables of its environment and the files of its user.
        """
        isolated = ("-I",) if root else ()
        words = (str(python), *isolated, "-c", _BOOT)
        what = f"{consumer} in {python}"
        try:
            process = ChildProcess.start(
                words, line_limit=_LINE_LIMIT, stderr=True, env=environment, cwd="/", account=account
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise HelperError(f"{python}: cannot be run: {reason}; correct --python") from None
        driver = cls(process, what)
        await driver.send(_modules(consumer))
        return driver

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(_END_S)
        self._listening.cancel()
        self._process.close()

    async def end(self, patience_s: float) -> None:
        """Let the process end by itself in that time, then kill it with its own processes, such as compilers."""
        self._process.stdin.close()
        with contextlib.suppress(TooLateError):
            await within(patience_s, self._process.wait())
        if self._process.returncode is None:
            # It leads a group of its own, whose number is not given to another while it is not reaped.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(TooLateError):
                await within(_END_S, self._process.wait())

    async def send(self, message: object) -> None:
        """Send a line; do nothing if the process has ended, since the next answer then tells so."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def ask(self, do: str, *, limit_s: float = _ANSWER_S, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Return the answer to a request; raise HelperError if there is none in time or if it is an error."""
        await self.send({"do": do, **arguments})
        try:
            line = await within(limit_s, self._process.stdout.readline())
        except TooLateError:
            raise HelperError(
                f"{self._what}: no answer for {limit_s:.0f} s; see the kernel log, and try the consumer by itself",
                Exit.IO,
            ) from None
        except ValueError as error:
            raise HelperError(f"{self._what}: {error}; report this bug in aio-tuned") from None
        answer = _parsed(line)
        if answer is None:
            # Its last words may arrive after the end of its answers.
            with contextlib.suppress(TooLateError):
                await within(_END_S, self._process.wait())
            await asyncio.sleep(_LAST_WORDS_S)
            raise HelperError(f"{self._what}: ended during {do}{self._said()}; try the consumer by itself")
        if "error" in answer:
            raise HelperError(
                f"{self._what}: {do}: {_shown(str(answer['error']))}; try the consumer by itself", Exit.IO
            )
        return answer

    def _said(self) -> str:
        return f": {_shown(self._last[-1])}" if self._last else ""

    async def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - start() asks for it
        with contextlib.suppress(ValueError):
            while line := await self._process.stderr.readline():
                if text := line.decode(errors="backslashreplace").strip():
                    self._last.append(text)
