"""Drives that fail or go in the middle of a sweep: a clear end, nothing published, a healthy machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.guest import MIB, QUICK, RAW_SIZE, READ_BYTES_PER_S, WRITE_BYTES_PER_S, file_with_data, wait_for
from vm.rig.guest_shell import PATIENCE

if TYPE_CHECKING:
    from vm.guest import Guest

IO_ERROR = 74
NO_TARGET = 66


def is_well(guest: Guest) -> None:
    """No trace of the sweep, and the machine does as it should."""
    assert guest.published() == []
    assert not guest.helper_runs()
    assert guest.complaints() == ""
    assert guest.sh("systemctl is-system-running").strip() == "running"
    drive = guest.hotplug("NEXT", "64M")
    guest.sh(f"dd if=/dev/urandom of={drive.dev} bs=1M count=8 oflag=direct && dd if={drive.dev} of=/dev/null bs=1M")


@pytest.mark.long
def test_a_raw_drive_pulled_while_it_is_read(guest: Guest) -> None:
    drive = guest.hotplug("PULL1", RAW_SIZE, path=file_with_data(guest, "PULL1"), read_bps=50e6)
    job = guest.start_tune(drive.dev, [*QUICK, "--time-budget", "40s"])
    wait_for(job, "read 1/2: ")
    guest.unplug("PULL1", surprise=True)
    assert job.wait(60 * PATIENCE) in (IO_ERROR, NO_TARGET), job.out
    last = job.out.splitlines()[-1]
    assert last.startswith("aio-tuned: ")
    assert "EIO" in last or "removed" in last or "gone" in last
    assert "Traceback" not in job.out
    is_well(guest)


def test_a_mounted_drive_pulled_while_it_is_written(guest: Guest) -> None:
    drive = guest.hotplug("PULL2", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    point = guest.mount(drive.dev)
    job = guest.start_tune(point)
    wait_for(job, "write 1/2: ")
    guest.unplug("PULL2", surprise=True)
    assert job.wait(60 * PATIENCE) in (IO_ERROR, NO_TARGET), job.out
    assert job.out.splitlines()[-1].startswith("aio-tuned: ")
    assert "Traceback" not in job.out
    guest.sh(f"umount -l {point}")
    is_well(guest)


def test_a_media_error_is_named(guest: Guest) -> None:
    drive = guest.hotplug("MEDIA1", RAW_SIZE, path=file_with_data(guest, "MEDIA1"), read_bps=READ_BYTES_PER_S)
    # A place that only the sweep reads: the looks before it take a block every 4 MiB, and both ends.
    guest.inject_errors("MEDIA1", "read", sector=(4 * 3 + 2) * MIB // 512)
    job = guest.start_tune(drive.dev)
    assert job.wait(90 * PATIENCE) == IO_ERROR, job.out
    last = job.out.splitlines()[-1]
    assert last.startswith("aio-tuned: ")
    assert "ENODATA" in last
    assert "media error" in last
    assert "Traceback" not in job.out
    is_well(guest)


def test_a_media_error_where_the_drive_is_looked_at_first_is_named_too(guest: Guest) -> None:
    drive = guest.hotplug("MEDIA2", RAW_SIZE, path=file_with_data(guest, "MEDIA2"), read_bps=READ_BYTES_PER_S)
    guest.inject_errors("MEDIA2", "read", sector=0)
    job = guest.run(guest.tune_words(drive.dev, QUICK, ""))
    assert job.status == IO_ERROR
    assert "run as root" not in job.err
