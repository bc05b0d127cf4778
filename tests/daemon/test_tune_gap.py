"""What comes between the decision and the helper's start costs no other disk a byte."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20


def written_bytes(device: Path) -> int:
    return int(Path(f"/sys/class/block/{device.name}/stat").read_text().split()[6]) * 512


def test_a_filesystem_unmounted_in_the_gap(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], disk: Callable[..., LoopDrive]
) -> None:
    """The folder below it is on another disk, which has room for the scratch file."""
    below = filesystem(kind="ext4")
    assert below.device is not None
    inner = disk(size_bytes=512 * MIB)
    storage.run(*storage.MAKE["ext4"], inner.node)
    point = below.path / "inner"
    point.mkdir()
    storage.run("mount", inner.node, point)
    try:
        storage.run("sync")
        before = written_bytes(below.device)
        done = quick.run(point, "--helper", quick.helper(f"umount {point}"))
    finally:
        storage.unmount(point)
    assert done.code == 66, done.stderr
    assert ", expected " in done.last
    assert quick.published() == {}
    assert written_bytes(below.device) - before < MIB


# In one process, since other tests attach whichever device is free: linux/loop.h.
EXCHANGE = """
import fcntl, os, sys
CLEAR, SET, BLOCK_BYTES = 0x4C01, 0x4C00, 0x4C09
node, image = (os.open(path, os.O_RDWR) for path in sys.argv[1:])
fcntl.ioctl(node, CLEAR)
os.close(node)
node = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(node, SET, image)
fcntl.ioctl(node, BLOCK_BYTES, 4096)
"""


@pytest.mark.usefixtures("disk")  # which skips where there are no loop devices
def test_another_disk_under_the_same_name_in_the_gap(quick: Tuner) -> None:
    """Its file has been exchanged, so that the kernel's number of it is the same."""
    images = [quick.folder / name for name in ("first", "second")]
    with images[0].open("wb") as file:  # whole: a sparse one is never written raw
        os.posix_fallocate(file.fileno(), 0, 96 * MIB)
    with images[1].open("wb") as file:
        file.truncate(96 * MIB)
    quick.configure('[safety]\nraw_write = "blank"')
    node = storage.attach(images[0])
    program = quick.folder / "exchange.py"
    program.write_text(EXCHANGE)
    try:
        done = quick.run(node, "--helper", quick.helper(f"{sys.executable} {program} {node} {images[1]}"))
    finally:
        backing = Path(f"/sys/block/{node.name}/loop/backing_file")
        if backing.exists() and str(quick.folder) in backing.read_text():
            storage.run("losetup", "--detach", node)
    assert done.code == 66, done.stderr
    assert "the drive was replaced" in done.last
    assert images[1].stat().st_blocks == 0
    assert quick.published() == {}


def test_space_that_others_need_during_the_sweep(endless: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    """A tenth of the filesystem is left to them: 10 GiB are more than it has."""
    made = filesystem(kind="ext4", size_bytes=1 << 30)
    run = endless.start(made.path)
    run.reach("read 1/2")
    status = os.statvfs(made.path)
    with (made.path / "checkpoint").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - 50 * MIB)
        done = run.end()
        # What the scratch file had taken is there for the rest of it.
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize + 50 * MIB)
    assert done.code == 69, done.stderr
    assert "the scratch file was deleted" in done.last
    assert endless.published() == {}
