"""Processes, and waiting for what they do."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Whether the condition becomes true in that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def alive(process: int) -> bool:
    """Whether the process runs: it exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (OSError, IndexError):
        return False


def children(process: int) -> set[int]:
    """The process's children."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(") ")[2].split()[1]) == process:
                found.add(int(status.parent.name))
    return found


def descendants(process: int) -> set[int]:
    """The process's children, theirs, and so on."""
    found: set[int] = set()
    new = {process}
    while new := {child for parent in new for child in children(parent)} - found:
        found |= new
    return found
