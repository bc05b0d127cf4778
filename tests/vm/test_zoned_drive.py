"""A drive whose zones are written in order only: its reads are measured, and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vm.guest import Guest

pytestmark = pytest.mark.long

DRIVE = "/dev/nullb0"


@pytest.mark.parametrize("raw_write", ["never", "blank"])
def test_a_zoned_drive_has_its_reads_measured(guest: Guest, raw_write: str) -> None:
    zones = "nr_devices=1 gb=1 memory_backed=1 zoned=1 zone_size=64"
    made = guest.run(f"modprobe -r null_blk; modprobe null_blk {zones} && udevadm settle")
    if made.status:
        pytest.skip(f"no zoned null_blk in this guest: {made.err}")
    try:
        assert guest.sh(f"cat /sys/block/{DRIVE.removeprefix('/dev/')}/queue/zoned").strip() == "host-managed"
        found = guest.tune(DRIVE, config=f'[safety]\nraw_write = "{raw_write}"\n').profile
        written = int(guest.sh("awk '{ print $7 }' /sys/block/nullb0/stat"))
    finally:
        guest.sh("modprobe -r null_blk")
    assert found["read"]["throughput_bytes_per_s"] > 0
    assert found["write"]["skipped"].startswith("zoned (host-managed)")
    assert "raw_write" not in found["write"]["skipped"]
    assert written == found["evidence"]["bytes_written"] == 0
