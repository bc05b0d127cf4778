"""The product as a user gets it, a wheel or a Debian package: made on this machine, kept until the sources change."""

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
    from collections.abc import Callable, Iterable, Iterator

PROJECT = Path(__file__).resolve().parents[2]
_SOURCES = ("pyproject.toml", "README.md", "daemon/aio_tuned", "native/CMakeLists.txt", "native/src")
_OF_WHEEL = (*_SOURCES, "LICENSE")
_OF_PACKAGE = (*_SOURCES, "CHANGELOG.md", ".deb", "docs", "etc", "native/PROTOCOL.md", "systemd")


def _files(made_from: Iterable[str]) -> Iterator[Path]:
    for name in made_from:
        path = PROJECT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _key(made_from: Iterable[str]) -> str:
    digest = hashlib.sha256(repr((platform.libc_ver(), platform.machine())).encode())
    for file in _files(made_from):
        digest.update(f"\0{file.relative_to(PROJECT)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def run(words: Iterable[str | Path], folder: Path) -> None:
    """Run a command; RigError with the end of what it said if it fails."""
    command = [str(word) for word in words]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if done.returncode:
        raise RigError(f"{' '.join(command)}: exit {done.returncode}:\n{done.stderr[-4000:]}")


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name in the cache, filled by `make` if it is not there."""
    folder = cache() / name
    with (cache() / ".wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            os.utime(folder)  # build-image.sh removes what is not used
            return folder
        making = Path(tempfile.mkdtemp(prefix=".wheels-", dir=cache()))
        try:
            make(making)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def _make_wheel(folder: Path) -> None:
    # Out of tree: the build folder of an editable install is in use.
    build = folder / "build"
    words: list[str | Path] = [
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        folder,
        "--config-settings",
        f"build-dir={build}",
        PROJECT,
    ]
    run([sys.executable, "-m", "pip", "wheel", *words], folder)
    shutil.rmtree(build)


def wheels() -> Path:
    """A folder with the wheel of this tree; the image has what it depends on."""
    return kept(f"wheels-{_key(_OF_WHEEL)}", _make_wheel)


def _make_package(folder: Path) -> None:
    run([PROJECT / ".deb/build", folder], folder)


def package() -> Path:
    """The Debian package of this tree."""
    (found,) = kept(f"wheels-deb-{_key(_OF_PACKAGE)}", _make_package).glob("*.deb")
    return found


def repacked(deb: Path, folder: Path, change: Callable[[Path], None]) -> Path:
    """A package with other contents: `change` is given the folder that it is unpacked in."""
    root, path = folder / "unpacked", folder / "repacked.deb"
    run(["dpkg-deb", "--raw-extract", deb, root], folder)
    change(root)
    run(["dpkg-deb", "--root-owner-group", "--build", root, path], folder)
    return path
