"""A helper process, driven by the protocol of native/PROTOCOL.md."""

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
    """Return the request line of a small read with these keys changed."""
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
    """One helper process; the context ends it."""

    def __init__(self, path: Path, arguments: Sequence[str | Path]) -> None:
        """Start the process."""
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
        """Return the helper."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Kill the process if it is running, and close its pipes."""
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
        """Return the next message, without ticks by default."""
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
        """End the input; return the exit code and the remaining messages."""
        out, self.stderr = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]

    def fail(self) -> tuple[int, Message]:
        """End the input and expect an error; return the exit code and the error line, which is the last."""
        code, messages = self.finish()
        assert messages, self.stderr
        assert messages[-1]["type"] == "error", messages[-1]
        assert messages[-1]["code"] == code
        return code, messages[-1]


StartHelper = Callable[..., Helper]
