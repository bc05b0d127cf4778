"""Run a consumer's own code on a file that we wrote, as its user would."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


# For scripts: how many bytes the kernel's queues of the process have, and how many one of that size has. A queue is a
# mapping, 64 entries a page: as large as that of a queue that we set up ourselves.
RINGS = """
import ctypes, os

def rings():
    pages = [line.split()[0].split("-") for line in open("/proc/self/maps") if "[aio]" in line]
    return sum(int(end, 16) - int(start, 16) for start, end in pages)

def ring_of(size):
    before, context = rings(), ctypes.c_void_p(0)
    io_setup = {"x86_64": 206, "aarch64": 0}[os.uname().machine]
    assert ctypes.CDLL(None).syscall(io_setup, size, ctypes.byref(context)) == 0
    return rings() - before
"""


def answer(python: Path, script: str, *arguments: str | Path, **environment: str) -> Any:  # noqa: ANN401 - what it says
    """What the script prints last, in JSON; AssertionError with all that it said if it fails."""
    words = [str(word) for word in (python, "-c", script, *arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def sourced(file: Path) -> dict[str, str]:
    """The variables that a shell has in its environment from that file."""
    words: list[str | Path] = ["env", "-i", "sh", "-c", 'set -a; . "$0"; env -0', file]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    both = dict(line.split("=", 1) for line in said.split("\0") if line)
    return {name: value for name, value in both.items() if f"\n{name}=" in f"\n{file.read_text()}"}
