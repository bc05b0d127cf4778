"""What tests make once, and keep in the rig's cache; build-image.sh removes what is not used."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vm.rig.errors import RigError
from vm.rig.machine import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROJECT = Path(__file__).resolve().parents[2]


def run(words: Iterable[str | Path], folder: Path) -> str:
    """Run a command and return what it prints; RigError with the end of what it said if it fails."""
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise RigError(f"{' '.join(command)}: exit {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name in the cache, filled by `make` if it is not there."""
    folder = cache() / name
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            os.utime(folder)  # build-image.sh removes what is not used
            return folder
        making = Path(tempfile.mkdtemp(prefix=".product-", dir=cache()))
        try:
            make(making)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder
