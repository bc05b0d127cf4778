"""A drive without a filesystem: read as it is, written only if it is blank and that is allowed, blank again then."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from vm.guest import MIB, QUICK, RAW_SIZE, READ_BYTES_PER_S, WRITE_BYTES_PER_S, file_with_data
from vm.rig import nvmet

if TYPE_CHECKING:
    from pathlib import Path

    from vm.guest import Guest


# What follows the choice takes the rest of the time budget, in which the emulator keeps both processors busy.
CHOICE_ONLY = "[curves]\nenabled = false\n[sweep]\nprocesses = []\n"


def digest(path: Path | None) -> str:
    assert path is not None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def zero(path: Path | None) -> bool:
    assert path is not None
    return path.read_bytes() == bytes(RAW_SIZE)


def test_a_drive_with_data_is_read_and_not_touched(guest: Guest) -> None:
    path = file_with_data(guest, "DATA1")
    before = digest(path)
    drive = guest.hotplug("DATA1", RAW_SIZE, path=path, read_bps=READ_BYTES_PER_S)
    tuned = guest.tune(drive.dev, config=f'[safety]\nraw_write = "blank"\n{CHOICE_ONLY}')
    assert tuned.profile["state"] == "measured"
    assert tuned.profile["evidence"]["target"] == "raw device"
    assert tuned.profile["evidence"]["bytes_written"] == 0
    assert tuned.profile["evidence"]["cache_verdict"] == "device"
    assert "not blank" in tuned.profile["write"]["skipped"]
    assert "skipped" in tuned.profile["combined"]
    assert digest(path) == before


def test_a_blank_drive_is_written_where_that_is_allowed_and_is_blank_again(guest: Guest) -> None:
    drive = guest.hotplug("BLANK1", RAW_SIZE, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    tuned = guest.tune(drive.dev, config='[safety]\nraw_write = "blank"\n')
    assert tuned.profile["state"] == "measured"
    assert tuned.profile["write"]["throughput_bytes_per_s"] > 0
    assert tuned.profile["evidence"]["bytes_written"] >= 2 * RAW_SIZE  # filled, zeroed, and written in between
    assert tuned.profile["evidence"]["cache_verdict"] == "device"
    assert zero(drive.path)
    assert guest.run(f"blkid -p {drive.dev}").status == 2


def test_a_blank_drive_is_only_read_where_writing_is_not_allowed(guest: Guest) -> None:
    drive = guest.hotplug("BLANK2", RAW_SIZE, read_bps=READ_BYTES_PER_S)
    tuned = guest.tune(drive.dev, config=CHOICE_ONLY)
    assert tuned.profile["state"] == "provisional"
    assert "raw_write" in tuned.profile["write"]["skipped"]
    assert any("zeros" in finding for finding in tuned.profile["evidence"]["findings"])
    assert guest.attribute(drive, "stat").split()[6] == "0"  # sectors written since it was plugged in
    assert zero(drive.path)


@pytest.mark.long
def test_a_blank_drive_that_is_exported_to_other_hosts_is_only_read(guest: Guest) -> None:
    """The NVMe target opens it without O_EXCL, and inside the kernel: no process has a descriptor of it."""
    drive = guest.hotplug("EXPORTED1", RAW_SIZE, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    nvmet.export(guest, "exported", drive.dev)
    try:
        tuned = guest.tune(drive.dev, config='[safety]\nraw_write = "blank"\n')
    finally:
        nvmet.withdraw(guest, "exported")
    assert "nvmet uses it" in tuned.profile["write"]["skipped"]
    assert tuned.profile["evidence"]["bytes_written"] == 0
    assert guest.attribute(drive, "stat").split()[6] == "0"
    assert zero(drive.path)
    tuned = guest.tune(drive.dev, config='[safety]\nraw_write = "blank"\n')
    assert tuned.profile["write"]["throughput_bytes_per_s"] > 0


@pytest.mark.long
def test_where_requests_are_what_is_limited_the_largest_block_wins_by_far(guest: Guest) -> None:
    # mdts=9: one request may be 2 MiB, so that a block of 1 MiB is one request to the drive. Submitted one by one:
    # of a batch the kernel makes fewer and larger requests.
    drive = guest.hotplug("IOPS1", RAW_SIZE, path=file_with_data(guest, "IOPS1"), read_iops=200, extra={"mdts": 9})
    sizes = (128 << 10, 256 << 10, MIB)
    words = [*QUICK, "--grid", "single_submit=true", "--grid", f"block_size={','.join(map(str, sizes))}"]
    tuned = guest.tune(drive.dev, words, "[sweep]\ntransfer_bytes = '64M'\n")
    assert tuned.profile["read"]["block_size"] == MIB
    assert tuned.profile["read"]["ties"] <= 2, "the default, which is a finalist too, has blocks of 1 MiB"
    speed = dict.fromkeys(sizes, 0.0)
    for sample in tuned.samples:
        setting = sample["request"]["setting"]
        if setting["single_submit"]:
            block = setting["block_size"]
            speed[block] = max(speed[block], sample["bytes"] / sample["elapsed_ns"])
    assert speed[MIB] > 2 * speed[256 << 10] > 3 * speed[128 << 10]


@pytest.mark.parametrize(
    "serial",
    ["S/N 1", "#+é:x", *(pytest.param(serial, marks=pytest.mark.long) for serial in ("..", "a  b", "  lead"))],
)
def test_odd_serials_are_escaped_as_udev_does(guest: Guest, serial: str) -> None:
    drive = guest.hotplug(serial, RAW_SIZE, path=guest.data / "odd.raw")
    assert guest.device_name(drive.dev) in guest.by_id_names(drive.dev)
