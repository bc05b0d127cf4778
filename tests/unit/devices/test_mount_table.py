from __future__ import annotations

from pathlib import Path

import pytest

from aio_tuned.devices import mountinfo, sysfs
from aio_tuned.devices.mount_table import MountTable, find_device_number


def line(number: str, point: str, filesystem: str = "ext4", source: str = "/dev/x", options: str = "rw") -> str:
    return f"30 22 {number} / {point} {options} - {filesystem} {source} {options}\n"


def table(*lines: str) -> MountTable:
    return MountTable(mountinfo.parse("".join(lines)))


@pytest.fixture
def node() -> Path:
    found = next((path for path in sorted(Path("/dev").iterdir()) if path.is_block_device()), None)
    if found is None:
        pytest.skip("no block device node to take the name of")
    return found


@pytest.mark.parametrize("filesystem", ["fuse", "fuse.sshfs", "fuse.btrfs", "tmpfs", "nfs4", "overlay", "bcachefs"])
def test_the_source_is_a_name_that_anybody_may_have_chosen(node: Path, filesystem: str) -> None:
    (mount,) = mountinfo.parse(line("0:77", "/mnt", filesystem, str(node)))
    assert find_device_number(mount) == "0:77"


def test_that_of_btrfs_is_the_kernels(node: Path) -> None:
    (mount,) = mountinfo.parse(line("0:44", "/mnt", "btrfs", str(node)))
    assert find_device_number(mount) == sysfs.device_number(node)
    (absent,) = mountinfo.parse(line("0:44", "/mnt", "btrfs", "/dev/not-there"))
    assert find_device_number(absent) == "0:44"


def test_mounts_are_found_by_the_device(node: Path) -> None:
    found = table(
        line("259:1", "/a"),
        line("259:1", "/b"),
        line("259:2", "/c", options="ro"),
        line("259:3", "/d", "fuseblk"),
        line("0:9", "/e", "btrfs", str(node)),
    )
    assert [str(mount.point) for mount in found.on({"259:2", "259:1", "259:3", "259:9"})] == ["/a", "/b", "/c"]
    assert [str(mount.point) for mount in found.on([sysfs.device_number(node)])] == ["/e"]


def test_two_tables_differ_where_a_filesystem_came_went_or_changed() -> None:
    before = table(line("259:1", "/a"), line("259:2", "/b"), line("259:3", "/c"), line("0:5", "/x", "tmpfs"))
    after = table(
        line("259:1", "/a"),
        line("259:1", "/bound"),
        line("259:2", "/b", options="ro"),
        line("259:4", "/d"),
    )
    assert after.differences(before) == ("0:5", "259:2", "259:3", "259:4")
    assert before.differences(before) == ()


def test_mounts_that_are_on_no_device_are_not_even_parsed(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    lines = [
        line("259:1", "/a"),
        line("0:5", "/x", "tmpfs"),
        line("0:6", "/-\\040btrfs", "overlay"),
        line("0:44", "/b", "btrfs"),
        line("10:0", "/c"),
        "x\n",
    ]
    (tmp_path / "self/mountinfo").write_text("".join(lines))
    assert [str(mount.point) for mount in mountinfo.read_on_devices(tmp_path)] == ["/a", "/b", "/c"]
