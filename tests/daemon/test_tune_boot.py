"""A disk of which only a boot partition is mounted: no scratch file fills that, unless its directory is named."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20
SIZE = 513 * MIB
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@pytest.fixture
def mount_at(tmp_path: Path) -> Iterator[Callable[[Path, str], Path]]:
    """`mount_at(node, "boot/efi")` is that folder of the test, where the node is mounted until the test ends."""
    points: list[Path] = []

    def make(node: Path, place: str) -> Path:
        point = tmp_path / place
        point.mkdir(parents=True)
        storage.run("mount", node, point)
        points.append(point)
        return point

    yield make
    for point in reversed(points):
        storage.unmount(point)


def only_reads(tuner: Tuner, target: Path, point: Path) -> None:
    profile = tuner.profile(target)
    assert profile["evidence"]["target"] == "raw device"
    assert profile["evidence"]["bytes_written"] == 0
    assert str(point) in profile["write"]["skipped"]
    assert "only a boot partition is mounted" in profile["write"]["skipped"]
    assert "raw_write" not in profile["write"]["skipped"]


@pytest.mark.parametrize("place", ["boot/efi", "boot"])
def test_it_is_known_by_its_mount_point(
    quick: Tuner,
    partition: Callable[[int], tuple[LoopDrive, Path]],
    mount_at: Callable[[Path, str], Path],
    place: str,
) -> None:
    whole, part = partition(SIZE)
    storage.run(*storage.MAKE["ext4"], part)
    point = mount_at(part, place)
    only_reads(quick, whole.node, point)
    only_reads(quick, part, point)
    named = quick.profile(point)
    assert named["evidence"]["target"] == "scratch file on ext4"
    assert named["write"]["throughput_bytes_per_s"] > 0


@pytest.mark.parametrize(("kind", "boots"), [(ESP, True), (LINUX, False)])
def test_it_is_known_by_its_type(
    quick: Tuner,
    partition: Callable[[int], tuple[LoopDrive, Path]],
    mount_at: Callable[[Path, str], Path],
    kind: str,
    boots: bool,
) -> None:
    whole, part = partition(SIZE)
    table = f"label: gpt\nstart=1MiB, size={512 - 1}MiB, type={kind}\n"
    subprocess.run(
        ["sfdisk", "--no-reread", "--no-tell-kernel", "--quiet", str(whole.node)], input=table, text=True, check=True
    )
    storage.remove_partition(whole.node, 1)
    storage.run("addpart", whole.node, "1", "2048", str(511 * 2048))
    storage.run(*storage.MAKE["ext4"], part)
    point = mount_at(part, "data")
    if boots:
        only_reads(quick, whole.node, point)
    else:
        assert quick.profile(whole.node)["evidence"]["target"] == "scratch file on ext4"


def test_another_partition_of_the_disk_is_taken(
    quick: Tuner,
    partition: Callable[[int], tuple[LoopDrive, Path]],
    mount_at: Callable[[Path, str], Path],
) -> None:
    """Although it has less room."""
    whole, part = partition(SIZE + 400 * MIB)
    storage.remove_partition(whole.node, 1)
    storage.run("addpart", whole.node, "1", "2048", str(512 * 2048))
    storage.run("addpart", whole.node, "2", str(513 * 2048), str(399 * 2048))
    second = Path(f"{whole.node}p2")
    storage.run(*storage.MAKE["ext4"], part)
    storage.run(*storage.MAKE["ext4"], second)
    mount_at(part, "boot")
    data = mount_at(second, "data")
    try:
        done = quick.run(whole.node)
    finally:
        storage.unmount(data)
        storage.remove_partition(whole.node, 2)
    assert done.code == 0, done.stderr
    assert f" through {data} (ext4)\nreads and writes, " in done.stderr
