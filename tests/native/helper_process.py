"""A running helper, spoken to as native/PROTOCOL.md says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

Message = dict[str, Any]

MIB = 1 << 20
TIMEOUT_S = 60


def point(**changes: int | str) -> str:
    """A request line: a small read, with these keys changed."""
    keys: dict[str, int | str] = {
        "id": 1,
        "op": "read",
        "block_size": 65536,
        "queue_depth": 4,
        "io_parallelism": 1,
        "overlap_events": 1,
        "single_submit": 0,
        "transfer_bytes": 4 * MIB,
    }
    keys.update(changes)
    return "point " + " ".join(f"{key}={value}" for key, value in keys.items())


class Helper:
    """One process of the helper; a context that leaves nothing running."""

    def __init__(self, path: Path, arguments: Sequence[str | Path]) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            [path, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="latin-1",
        )
        self.stderr = ""

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Kill it if it still runs, and close its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.wait(TIMEOUT_S)

    def send(self, *lines: str) -> None:
        """Write request lines."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def receive(self, *, ticks: bool = False) -> Message:
        """The next message, ticks left out unless asked for."""
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            assert line, f"no more output; stderr: {self.process.stderr.read() if self.process.stderr else ''}"
            assert line.isascii()
            message: Message = json.loads(line)
            if ticks or message["type"] != "tick":
                return message

    def ask(self, line: str) -> Message:
        """Send one request and return its answer."""
        self.send(line)
        return self.receive()

    def finish(self) -> tuple[int, list[Message]]:
        """End the input; return the exit code and the messages that were left."""
        out, self.stderr = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]

    def fail(self) -> tuple[int, Message]:
        """End the input where an error is expected; return the exit code and the error line, which is the last."""
        code, messages = self.finish()
        assert messages, self.stderr
        assert messages[-1]["type"] == "error", messages[-1]
        assert messages[-1]["code"] == code
        return code, messages[-1]


StartHelper = Callable[..., Helper]
