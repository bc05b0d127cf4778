"""Volumes that come and go while the daemon runs: they have profiles of their own, their members are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import VOLUMES, name_of, small

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

UNMAKE = {"md0": "mdadm --stop /dev/md0", "dm-0": "vgchange -q -an vg"}
LEG_READ_BYTES_PER_S = 80e6


@pytest.mark.long
@pytest.mark.parametrize("volume", ["md0", "dm-0"])
def test_a_volume_is_built_and_taken_apart(host: DaemonGuest, volume: str) -> None:
    # Time enough to build it before its members are busy.
    host.begin(small().replace("settle = 0.5", "settle = 60"))
    drives = [host.hotplug(serial, "256M", read_bps=LEG_READ_BYTES_PER_S, write_bps=60e6) for serial in ("L1", "L2")]
    host.sh(VOLUMES[volume].format(nodes=" ".join(drive.dev for drive in drives)))
    host.until_stage(f"/dev/{volume}", "settling", timeout_s=20)
    host.mount(f"/dev/{volume}")
    host.configure(small())
    host.sh("systemctl reload aio-tuned")
    for drive in drives:
        host.until_stage(drive.serial, "skipped", reason=f"member of {volume}")
        assert host.profile_of(drive) == {}
    host.until_measured(f"/dev/{volume}")
    name = host.drive(f"/dev/{volume}")["name"]
    found = host.profile(name)
    assert name in host.by_id_names(f"/dev/{volume}")
    assert sorted(found["device"]["members"]) == sorted(map(name_of, drives))
    assert found["read"]["throughput_bytes_per_s"] > 1.3 * LEG_READ_BYTES_PER_S
    assert host.sweeps() == 1

    host.sh(f"umount /mnt/x && {UNMAKE[volume]}")
    host.until(lambda: host.drive(name) == {}, 20, "the volume is gone")
    assert host.profile(name) == {}
    for drive in drives:
        host.until_stage(drive.serial, "queued", "sweeping", "published", timeout_s=30)
    assert set(host.sound()) == {name_of(drive) for drive in drives}
    host.lives()
