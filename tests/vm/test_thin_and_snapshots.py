"""Thin volumes and snapshots of LVM: nothing is taken that another volume needs, by `tune` and by the daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import SWEEP_S, small
from vm.guest import MIB, QUICK, READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest
    from vm.guest import Guest

pytestmark = pytest.mark.long

SPAN = 192 * MIB
SMALL_SPAN = f"[sweep]\nspan_bytes = {SPAN}\n"
CHUNK_KIB = 64
# The guest has no thin-provisioning-tools, and its dmeventd would be another daemon.
LVM = 'global {\n thin_check_executable = ""\n}\nactivation {\n monitoring = 0\n}\n'
MAY_TRIM = "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\nDeviceAllow=/dev/mapper/control rw\n"
UNIT_DROP_IN = "/run/systemd/system/aio-tuned.service.d/thin.conf"


def make_group(guest: Guest) -> None:
    drive = guest.hotplug("POOL1", "1G", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    guest.write("/etc/lvm/lvmlocal.conf", LVM)
    guest.sh(f"vgcreate -q vg {drive.dev}")


def make_thin(guest: Guest) -> str:
    """A volume of 4 GiB in a pool of 700 MiB; where it is mounted."""
    make_group(guest)
    guest.sh(f"lvcreate -q -y --type thin-pool -L 700M -c {CHUNK_KIB}K -n pool vg")
    guest.sh("lvcreate -q -y -V 4G --thinpool pool -n thin vg && lvcreate -q -y -V 256M --thinpool pool -n blank vg")
    return guest.mount("/dev/vg/thin")


def used_bytes(guest: Guest) -> int:
    """What the pool has given out."""
    guest.sh("sync")
    return int(guest.sh("dmsetup status vg-pool-tpool").split()[5].split("/")[0]) * CHUNK_KIB << 10


def test_a_thin_volume_is_written_only_if_it_is_named(guest: Guest) -> None:
    point = make_thin(guest)
    before = used_bytes(guest)
    found = guest.tune(point, config=SMALL_SPAN).profile
    assert found["evidence"]["target"] == "raw device"
    assert found["evidence"]["bytes_written"] == 0
    assert "takes space from a pool" in found["write"]["skipped"]
    assert used_bytes(guest) - before < 8 * MIB
    named = f'{SMALL_SPAN}[safety]\nthin_writes = ["/dev/vg/thin"]\n'
    found = guest.tune(point, config=named).profile
    assert found["evidence"]["target"] == "scratch file on ext4"
    assert found["write"]["throughput_bytes_per_s"] > 0
    assert not [said for said in found["evidence"]["findings"] if said.startswith("space: ")]
    assert used_bytes(guest) - before < SPAN // 8


def test_the_space_of_a_sweep_that_is_ended_returns(guest: Guest) -> None:
    point = make_thin(guest)
    before = used_bytes(guest)
    tuning = guest.start_tune(point, ["--thin-writes", "--time-budget", "120s"], SMALL_SPAN)
    while used_bytes(guest) < before + SPAN // 2:
        assert tuning.poll() is None, tuning.output()
        time.sleep(0.5)
    guest.sh("pkill -TERM -x aio-sweep")
    assert tuning.wait() != 0
    assert used_bytes(guest) - before < SPAN // 8


def test_a_blank_thin_volume_is_never_written_raw(guest: Guest) -> None:
    make_thin(guest)
    before = used_bytes(guest)
    config = '[safety]\nraw_write = "blank"\nthin_writes = ["/dev/vg/blank"]\n'
    found = guest.tune("/dev/vg/blank", config=config).profile
    assert "never written raw" in found["write"]["skipped"]
    assert used_bytes(guest) == before


def test_the_daemon_fills_no_pool(host: DaemonGuest) -> None:
    """Under its unit, which reads no table and trims nothing; with the drop-in for that the named volume is written."""
    make_thin(host)
    before = used_bytes(host)
    config = small().replace("[sweep]\n", SMALL_SPAN) + '[safety]\nthin_writes = ["/dev/vg/thin"]\n'
    host.begin(config)
    name = host.device_name("/dev/vg/thin")
    host.until_stage(name, "published")
    skipped = host.profile(name)["write"]["skipped"]
    assert "vg-pool-tpool" in skipped
    assert "takes space from a pool" in skipped
    assert "FITRIM needs CAP_SYS_ADMIN" in skipped
    assert used_bytes(host) - before < 8 * MIB

    host.sh(f"mkdir -p {UNIT_DROP_IN.rpartition('/')[0]}")
    host.write(UNIT_DROP_IN, MAY_TRIM)
    try:
        host.sh("systemctl daemon-reload && systemctl restart aio-tuned")
        host.until(lambda: "skipped" not in host.profile(name).get("write", {"skipped": ""}), SWEEP_S, "writes")
    finally:
        host.sh(f"rm {UNIT_DROP_IN} && systemctl daemon-reload")
    found = host.profile(name)
    assert found["write"]["throughput_bytes_per_s"] > 0
    assert not [said for said in found["evidence"]["findings"] if said.startswith("space: ")]
    assert used_bytes(host) - before < SPAN // 8


def test_a_snapshot_that_is_made_during_a_sweep_outlives_it(guest: Guest) -> None:
    """Its copy-on-write area holds half of the scratch file."""
    make_group(guest)
    guest.sh("lvcreate -q -y -W n -L 850M -n data vg")
    guest.mount("/dev/vg/data")
    tuning = guest.start_tune("/mnt/x", [*QUICK, "--time-budget", "60s"], SMALL_SPAN)
    while "write 1/2: " not in tuning.output():
        assert tuning.poll() is None, tuning.output()
        time.sleep(0.2)
    guest.sh("lvcreate -q -y -s -L 96M -n snap vg/data")
    assert tuning.wait() == 66
    # The volume below is there before its table is, so that may be the reason.
    assert "vg-data-real" in tuning.output()
    assert "; the sweep was stopped" in tuning.output()
    status = guest.sh("dmsetup status vg-snap")
    assert "Invalid" not in status
    print(status)  # the sectors that the snapshot had to keep


def test_an_origin_keeps_its_snapshot(host: DaemonGuest) -> None:
    """Its copy-on-write area has room for a sixth of a scratch file."""
    make_group(host)
    host.sh("lvcreate -q -y -W n -L 600M -n data vg")
    host.mount("/dev/vg/data")
    host.sh("dd if=/dev/urandom of=/mnt/x/file bs=1M count=16 conv=fsync && lvcreate -q -y -s -L 24M -n snap vg/data")
    host.begin(small())
    name = host.device_name("/dev/vg/data")
    host.until_stage(name, "published")
    host.until_stage(host.device_name("/dev/vg/snap"), "skipped", reason="is a snapshot")
    assert "has a snapshot" in host.profile(name)["write"]["skipped"]
    host.sh("systemctl stop aio-tuned")
    assert "has a snapshot" in host.tune("/mnt/x", [*QUICK, "--thin-writes"]).profile["write"]["skipped"]
    refused = host.run("aio-tuned tune --raw /dev/vg/snap")
    assert refused.status == 66
    assert "is a snapshot; tune its origin volume instead" in refused.err
    assert "Invalid" not in host.sh("dmsetup status vg-snap")
    host.sh("mkdir -p /mnt/y && mount -o ro /dev/vg/snap /mnt/y && cmp /mnt/x/file /mnt/y/file")
