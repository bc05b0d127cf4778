"""`aio-tuned tune` on a terminal: the lines that are left on the screen."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from processes import environment_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import storage
    from daemon.conftest import Tuner

COLUMNS = 80
BAR = "writing test data "
# A helper that fills for ever, in the protocol's words, until it is ended.
FILLING = r"""
filled=0
while sleep 0.2; do
  filled=$((filled + 16777216))
  printf '{"type":"tick","phase":"fill","bytes":%d,"total_bytes":1073741824}\n' $filled
done
"""
_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n])")


def screen(shown: str) -> list[str]:
    """The lines that a terminal shows in the end; it knows what rich sends: colours, cursor up, and erase line."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for parameters, command, control, letter in _TOKENS.findall(shown):
        if command == "A":
            row = max(0, row - int(parameters or 1))
        elif command == "K":
            lines[row] = [] if parameters == "2" else lines[row][:column]
        elif control == "\r":
            column = 0
        elif control == "\n" or (letter and column == COLUMNS):
            row, column = row + 1, 0 if letter else column
            lines += [[]] * (row + 1 - len(lines))
        if letter:
            line = [*lines[row], *" " * (column - len(lines[row]))]
            line[column : column + 1] = [letter]
            lines[row], column = line, column + 1
    return ["".join(line).rstrip() for line in lines]


def on_a_terminal(words: list[str | Path], *, interrupt_at: str) -> tuple[int, str]:
    """Run the command on a terminal, press Ctrl-C when it shows that text, and return its exit code and output."""
    terminal, other = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["setsid", "--ctty", *words],
        stdin=other,
        stdout=other,
        stderr=other,
        env=environment_with({"TERM": "xterm-256color"}),
    )
    os.close(other)
    shown, end, pressed = b"", time.monotonic() + 60, False
    while time.monotonic() < end:
        try:
            shown += os.read(terminal, 1 << 16)
        except OSError:  # EIO: the last process has closed it
            break
        if not pressed and re.search(interrupt_at, shown.decode(errors="replace")):
            os.write(terminal, b"\x03")
            pressed = True
    os.close(terminal)
    return process.wait(30), shown.decode()


def test_an_interrupt_leaves_one_bar(tuner: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    """The terminal echoes "^C" behind the bar, which must not wrap."""
    pytest.importorskip("rich")
    made = filesystem()
    words = tuner.command("tune", made.path, "--out", tuner.out, "--helper", tuner.helper(FILLING))
    code, shown = on_a_terminal(words, interrupt_at=r"(6[4-9]|[7-9]\d|\d{3}) MiB of 1 GiB")
    lines = screen(shown)
    assert code == 130
    assert [line for line in lines if line.startswith(BAR)] == [line for line in lines if BAR in line]
    assert sum(BAR in line for line in lines) == 1, shown
    assert lines[-2].startswith("aio-tuned: ended by SIGINT")
    assert max(map(len, lines)) <= COLUMNS
    assert tuner.published() == {}
