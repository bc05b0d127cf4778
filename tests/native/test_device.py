"""Block devices: rejected targets, and zeroing after a run. PROTOCOL.md §1."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB, StartHelper, point
from storage import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage import Filesystem

SIZE = 64 * MIB
SPAN = [f"--span-bytes={16 * MIB}", f"--offset-bytes={8 * MIB}", f"--max-transfer-bytes={4 * MIB}"]


def poke(device: Path, offset: int, data: bytes = b"\x01") -> None:
    """Write to the device while the helper is not running."""
    with device.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def is_blank(device: Path) -> bool:
    """Return whether every byte is zero."""
    with device.open("rb") as file:
        return file.read().count(0) == SIZE


def test_reading(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    helper = start(f"--device={loop_device(SIZE)}", *SPAN)
    hello = helper.receive()
    assert hello["target"]["kind"] == "device"
    assert hello["target"]["device_number"].startswith("7:")
    assert hello["dio_alignment_bytes"] == hello["logical_block_bytes"] == 4096
    assert hello["counters"] == {"path": f"/sys/dev/block/{hello['target']['device_number']}/stat", "live": True}
    assert hello["fill_bytes"] == 0
    answer = helper.ask(point(min_transfers=5))
    assert answer["cache"]["verdict"] == "device"
    assert answer["counters"]["read_bytes"] >= 20 * MIB
    assert answer["counters"]["write_bytes"] == 0
    helper.send(point(block_size=512))
    code, error = helper.fail()
    assert code == 65
    assert "4096" in error["message"]


def test_a_blank_device_is_written_and_is_blank_again(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    device = loop_device(SIZE)
    helper = start(f"--device={device}", *SPAN, "--allow-write")
    assert helper.receive()["fill_bytes"] == 16 * MIB
    for op in ("read", "write"):
        answer = helper.ask(point(op=op, min_transfers=7, io_parallelism=4))
        assert answer["cache"]["verdict"] == "device"
    code, messages = helper.finish()
    assert code == 0
    assert messages[-1]["bytes_written"] == (16 + 28 + 16) * MIB
    assert is_blank(device)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_blank_again_after_a_signal(start: StartHelper, loop_device: Callable[[int], Path], number: int) -> None:
    device = loop_device(SIZE)
    helper = start(f"--device={device}", *SPAN, "--allow-write")
    helper.receive()
    helper.send(point(op="write", min_ns=30_000_000_000))
    time.sleep(0.3)
    began = time.monotonic()
    helper.process.send_signal(number)
    assert helper.receive()["reason"] == "signal"
    assert time.monotonic() - began < 15, "it has waited for the end of the point"
    assert helper.process.wait(5) == 0
    assert is_blank(device)


def test_blank_again_after_a_bad_request(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    device = loop_device(SIZE)
    helper = start(f"--device={device}", *SPAN, "--allow-write")
    helper.receive()
    helper.send(point(op="write"), "nonsense")
    assert helper.fail()[0] == 65
    assert is_blank(device)


@pytest.mark.parametrize("offset", [0, 1, MIB - 1, 8 * MIB, 8 * MIB + 4097, 24 * MIB - 1, SIZE - MIB, SIZE - 1])
def test_one_byte_is_enough(start: StartHelper, loop_device: Callable[[int], Path], offset: int) -> None:
    device = loop_device(SIZE)
    poke(device, offset)
    before = device.read_bytes()
    code, error = start(f"--device={device}", *SPAN, "--allow-write").fail()
    assert code == 69
    assert f"the byte at offset {offset} is not zero" in error["message"]
    assert device.read_bytes() == before


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_filesystem_is_not_blank(start: StartHelper, loop_device: Callable[[int], Path], kind: str) -> None:
    tool = shutil.which(f"mkfs.{kind}")
    if tool is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    device = loop_device(320 * MIB)
    subprocess.run([tool, "-q", device], check=True, capture_output=True)
    before = device.read_bytes()
    assert start(f"--device={device}", *SPAN, "--allow-write").fail()[0] == 69
    assert device.read_bytes() == before


def test_a_mounted_device_is_read_but_never_written(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    device = filesystem("ext4", 64 * MIB).device
    code, error = start(f"--device={device}", *SPAN, "--allow-write").fail()
    assert code == 69
    assert error["name"] == "EBUSY"
    reader = start(f"--device={device}", *SPAN)
    reader.receive()
    assert reader.ask(point())["type"] == "point"
    assert reader.finish()[0] == 0


def test_a_locked_device(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    device = loop_device(SIZE)
    with device.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        code, error = start(f"--device={device}", *SPAN, "--allow-write").fail()
    assert code == 69
    assert "locked" in error["message"]


def test_two_helpers_cannot_write_one_device(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    device = loop_device(SIZE)
    first = start(f"--device={device}", *SPAN, "--allow-write")
    first.receive()
    assert start(f"--device={device}", *SPAN, "--allow-write").fail()[0] == 69
    assert first.ask(point(op="write"))["type"] == "point"
    assert first.finish()[0] == 0
    assert is_blank(device)


BLKPG = 0x1269  # linux/blkpg.h


def add_partition(disk: Path, start: int, length: int) -> None:
    """Add partition 1 by BLKPG, which needs no partition table."""
    partition = ctypes.create_string_buffer(struct.pack("=qqi64s64s4x", start, length, 1, b"", b""))
    argument = struct.pack("iiiP", 1, 0, len(partition.raw) - 1, ctypes.addressof(partition))
    with disk.open("r+b", buffering=0) as file:
        fcntl.ioctl(file, BLKPG, argument)


@contextmanager
def partitioned_disk(image: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a blank loop device and its partition, which starts at 1 MiB."""
    with image.open("wb") as file:
        file.truncate(SIZE)
    command = ["losetup", "--find", "--show", "--partscan", "--sector-size=4096", str(image)]
    disk = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    try:
        settle()  # udevd re-reads the partitions of a new device until it has handled it
        add_partition(disk, MIB, SIZE - 4 * MIB)
        node = Path(f"{disk}p1")
        for _ in range(100):
            if node.exists():
                break
            time.sleep(0.02)
        else:
            pytest.skip("no devtmpfs or udev here to make a node for the partition")
        yield disk, node
    finally:
        subprocess.run(["losetup", "--detach", disk], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices")
def test_a_partition_is_never_written(start: StartHelper, tmp_path: Path) -> None:
    with partitioned_disk(tmp_path / "disk") as (disk, partition):
        code, error = start(f"--device={partition}", *SPAN, "--allow-write").fail()
        assert code == 66
        assert "is a partition" in error["message"]
        # Reads of a partition are proved by the counters of its disk.
        reader = start(f"--device={partition}", *SPAN)
        number = Path(f"/sys/class/block/{disk.name}/dev").read_text().strip()
        assert reader.receive()["counters"] == {"path": f"/sys/dev/block/{number}/stat", "live": True}
        assert reader.ask(point())["cache"]["verdict"] == "device"
        assert reader.finish()[0] == 0
        # An exclusive open of the partition makes its disk busy.
        descriptor = os.open(partition, os.O_RDONLY | os.O_EXCL)
        code, error = start(f"--device={disk}", *SPAN, "--allow-write").fail()
        os.close(descriptor)
        assert code == 69
        assert error["name"] == "EBUSY"


def test_a_read_only_device(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    device = loop_device(SIZE)
    subprocess.run(["blockdev", "--setro", device], check=True)
    try:
        assert start(f"--device={device}", *SPAN, "--allow-write").fail()[0] == 66
        assert start(f"--device={device}", *SPAN).receive()["type"] == "hello"
    finally:  # a detached loop device stays read-only for its next user
        subprocess.run(["blockdev", "--setrw", device], check=True)


def test_too_small(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    code, error = start(f"--device={loop_device(16 * MIB)}", *SPAN, "--allow-write").fail()
    assert code == 66
    assert "too small" in error["message"]


def test_counters_of_another_device_say_cache(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    other = loop_device(SIZE)
    helper = start(f"--device={loop_device(SIZE)}", *SPAN, f"--counters=/sys/class/block/{other.name}/stat")
    assert helper.receive()["counters"]["live"]
    assert helper.ask(point())["cache"]["verdict"] == "cache"


def test_missing_counters(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    helper = start(f"--device={loop_device(SIZE)}", *SPAN, "--counters=/nowhere/stat")
    assert helper.receive()["counters"] == {"path": "/nowhere/stat", "live": False}
    assert helper.ask(point())["cache"]["verdict"] == "unknown"


def test_a_device_that_does_not_account(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    device = loop_device(SIZE)
    Path(f"/sys/class/block/{device.name}/queue/iostats").write_text("0")
    try:
        helper = start(f"--device={device}", *SPAN)
        assert not helper.receive()["counters"]["live"]
        assert helper.ask(point())["cache"]["verdict"] == "unknown"
    finally:
        Path(f"/sys/class/block/{device.name}/queue/iostats").write_text("1")
