"""The product as a user gets it: wheels, made on this machine and kept until the sources change."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vm.rig.errors import RigError
from vm.rig.machine import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
_MADE_FROM = ("pyproject.toml", "README.md", "LICENSE", "daemon/aio_tuned", "native/CMakeLists.txt", "native/src")
# What Debian 12 lacks, or has too old; the image has the other dependencies.
_BESIDE = ("sdnotify>=0.3.2",)


def _sources() -> Iterator[Path]:
    for name in _MADE_FROM:
        path = PROJECT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _key() -> str:
    digest = hashlib.sha256(repr((platform.libc_ver(), platform.machine(), _BESIDE)).encode())
    for file in _sources():
        digest.update(f"\0{file.relative_to(PROJECT)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _pip_wheel(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), *words]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if done.returncode:
        raise RigError(f"{' '.join(command)}: exit {done.returncode}:\n{done.stderr[-4000:]}")


def wheels() -> Path:
    """A folder with the wheel of this tree, and those that it needs and the image lacks."""
    folder = cache() / f"wheels-{_key()}"
    with (cache() / ".wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            os.utime(folder)  # build-image.sh removes what is not used
            return folder
        making = Path(tempfile.mkdtemp(prefix=".wheels-", dir=cache()))
        try:
            # Out of tree: the build folder of an editable install is in use.
            _pip_wheel(making, "--config-settings", f"build-dir={making}/build", str(PROJECT))
            _pip_wheel(making, *_BESIDE)
            shutil.rmtree(making / "build")
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder
