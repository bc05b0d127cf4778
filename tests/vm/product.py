"""The Debian package of this tree: made for the guest's Debian, kept until the sources change."""

from __future__ import annotations

import hashlib
import inspect
import platform
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vm.kept import PROJECT, kept, run
from vm.rig.machine import SUITE, SetUp
from vm.root import Root, debian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vm.rig.guest_shell import GuestShell

_SOURCES = ("pyproject.toml", "README.md", "daemon/aio_tuned", "native/CMakeLists.txt", "native/src")
_OF_PACKAGE = (*_SOURCES, "CHANGELOG.md", ".deb", "docs", "etc", "native/PROTOCOL.md", "systemd")
_COMPILERS = ("build-essential", "cmake", "debhelper", "dh-python", "python3")


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


def kept_package(kind: str, make: Callable[[Path], object]) -> Path:
    """The Debian package of this tree that `make` makes in a folder."""
    (found,) = kept(f"product-{kind}-{_key(_OF_PACKAGE)}", make).glob("*.deb")
    return found


def compilers(suite: str, own: Path, *more: str, architectures: str = "") -> Root:
    """A Debian of this machine's architecture with what builds the package, and `more`."""
    host = run(["dpkg", "--print-architecture"], own).strip()
    return Root(unchanged=debian(suite, f"{host}{architectures}", (*_COMPILERS, *more)), own=own)


def make_in(root: Root, folder: Path, *architecture: str) -> None:
    """Make the package in a root with compilers, of its architecture or another, and move it to the folder."""
    made = root.run(["sh", ".deb/build", "/out", *architecture], timeout_s=1200).split()[-1]
    shutil.move(root.path(made), folder)


def _make_in_root(suite: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vmrig-root-", dir=folder) as own:
        make_in(compilers(suite, Path(own), "libaio-dev", "liburing-dev"), folder)


def package(suite: str = SUITE) -> Path:
    """The Debian package of this tree for this Debian; if this machine has another, it is made in a root of it."""
    if platform.freedesktop_os_release().get("VERSION_CODENAME") == suite:
        return kept_package("deb", lambda folder: run([PROJECT / ".deb/build", folder], folder))
    return kept_package(suite, partial(_make_in_root, suite))


def _install(package: Path, guest: GuestShell) -> None:
    """Install the package, and leave its daemon stopped."""
    guest.push(package, "/root/aio-tuned.deb")
    guest.sh("dpkg -i /root/aio-tuned.deb", 240)
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
