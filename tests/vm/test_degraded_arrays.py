"""RAID arrays that lack a member or are busy with a resync: their figures are doubted, and measured again later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import small
from vm.guest import QUICK

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest
    from vm.guest import Guest
    from vm.rig.bays import Drive

pytestmark = pytest.mark.long

LIMIT = "/proc/sys/dev/raid/speed_limit_max"
MIRROR = "mdadm --create /dev/md0 --run --metadata=1.2 --bitmap=none --level=1 --raid-devices=2"
# A mirror writes everything twice, which takes the emulator long.
PATIENT = [*QUICK, "--time-budget", "80s"]
IDLE = "mdadm --wait /dev/md0; [ $(cat /sys/block/md0/md/sync_action) = idle ]"


def legs(guest: Guest, number: int = 2) -> list[Drive]:
    return [guest.hotplug(f"LEG{place}", "512M", read_bps=80e6, write_bps=60e6) for place in range(number)]


def nodes(drives: list[Drive]) -> str:
    return " ".join(drive.dev for drive in drives)


def sync_fast(guest: Guest, fast: bool) -> None:
    guest.sh(
        f"echo {200000 if fast else 10} > /proc/sys/dev/raid/speed_limit_min; echo {200000 if fast else 10} > {LIMIT}"
    )


def test_a_mirror_in_resync_and_one_without_a_member_are_provisional(guest: Guest) -> None:
    drives = legs(guest)
    guest.sh("modprobe raid1")
    sync_fast(guest, fast=False)
    guest.sh(f"{MIRROR} {nodes(drives)} && udevadm settle")
    point = guest.mount("/dev/md0")
    profile = guest.tune(point, PATIENT).profile
    assert profile["state"] == "provisional"
    assert profile["fingerprint"]["array"] == "syncing"
    assert any("md0 is being resynced" in finding for finding in profile["evidence"]["findings"])

    sync_fast(guest, fast=True)
    guest.sh(IDLE, 120)
    profile = guest.tune(point, PATIENT).profile
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert "array" not in profile["fingerprint"]

    guest.sh(f"mdadm /dev/md0 --fail {drives[1].dev} --remove {drives[1].dev}")
    profile = guest.tune(point, PATIENT).profile
    assert profile["state"] == "provisional"
    assert profile["fingerprint"]["array"] == "degraded"
    assert any("md0 is missing a member" in finding for finding in profile["evidence"]["findings"])


def test_an_array_with_parity_is_provisional_until_it_is_built_and_without_a_member(guest: Guest) -> None:
    drives = legs(guest, 3)
    guest.sh("modprobe raid456", 120)
    sync_fast(guest, fast=False)
    make = "mdadm --create /dev/md0 --run --metadata=1.2 --bitmap=none --level=5 --raid-devices=3"
    guest.sh(f"{make} {nodes(drives)} && udevadm settle")
    # mdadm builds the parity as if the last member were replaced.
    assert guest.sh("cat /sys/block/md0/md/sync_action").strip() == "recover"
    point = guest.mount("/dev/md0")
    found = guest.tune(point, [*PATIENT, "--read-only"]).profile
    assert found["state"] == "provisional"
    assert "md0" in " ".join(found["evidence"]["findings"])

    sync_fast(guest, fast=True)
    guest.sh(IDLE, 240)
    found = guest.tune(point, PATIENT).profile
    assert found["state"] == "measured", found["evidence"]["findings"]
    whole = found["read"]["throughput_bytes_per_s"]

    guest.sh(f"mdadm /dev/md0 --fail {drives[2].dev} --remove {drives[2].dev}")
    found = guest.tune(point, [*PATIENT, "--read-only"]).profile
    assert found["state"] == "provisional"
    assert found["fingerprint"]["array"] == "degraded"
    assert any("md0 is missing a member" in finding for finding in found["evidence"]["findings"])
    assert found["read"]["throughput_bytes_per_s"] < whole

    sync_fast(guest, fast=False)
    guest.sh(f"mdadm --zero-superblock {drives[2].dev}; mdadm /dev/md0 --add {drives[2].dev}")
    found = guest.tune(point, [*PATIENT, "--read-only"]).profile
    assert found["state"] == "provisional", "it is rebuilt"
    sync_fast(guest, fast=True)
    guest.sh(IDLE, 240)


def test_a_logical_mirror_in_resync_is_provisional(guest: Guest) -> None:
    drives = legs(guest)
    guest.sh("modprobe dm-raid")
    sync_fast(guest, fast=False)
    make = "lvcreate -q -y --type raid1 -m 1 --maxrecoveryrate 10k -n fast-lv -l 100%FREE vg"
    guest.sh(f"vgcreate -q vg {nodes(drives)} && {make} && udevadm settle", 120)
    point = guest.mount("/dev/vg/fast-lv")
    profile = guest.tune(point, PATIENT).profile
    assert profile["state"] == "provisional"
    assert profile["fingerprint"]["array"] == "syncing"
    assert any("is being resynced" in finding for finding in profile["evidence"]["findings"])


def test_the_daemon_waits_for_a_resync_and_sweeps_again_after_a_rebuild(host: DaemonGuest) -> None:
    config = small(60)
    host.begin(config.replace("settle = 0.5", "settle = 60"))
    drives = legs(host)
    host.sh("modprobe raid1")
    sync_fast(host, fast=False)
    host.sh(f"{MIRROR} {nodes(drives)} && udevadm settle")
    host.until_stage("/dev/md0", "settling", timeout_s=20)
    host.mount("/dev/md0")
    host.configure(config)
    host.sh("systemctl reload aio-tuned")
    host.until_stage("/dev/md0", "skipped", reason="md0 is being resynced; the sweep starts when the array is idle")
    assert host.sweeps("/dev/md0") == 0

    sync_fast(host, fast=True)
    # The daemon compares once a minute.
    host.until_measured("/dev/md0", timeout_s=180)
    host.sh(f"mdadm /dev/md0 --fail {drives[1].dev} --remove {drives[1].dev}")
    host.until(lambda: host.sweeps("/dev/md0") == 2, 180, "it is swept without the member")
    host.until_stage("/dev/md0", "published")
    assert host.drive("/dev/md0")["published"] == "provisional"
    host.sh(f"mdadm --zero-superblock {drives[1].dev}; mdadm /dev/md0 --add {drives[1].dev}")
    # Until the daemon has noticed, within a minute, the last profile is the one without the member.
    host.until(lambda: host.drive("/dev/md0")["published"] == "measured", 400, "it is swept when it is whole again")
    assert host.sweeps("/dev/md0") == 3
