"""What must hold before a sweep zeroes what a killed one has left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aio_tuned.model.device import Device, Usage
from aio_tuned.model.target import Target
from aio_tuned.storage import raw_write_record
from aio_tuned.sweep.leftover import why_not
from unit.support.builders import device

DRIVE = device()
RECORD = raw_write_record.new(DRIVE, Target(kind="device", path=Path("/dev/nvme0n1"), span_bytes=1 << 30))


def test_an_unused_drive_with_our_data_may_be_zeroed() -> None:
    """It is not blank: that is why it is looked at."""
    assert why_not(RECORD, DRIVE, Usage()) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mounted_at": ("/mnt/x", "/mnt/y")}, "mounted at /mnt/x, /mnt/y"),
        ({"holders": ("md0",)}, "in use by md0"),
        ({"partitions": ("nvme0n1p1",)}, "holds partitions nvme0n1p1"),
        ({"signatures": ("ext4 filesystem",)}, "holds ext4 filesystem"),
        ({"swap": True}, "in use as swap"),
        ({"swap": True, "signatures": ("swap other",)}, "holds swap other; in use as swap"),
    ],
)
def test_a_drive_in_use_is_not_touched(changes: dict[str, object], reason: str) -> None:
    assert why_not(RECORD, DRIVE, replace(Usage(), **changes)) == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drive", "reason"),
    [
        (replace(DRIVE, size_bytes=DRIVE.size_bytes + 512), "the drive was replaced by another one"),
        (replace(DRIVE, serial="x"), "the drive was replaced by another one"),
        (replace(DRIVE, read_only=True), "is read-only"),
    ],
)
def test_another_or_a_read_only_drive_is_not_touched(drive: Device, reason: str) -> None:
    assert why_not(RECORD, drive, Usage()) == reason
