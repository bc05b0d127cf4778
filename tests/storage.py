"""Real block devices and filesystems for tests, on fully allocated files in memory. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["ext4", "xfs", "btrfs", "tmpfs"]

PREFIX = "aio-tuned-test-"
UDEV_CONTROL = Path("/run/udev/control")
PATIENCE_S = 60.0
# Quick options, without background work after the mount, and without discards, which make the file sparse.
MAKE: dict[str, tuple[str, ...]] = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-K"),
    "btrfs": ("mkfs.btrfs", "-q", "-f", "-K"),
}
# btrfs discards by default what it has freed.
MOUNT: dict[str, tuple[str, ...]] = {"btrfs": ("-o", "nodiscard")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """A mounted filesystem; tmpfs has no device."""

    kind: Kind
    path: Path
    device: Path | None


def keep_files_on_disk() -> None:
    """Have temporary files in /var/tmp if /tmp is in memory, as it is on Debian 13: helpers read a drive."""
    kind = run("stat", "--file-system", "--format=%T", tempfile.gettempdir())
    if kind in ("tmpfs", "ramfs"):
        os.environ["TMPDIR"] = tempfile.tempdir = "/var/tmp"


def run(*command: str | Path) -> str:
    """Run the command and return its standard output; raise OSError with its messages if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()}"
        raise OSError(message)
    return done.stdout.strip()


def make_backing(size_bytes: int, folder: Path) -> Path:
    """Create a fully allocated file of zeros, in memory if there is space, else in `folder`.

    The file needs a name, because a loop device whose file cannot be read is never written. Files of dead processes are
    removed.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 * size_bytes
    place = memory if roomy else folder
    for left in place.glob(f"{PREFIX}*"):
        maker = left.name.removeprefix(PREFIX).partition("-")[0]
        if maker.isdigit() and not Path("/proc", maker).exists():
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)
    return Path(name)


def attach(backing: Path) -> Path:
    """Attach a loop device to the file, with direct I/O if the file's filesystem supports it."""
    device = Path(run("losetup", "--find", "--show", "--sector-size=4096", backing))
    with suppress(OSError):
        run("losetup", "--direct-io=on", device)
    settle()
    return device


def settle() -> None:
    """Wait for udevd if it runs: it reads every new device, and so may be taken for a user of the device."""
    if UDEV_CONTROL.exists():
        with suppress(OSError):
            run("udevadm", "settle", "--timeout=120")


def remove_partition(disk: Path, number: int) -> None:
    """Remove a partition that addpart has added from the kernel."""
    settle()
    run_when_free("delpart", disk, str(number))


@contextmanager
def open_loop_device(size_bytes: int, folder: Path) -> Iterator[Path]:
    """Yield a blank block device of that size with 4 KiB sectors.

    The kernel detaches the device when the last one closes it: at the latest when this process dies, however that
    happens.
    """
    backing = make_backing(size_bytes, folder)
    try:
        device = attach(backing)
        try:
            descriptor = os.open(device, os.O_RDONLY)
        finally:
            run("losetup", "--detach", device)
        try:
            yield device
        finally:
            os.close(descriptor)
    finally:
        backing.unlink()


def run_when_free(*command: str | Path) -> None:
    """Repeat the command until its device or mount is no longer in use, for PATIENCE_S at most.

    A test beside this one may have made a mount namespace, which holds a copy of every mount until it ends.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            run(*command)
        except OSError as error:
            if "busy" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def unmount(path: Path) -> None:
    """Unmount; if the mount stays in use, detach it from the tree and fail."""
    if not path.is_mount():
        return
    try:
        run_when_free("umount", path)
    except OSError:
        run("umount", "--lazy", path)
        raise


def supports(kind: Kind) -> bool:
    """Return whether this kernel has the filesystem, built in or as a module."""

    def known() -> bool:
        return kind in Path("/proc/filesystems").read_text(encoding="ascii").split()

    if not known() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", kind], check=False)
    return known()


@contextmanager
def mounted_filesystem(kind: Kind, size_bytes: int, folder: Path) -> Iterator[Filesystem]:
    """Yield a new filesystem of that size, mounted in `folder`; xfs needs 300 MiB, btrfs 128 MiB."""
    if not supports(kind):
        pytest.skip(f"this kernel has no {kind}")
    if kind == "tmpfs":
        with mount_in(folder, "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs") as path:
            yield Filesystem(kind=kind, path=path, device=None)
        return
    if not shutil.which(MAKE[kind][0]):
        pytest.skip(f"{MAKE[kind][0]} is not installed")
    with open_loop_device(size_bytes, folder) as device:
        run(*MAKE[kind], device)
        with mount_in(folder, "-t", kind, *MOUNT.get(kind, ()), device) as path:
            yield Filesystem(kind=kind, path=path, device=device)


@contextmanager
def mount_in(folder: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mount in a new folder of `folder`."""
    path = Path(tempfile.mkdtemp(dir=folder, prefix="mnt-"))
    run("mount", *arguments, path)
    try:
        yield path
    finally:
        unmount(path)


def visible_proc(folder: Path) -> Path:
    """Yield a folder like /proc, with the processes whose open files can be read.

    A sandbox may keep even root from reading those of its first process, and then no device would be written raw.
    """
    made = folder / "proc"
    (made / "self/ns").mkdir(parents=True)
    (made / "self/ns/pid").symlink_to("/proc/self/ns/pid")
    (made / "filesystems").symlink_to("/proc/filesystems")
    (made / "1").mkdir()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(FileNotFoundError):
                    descriptor.readlink()
            if process.name != "1":
                (made / process.name).symlink_to(process)
    return made
