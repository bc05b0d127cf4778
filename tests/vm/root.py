"""A Debian root folder that programs run in: of another architecture by emulation, or with compilers for it."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.kept import PROJECT, kept, run
from vm.rig.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A private mount namespace: the root with what programs write laid over it, and the tree that none can write.
_ENTER = """
set -e
lower=$1 own=$2 tree=$3
shift 3
mkdir -p "$own/changes" "$own/work" "$own/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$own/changes,workdir=$own/work" root "$own/root"
cd "$own/root"
mkdir -p tree
mount --bind "$tree" tree
mount -o remount,bind,ro tree
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o size=4g tmp tmp
exec chroot . "$@"
"""
# Compiled modules are kept with the changes.
_ENVIRONMENT = (
    "LC_ALL=C.UTF-8",
    "PYTHONPYCACHEPREFIX=/var/cache/python",
    "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis",
)
_FORMATS = "/proc/sys/fs/binfmt_misc"
_NO_MANUALS = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root, which stays as it is, and the folder of the changes of one user, which are seen by later programs."""

    unchanged: Path
    own: Path

    def run(self, words: Iterable[str | Path], *, timeout_s: float) -> str:
        """Run a program that must succeed in /tree, a view of the project; return what it prints. Its /tmp is its own.

        Raise CommandError with all that it said if it fails or takes longer.
        """
        command = [str(word) for word in words]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh"]
        inside = ["env", "-C", "/tree", "-u", "PYTHONDONTWRITEBYTECODE", *_ENVIRONMENT, *command]
        try:
            done = subprocess.run(
                [*enter, self.unchanged, self.own, PROJECT, *inside],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as late:
            raise CommandError(command, -9, (late.stdout or b"").decode(errors="replace")) from None
        if done.returncode:
            raise CommandError(command, done.returncode, done.stdout)
        return done.stdout

    def path(self, inside: str) -> Path:
        """Return where a file that a program has written is on this machine."""
        return self.own / "changes" / inside.lstrip("/")


def debian(suite: str, architectures: str, packages: Iterable[str]) -> Path:
    """Return the root of a Debian with these packages; it is made once, and kept while it is used."""
    wanted = ",".join(packages)

    def make(folder: Path) -> None:
        how = ["--quiet", "--mode=root", "--variant=minbase", f"--architectures={architectures}"]
        options = ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io", *_NO_MANUALS]
        run(["mmdebstrap", *how, f"--include={wanted}", *options, suite, folder / "root"], folder)

    key = hashlib.sha256(f"{suite} {architectures} {wanted}".encode()).hexdigest()[:12]
    return kept(f"product-root-{key}", make) / "root"


def run_programs_of(architecture: str) -> None:
    """Have the kernel run programs of this architecture by qemu-user, as systemd does at each start of a machine."""
    if Path(f"{_FORMATS}/qemu-{architecture}").exists():
        return
    if not Path(f"{_FORMATS}/register").exists():
        run(["mount", "-t", "binfmt_misc", "binfmt_misc", _FORMATS], Path("/"))
    how = Path(f"/usr/lib/binfmt.d/qemu-{architecture}.conf").read_bytes()
    Path(f"{_FORMATS}/register").write_bytes(how)


def unpacked(base: Path) -> Path:
    """Return the root that is packed in this file of the rig's cache."""
    return kept(f"product-root-{base.stem}", lambda folder: run(["tar", "-xf", base, "--numeric-owner"], folder))
