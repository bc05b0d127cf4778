"""A raw device keeps every byte, whatever it holds and however it is named; only a blank one is ever written."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import fcntl
import os
import random
import signal
import struct
import time
import zlib
from typing import TYPE_CHECKING

import pytest

import storage
from busy import busy_s
from daemon.conftest import EXPERIMENTS
from daemon.loop_drive import digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20
RAW_WRITE = '[safety]\nraw_write = "blank"'


def soon_writing() -> str:
    """A configuration with time for all reads, and writes soon after."""
    return f"{RAW_WRITE}\n[sweep]\ntime_budget = {busy_s(8)}"


# --- what a device may hold --------------------------------------------------------------------------------


def put(node: Path, offset: int, data: bytes) -> None:
    with node.open("r+b", buffering=0) as device:
        device.seek(offset)
        device.write(data)
        os.fsync(device.fileno())


def put_swap(node: Path) -> None:
    storage.run("mkswap", node)


def put_mbr(node: Path) -> None:
    entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0x83, b"\0\2\0", 256, 4096)
    put(node, 0, bytes(446) + entry + bytes(48) + b"\x55\xaa" + bytes(4096 - 512))


def put_gpt(node: Path) -> None:
    """One partition, in units of the device's own blocks."""
    with node.open("rb") as device:
        size = device.seek(0, os.SEEK_END)
    block = int(storage.run("blockdev", "--getss", node))
    last = size // block - 1
    entries = struct.pack("<16s16sQQQ72s", b"\1" * 16, b"\2" * 16, 256, 1024, 0, b"") + bytes(127 * 128)

    def header(own: int, other: int, table: int) -> bytes:
        form = "<8sIIIIQQQQ16sQIII"
        words = [b"EFI PART", 0x10000, 92, 0, 0, own, other, 64, last - 64, b"\3" * 16, table, 128, 128]
        words.append(zlib.crc32(entries))
        words[3] = zlib.crc32(struct.pack(form, *words))
        return struct.pack(form, *words).ljust(block, b"\0")

    protective = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF))
    mbr = (bytes(446) + protective + bytes(48) + b"\x55\xaa").ljust(block, b"\0")
    put(node, 0, mbr + header(1, last, 2) + entries)
    table = last - len(entries) // block
    put(node, table * block, entries + header(last, 1, table))


