"""The Debian package of this tree: made on this machine, kept until the sources change."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import platform
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vm.rig.errors import CommandError, RigError
from vm.rig.machine import SetUp, cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vm.rig.guest_shell import GuestShell

PROJECT = Path(__file__).resolve().parents[2]
_SOURCES = ("pyproject.toml", "README.md", "daemon/aio_tuned", "native/CMakeLists.txt", "native/src")
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


def _make_package(folder: Path) -> None:
    run([PROJECT / ".deb/build", folder], folder)


def package(kind: str = "deb", make: Callable[[Path], object] = _make_package) -> Path:
    """The Debian package of this tree; `make` makes another kind of it in a folder."""
    (found,) = kept(f"product-{kind}-{_key(_OF_PACKAGE)}", make).glob("*.deb")
    return found


class ForeignPackageError(RigError):
    """The package is for another system than the guest's Debian."""


def _install(package: Path, guest: GuestShell) -> None:
    """Install the package, and leave its daemon stopped."""
    guest.push(package, "/root/aio-tuned.deb")
    job = guest.run("dpkg -i /root/aio-tuned.deb", 240)
    if "dependency problems" in job.err:
        raise ForeignPackageError(f"the package is not for the guest's Debian: {job.err.strip()}")
    if job.status:
        raise CommandError("dpkg -i", job.status, job.out + job.err)
    # Whatever a command has to read from disk is in the saved memory.
    guest.sh("rm /root/aio-tuned.deb; aio-tuned status >/dev/null; aio-sweep --version; systemctl stop aio-tuned", 120)


def installation(package: Path) -> SetUp:
    """A guest with the package installed and its daemon stopped."""
    # The package's folder is named after what it is made from.
    how = hashlib.sha256(inspect.getsource(_install).encode()).hexdigest()
    return SetUp(f"{package.parent.name} {how}", partial(_install, package))


def repacked(deb: Path, folder: Path, change: Callable[[Path], None]) -> Path:
    """A package with other contents: `change` is given the folder that it is unpacked in."""
    root, path = folder / "unpacked", folder / "repacked.deb"
    run(["dpkg-deb", "--raw-extract", deb, root], folder)
    change(root)
    run(["dpkg-deb", "--root-owner-group", "--build", root, path], folder)
    return path
