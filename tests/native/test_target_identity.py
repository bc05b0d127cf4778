"""A target on another device is rejected before anything is allocated, read or written. PROTOCOL.md §1."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB, StartHelper

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage import Filesystem

SIZES = [f"--span-bytes={16 * MIB}", f"--max-transfer-bytes={4 * MIB}"]


def number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def diskseq(device: Path) -> int:
    return int(Path(f"/sys/class/block/{device.name}/diskseq").read_text())


def written_bytes(device: Path) -> int:
    return int(Path(f"/sys/class/block/{device.name}/stat").read_text().split()[6]) * 512


def sync(path: Path) -> None:
    """Flush the filesystem, so that its write counter does not move later."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("allow_write", [(), ("--allow-write",)])
def test_the_expected_device(
    start: StartHelper, loop_device: Callable[[int], Path], allow_write: tuple[str, ...]
) -> None:
    device = loop_device(64 * MIB)
    expected = [f"--expect-device={number(device.stat().st_rdev)}", f"--expect-diskseq={diskseq(device)}"]
    helper = start(f"--device={device}", *SIZES, *expected, *allow_write)
    assert helper.receive()["type"] == "hello"
    assert helper.finish()[0] == 0


@pytest.mark.parametrize("allow_write", [(), ("--allow-write",)])
@pytest.mark.parametrize("option", ["device", "diskseq"])
def test_another_device(
    start: StartHelper, loop_device: Callable[[int], Path], allow_write: tuple[str, ...], option: str
) -> None:
    device = loop_device(64 * MIB)
    before = Path(f"/sys/class/block/{device.name}/stat").read_text().split()[:7]
    expected = "--expect-device=259:77,0:1" if option == "device" else f"--expect-diskseq={diskseq(device) + 1}"
    code, error = start(f"--device={device}", *SIZES, expected, *allow_write).fail()
    assert (code, error["op"]) == (66, "identity")
    assert str(device) in error["message"]
    assert Path(f"/sys/class/block/{device.name}/stat").read_text().split()[:7] == before


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_scratch_file_on_the_expected_filesystem(
    start: StartHelper, filesystem: Callable[..., Filesystem], kind: str
) -> None:
    made = filesystem(kind, 320 * MIB)
    assert made.device is not None
    numbers = {number(made.device.stat().st_rdev), number(made.path.stat().st_dev)}
    expected = [f"--expect-device={','.join(sorted(numbers))}", f"--expect-diskseq={diskseq(made.device)}"]
    helper = start(f"--scratch={made.path}", *SIZES, *expected)
    assert helper.receive()["type"] == "hello"
    assert helper.finish()[0] == 0


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
@pytest.mark.parametrize("option", ["device", "diskseq"])
def test_a_scratch_file_elsewhere(
    start: StartHelper, filesystem: Callable[..., Filesystem], kind: str, option: str
) -> None:
    made = filesystem(kind, 320 * MIB)
    assert made.device is not None
    numbers = {number(made.device.stat().st_rdev), number(made.path.stat().st_dev)}
    expected = ["--expect-device=259:77"]
    if option == "diskseq":
        expected = [f"--expect-device={','.join(sorted(numbers))}", f"--expect-diskseq={diskseq(made.device) + 1}"]
    sync(made.path)
    before, free = written_bytes(made.device), os.statvfs(made.path).f_bavail
    code, error = start(f"--scratch={made.path}", *SIZES, *expected).fail()
    assert (code, error["op"]) == (66, "identity")
    assert os.statvfs(made.path).f_bavail == free
    assert written_bytes(made.device) - before < MIB


def test_a_file_elsewhere(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    made = filesystem("ext4", 64 * MIB)
    (made.path / "file").write_bytes(bytes(16 * MIB))
    code, error = start(f"--file={made.path / 'file'}", *SIZES, "--expect-device=259:77").fail()
    assert (code, error["op"]) == (66, "identity")


def test_a_disk_whose_sequence_number_cannot_be_read(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    made = filesystem("tmpfs", 64 * MIB)
    code, error = start(f"--scratch={made.path}", *SIZES, "--expect-diskseq=1").fail()
    assert (code, error["op"]) == (66, "identity")
    assert "cannot be read" in error["message"]