def put_lvm(node: Path) -> None:
    """A physical volume's label, in the second sector."""
    rest = struct.pack("<I8s32s", 32, b"LVM2 001", b"a" * 32).ljust(512 - 20, b"\0")
    # LVM's crc32 starts with a number of its own, and does not turn the bits over at its ends.
    crc = zlib.crc32(rest, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    put(node, 0, (bytes(512) + struct.pack("<8sQI", b"LABELONE", 1, crc) + rest).ljust(4096, b"\0"))


def put_random(node: Path) -> None:
    """In the middle, where no signature is looked for."""
    put(node, 48 * MIB, random.Random(1).randbytes(MIB))


def put_byte(node: Path) -> None:
    """One byte that is not zero, inside the span that would be written and where no sample is taken."""
    put(node, 48 * MIB + 8192, b"\1".rjust(10, b"\0").ljust(4096, b"\0"))


CONTENTS: dict[str, tuple[int, Callable[[Path], object], str]] = {
    "ext4": (96, lambda node: storage.run(*storage.MAKE["ext4"], node), "not blank: holds ext4 filesystem"),
    "xfs": (320, lambda node: storage.run(*storage.MAKE["xfs"], node), "not blank: holds xfs filesystem"),
    "btrfs": (160, lambda node: storage.run(*storage.MAKE["btrfs"], node), "not blank: holds btrfs filesystem"),
    "swap": (96, put_swap, "not blank: holds swap other"),
    "gpt": (96, put_gpt, "not blank: holds gpt partition table"),
    "mbr": (96, put_mbr, "not blank: holds dos partition table"),
    "lvm": (96, put_lvm, "not blank: holds LVM2_member raid"),
    "random": (96, put_random, "not blank: holds data without a known signature"),
    "one byte": (96, put_byte, ""),
}
FILESYSTEMS = ("ext4", "xfs", "btrfs")


def assert_reads_only(tuner: Tuner, target: Path, reason: str, *arguments: str) -> None:
    profile = tuner.profile(target, "--time-budget", "5s", *arguments)
    assert profile["evidence"]["bytes_read"] > 0
    assert profile["evidence"]["bytes_written"] == 0
    assert reason in profile["write"]["skipped"]


# The decision is by the content, whichever way the sweep is asked for: --raw gives no leave to write, the configuration
# does. Each content is tried where writing is allowed, and three of them, one a guard, in the other ways too.
@pytest.mark.parametrize(
    ("content", "route"),
    [
        *((content, "raw_write") for content in CONTENTS),
        *((content, route) for content in ("ext4", "random", "one byte") for route in ("--raw", "symlink")),
    ],
)
def test_a_disk_that_holds_something_is_not_written(
    quick: Tuner, disk: Callable[..., LoopDrive], tmp_path: Path, content: str, route: str
) -> None:
    size_mib, make, reason = CONTENTS[content]
    made = disk(size_bytes=size_mib * MIB)
    make(made.node)
    before = made.digest()
    target = made.node
    if route == "symlink":
        target = tmp_path / "link"
        target.symlink_to(made.node)
    if route != "--raw":
        quick.configure(RAW_WRITE)
    if route == "raw_write":
        quick.configure(EXPERIMENTS)
    if content == "one byte" and route != "--raw":
        # The samples miss it: the helper reads all of what it is about to write.
        done = quick.run(target)
        assert done.code == 69, done.stderr
        assert "not blank" in done.last
        assert quick.published() == {}
    else:
        assert_reads_only(quick, target, reason, *(["--raw"] if route == "--raw" else []))
    assert not made.blank()
    assert made.digest() == before


@pytest.mark.parametrize("content", ["ext4", "gpt", "one byte", "nothing"])
def test_a_partition_is_not_written(
    quick: Tuner, partition: Callable[..., tuple[LoopDrive, Path]], content: str
) -> None:
    """Whatever it holds."""
    size_mib, make, _ = CONTENTS.get(content, (96, lambda _: None, ""))
    whole, part = partition((size_mib + 1) * MIB)
    make(part)
    before = whole.digest()
    quick.configure(RAW_WRITE)
    assert_reads_only(quick, part, f"holds partitions ({part.name})")
    assert whole.digest() == before


@pytest.mark.parametrize("content", FILESYSTEMS)
def test_the_disk_below_a_read_only_mount_is_not_written(
    quick: Tuner, disk: Callable[..., LoopDrive], mount: Callable[..., Path], content: str
) -> None:
    size_mib, make, _ = CONTENTS[content]
    made = disk(size_bytes=size_mib * MIB)
    make(made.node)
    quick.configure(RAW_WRITE)
    path = mount("-o", "ro", made.node)
    before = made.digest()
    ways: list[tuple[Path, list[str]]] = [(made.node, []), (made.node, ["--raw"]), (path, ["--raw"])]
    for target, arguments in ways if content == "ext4" else ways[:1]:
        assert_reads_only(quick, target, f"mounted at {path}; to measure writes, tune a", *arguments)
    profiles = quick.published()
    done = quick.run(path)
    assert done.code == 66
    assert f"{path}: filesystem is mounted read-only" in done.last
    assert quick.published() == profiles
    assert made.digest() == before


def test_the_disk_below_a_mount_is_not_written(
    quick: Tuner, disk: Callable[..., LoopDrive], mount: Callable[..., Path]
) -> None:
    made = disk(size_bytes=128 * MIB)
    storage.run(*storage.MAKE["ext4"], made.node)
    path = mount(made.node)
    content = random.Random(1).randbytes(64 * MIB)
    (path / "file").write_bytes(content)
    quick.configure(RAW_WRITE)
    for target in (made.node, path):
        assert_reads_only(quick, target, f"mounted at {path}; to measure writes, tune a", "--raw")
    with (path / "file").open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # it is read from the disk again
        assert file.read() == content
    storage.unmount(path)
    storage.run("fsck.ext4", "-f", "-n", made.node)


# --- blank -------------------------------------------------------------------------------------------------


def test_a_blank_disk_is_not_written_without_leave(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    for arguments in ([], ["--raw"]):
        assert_reads_only(quick, made.node, 'raw_write = "blank" in the configuration', *arguments)
    assert made.blank()


def test_a_blank_disk_is_not_written_when_only_reads_are_wanted(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    quick.configure(RAW_WRITE)
    assert_reads_only(quick, made.node, "--read-only", "--read-only")
    assert made.blank()


def test_a_blank_disk_is_written_with_leave_and_then_blank_again(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    quick.configure(RAW_WRITE)
    quick.configure(EXPERIMENTS)
    profile = quick.profile(made.node)
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert profile["write"]["throughput_bytes_per_s"] > 0
    assert profile["evidence"]["bytes_written"] > 64 * MIB
    assert made.blank()
    assert quick.profile(made.node)["state"] == "measured"


def test_what_lies_outside_the_written_span_stays(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk(size_bytes=512 * MIB)
    # Neither sampled nor in the span, which is the middle: nobody can know it without reading the whole disk.
    made.write(100 * MIB + 8192, b"\1".ljust(4096, b"\0"))
    before = made.digest()
    quick.configure(RAW_WRITE)
    quick.configure(EXPERIMENTS)
    assert quick.profile(made.node)["evidence"]["bytes_written"] > 0
    assert made.digest() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["(raw device)", "read 1/2", "write 1/2"])
def test_a_blank_disk_is_blank_again_after_an_interruption(
    endless: Tuner, disk: Callable[..., LoopDrive], number: signal.Signals, phase: str
) -> None:
    made = disk()
    endless.configure(soon_writing() if phase == "write 1/2" else RAW_WRITE)
    run = endless.start(made.node)
    run.reach(phase)
    done = run.end(number)
    assert done.code in (128 + number, -number if phase == "(raw device)" else 128 + number)
    assert made.blank()
    assert endless.published() == {}


def test_a_blank_disk_is_blank_again_after_an_interruption_at_any_moment_of_the_preparation(
    endless: Tuner, disk: Callable[..., LoopDrive]
) -> None:
    made = disk()
    endless.configure(RAW_WRITE)
    for hundredths in range(0, 10, 2):
        run = endless.start(made.node)
        run.reach("(raw device)")
        time.sleep(hundredths / 100)  # the check, the fill, the wait for the drive's cache: none of them is announced
        run.end(signal.SIGTERM)
        assert made.blank()


def test_a_blank_disk_is_blank_again_after_an_interruption_while_caches_are_dropped(
    endless: Tuner, disk: Callable[..., LoopDrive]
) -> None:
    made = disk()
    endless.configure(f'{RAW_WRITE}\n[sweep]\ndrop_caches = "always"\ntransfer_bytes = "1M"')
    for _ in range(3):
        run = endless.start(made.node)
        run.reach("read 1/2")
        assert run.end(signal.SIGTERM).code == 143
        assert made.blank()


def test_what_others_write_to_a_blank_disk_during_its_sweep_stays(
    endless: Tuner, disk: Callable[..., LoopDrive]
) -> None:
    """O_EXCL and a lock keep out only who asks for them: dd does not, nor does a guest on a raw volume."""
    made = disk()
    endless.configure(soon_writing())
    run = endless.start(made.node)
    run.reach("write 1/2")
    theirs = os.urandom(4096)
    with made.node.open("r+b", buffering=0) as file:
        file.seek(made.size_bytes - MIB)
        file.write(theirs)
        os.fsync(file.fileno())
    done = run.end()
    assert done.code == 69, done.stderr
    assert "another process " in done.last  # opened it, or wrote to it
    with made.node.open("rb", buffering=0) as file:
        file.seek(made.size_bytes - MIB)
        assert file.read(4096) == theirs
    assert endless.published() == {}


# --- between the decision and the sweep --------------------------------------------------------------------


def test_a_disk_that_somebody_has_claimed_is_not_written(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    quick.configure(RAW_WRITE)
    descriptor = os.open(made.node, os.O_RDONLY | os.O_EXCL)
    try:
        done = quick.run(made.node)
    finally:
        os.close(descriptor)
    assert done.code == 69, done.stderr
    assert str(made.node) in done.last
    assert made.blank()
    assert quick.published() == {}


def test_a_disk_that_somebody_has_locked_is_not_written(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    quick.configure(RAW_WRITE)
    with made.node.open("rb") as device:
        fcntl.flock(device, fcntl.LOCK_EX)
        done = quick.run(made.node)
    assert done.code == 69, done.stderr
    assert made.blank()
    assert quick.published() == {}


@pytest.mark.parametrize("mounted", [False, True])
def test_a_disk_that_gets_a_filesystem_after_the_decision_is_not_written(
    quick: Tuner, disk: Callable[..., LoopDrive], tmp_path: Path, *, mounted: bool
) -> None:
    made = disk()
    quick.configure(RAW_WRITE)
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(made.size_bytes)
    storage.run(*storage.MAKE["ext4"], "-b", "4096", image)
    script = f"dd if={image} of={made.node} bs=1M conv=fsync status=none\n"
    helper = quick.helper(script + (f"mount -o ro,noload {made.node} {point}" if mounted else ""))
    try:
        done = quick.run(made.node, "--helper", helper)
    finally:
        storage.unmount(point)
    assert done.code == 69, done.stderr
    assert made.digest() == digest_of(image)
    assert quick.published() == {}


def digest_of(image: Path) -> str:
    """Digest what a disk would hold if it held the image."""
    with image.open("rb") as file:
        return digest(file.fileno())


def test_a_disk_that_gets_one_byte_after_the_decision_is_not_written(
    quick: Tuner, disk: Callable[..., LoopDrive]
) -> None:
    made = disk()
    quick.configure(RAW_WRITE)
    helper = quick.helper(f"printf x | dd of={made.node} bs=1 seek={50 * MIB + 12345} conv=fsync status=none")
    done = quick.run(made.node, "--helper", helper)
    assert done.code == 69, done.stderr
    assert "not blank" in done.last
    assert os.pread(made.backing, made.size_bytes, 0).strip(b"\0") == b"x"
    assert quick.published() == {}
