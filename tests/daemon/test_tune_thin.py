"""Space that statvfs(2) promises and what lies below does not have: a sparse file, or one that shares its blocks."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from daemon.conftest import EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from daemon.conftest import Tuner

MIB = 1 << 20
SIZE = 512 * MIB


def used_bytes(file: Path) -> int:
    return file.stat().st_blocks * 512


@pytest.fixture
def backing(tmp_path: Path) -> Iterator[Path]:
    """A sparse file, in memory where there is some."""
    memory = Path("/dev/shm")
    file = (memory if memory.is_dir() else tmp_path) / f"aio-tuned-test-thin-{tmp_path.name}"
    with file.open("wb") as made:
        made.truncate(SIZE)
    try:
        yield file
    finally:
        file.unlink()


@pytest.fixture
def attached(cleared_last: ExitStack) -> Callable[[Path], Path]:
    """`attached(file)` is a loop device on the file until the test ends."""

    def make(file: Path) -> Path:
        node = Path(storage.run("losetup", "--find", "--show", "--sector-size=4096", file))
        cleared_last.callback(storage.run, "losetup", "--detach", node)
        storage.settle()
        return node

    return make


@pytest.fixture
def thin(backing: Path, attached: Callable[[Path], Path], mount: Callable[..., Path]) -> tuple[Path, Path, Path]:
    """A sparse file, the loop device on it, and where its filesystem is mounted."""
    node = attached(backing)
    storage.run(*storage.MAKE["ext4"], node)
    return backing, node, mount(node)


def test_no_scratch_file_on_a_sparse_file(quick: Tuner, thin: tuple[Path, Path, Path]) -> None:
    backing, node, point = thin
    before = used_bytes(backing)
    for target in (point, node):
        profile = quick.profile(target)
        assert profile["evidence"]["target"] == "raw device"
        assert profile["evidence"]["bytes_written"] == 0
        assert "is sparse" in profile["write"]["skipped"]
        assert "thin_writes" in profile["write"]["skipped"]
    assert used_bytes(backing) - before < MIB


@pytest.mark.parametrize("way", ["option", "configuration"])
def test_where_it_is_allowed_the_space_returns(quick: Tuner, thin: tuple[Path, Path, Path], way: str) -> None:
    backing, node, point = thin
    before = used_bytes(backing)
    if way == "configuration":
        quick.configure(f'[safety]\nthin_writes = ["/dev/nowhere", "{node}"]\n')
    quick.configure(EXPERIMENTS)
    profile = quick.profile(point, *(["--thin-writes"] if way == "option" else []))
    assert profile["write"]["throughput_bytes_per_s"] > 0
    assert profile["evidence"]["bytes_written"] > 64 * MIB
    assert used_bytes(backing) - before < 8 * MIB
    assert not [said for said in profile["evidence"]["findings"] if "space" in said]


def test_another_volume_that_is_named_allows_nothing(quick: Tuner, thin: tuple[Path, Path, Path]) -> None:
    quick.configure('[safety]\nthin_writes = ["/dev/nowhere", "/dev/null"]\n')
    assert "is sparse" in quick.profile(thin[2])["write"]["skipped"]


def test_a_blank_sparse_disk_is_never_written_raw(
    quick: Tuner, backing: Path, attached: Callable[[Path], Path]
) -> None:
    node = attached(backing)
    quick.configure(f'[safety]\nraw_write = "blank"\nthin_writes = ["{node}"]\n')
    profile = quick.profile(node, "--thin-writes")
    assert "is sparse" in profile["write"]["skipped"]
    assert "never written raw" in profile["write"]["skipped"]
    assert used_bytes(backing) < MIB


def test_a_file_whose_name_is_gone_cannot_be_seen(
    quick: Tuner, backing: Path, attached: Callable[[Path], Path], mount: Callable[..., Path]
) -> None:
    node = attached(backing)
    storage.run(*storage.MAKE["ext4"], node)
    point = mount(node)
    backing.unlink()
    assert "cannot be read: No such file" in quick.profile(point, "--thin-writes")["write"]["skipped"]
    backing.touch()


def test_another_file_of_the_same_name_is_not_taken_for_it(
    quick: Tuner,
    backing: Path,
    attached: Callable[[Path], Path],
    mount: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """As in a container, which has other files at the host's paths."""
    node = attached(backing)
    storage.run(*storage.MAKE["ext4"], node)
    point = mount(node)
    other = tmp_path / "other"
    other.write_bytes(bytes(MIB))
    storage.run("mount", "--bind", other, backing)
    try:
        skipped = quick.profile(point, "--thin-writes")["write"]["skipped"]
    finally:
        storage.run("umount", backing)
    assert "cannot be read: another file has this name here" in skipped


def test_a_file_that_shares_its_blocks(
    quick: Tuner,
    filesystem: Callable[..., storage.Filesystem],
    attached: Callable[[Path], Path],
    mount: Callable[..., Path],
) -> None:
    """A copy by reflink has all of its blocks, and each write takes another one."""
    below = filesystem(kind="xfs", size_bytes=1024 * MIB).path
    image = below / "image"
    storage.run("fallocate", "--length", str(320 * MIB), image)
    node = attached(image)
    storage.run(*storage.MAKE["ext4"], node)
    point = mount(node)
    whole = quick.profile(point)
    assert whole["write"]["throughput_bytes_per_s"] > 0
    storage.run("cp", "--reflink=always", image, below / "copy")
    assert "shares blocks" in quick.profile(point)["write"]["skipped"]
