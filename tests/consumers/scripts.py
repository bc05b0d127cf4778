"""Run a consumer's own code on a file that we wrote, as its user would."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


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
