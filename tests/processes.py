"""Processes, and waits for their actions."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import storage
from aio_tuned.helper.process import find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[1]
# Long enough for any expected event on a heavily loaded machine.
PATIENCE_S = 60.0


def seeing_helper(folder: Path, script: str = "") -> Path:
    """Return a helper that runs the shell script, and then becomes the real one.

    Before writing a raw device it sees the processes that run now and whose open files can be read.
    """
    path = folder / f"helper-{len(list(folder.glob('helper-*')))}"
    seen = storage.visible_proc(Path(tempfile.mkdtemp(dir=folder)))
    raw = f'case " $* " in *" --device="*" --allow-write "*) set -- "$@" --proc={seen} ;; esac'
    path.write_text(f'#!/bin/sh\nset -e\n{script}\n{raw}\nexec "{find()}" "$@"\n')
    path.chmod(0o755)
    return path


def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
    """Wait until the condition holds; return whether it does within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def aio_tuned(config: Path, *words: str | Path) -> list[str | Path]:
    """Return the command line of aio-tuned with that configuration."""
    return [sys.executable, "-m", "aio_tuned", "--config", config, *words]


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment and `more`, with the sources of aio-tuned in Python's path."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "daemon"), **more}


def state(process: int) -> str:
    """Return the process's state as in ps, "" if it is missing; D is a wait in the kernel that no signal ends."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


def alive(process: int) -> bool:
    """Return whether the process runs: it exists and is not a zombie."""
    return state(process) not in ("", "Z")


def _by_parent() -> dict[int, set[int]]:
    """Return the children of each process."""
    found: dict[int, set[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(status.read_text().rpartition(") ")[2].split()[1])
            found.setdefault(parent, set()).add(int(status.parent.name))
    return found


def children(process: int) -> set[int]:
    """Return the process's children."""
    return _by_parent().get(process, set())


def descendants(process: int) -> set[int]:
    """Return the process's children, theirs, and so on."""
    by_parent = _by_parent()
    found: set[int] = set()
    new = {process}
    while new := {child for parent in new for child in by_parent.get(parent, ())} - found:
        found |= new
    return found


def sleeps(process: int) -> int:
    """Count how often the process's threads went to sleep, which is how often they were woken."""
    found = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return found
