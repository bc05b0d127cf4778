"""On top of NVMe drives: a partition is its drive's, a volume has its own profile and names its members."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vm.guest import MIB, READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from vm.guest import Guest
    from vm.rig.bays import Drive

pytestmark = pytest.mark.long

VOLUME = "/dev/vg/fast-lv"
LEG_READ_BYTES_PER_S = 80e6


def test_a_partition_gives_the_whole_drives_profile(guest: Guest) -> None:
    drive = guest.hotplug("PART1", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    guest.sh(f"echo ',,L' | sfdisk -q {drive.dev} && udevadm settle")
    tuned = guest.tune(guest.mount(f"{drive.dev}p1"))
    assert tuned.profile["state"] == "measured"
    assert tuned.profile["device"]["name"] == "nvme-QEMU_NVMe_Ctrl_PART1_1"
    assert tuned.profile["device"]["size_bytes"] == drive.size_bytes
    assert tuned.profile["evidence"]["cache_verdict"] == "device"


def two_drives(guest: Guest) -> list[Drive]:
    return [guest.hotplug(serial, "256M", read_bps=LEG_READ_BYTES_PER_S, write_bps=60e6) for serial in ("LEG1", "LEG2")]


def names(drives: list[Drive]) -> list[str]:
    return sorted(f"nvme-QEMU_NVMe_Ctrl_{drive.serial}_1" for drive in drives)


def has_a_profile_of_its_own(guest: Guest, node: str, drives: list[Drive]) -> str:
    """Tune the volume; the name of its profile, after which udev has named it too."""
    tuned = guest.tune(guest.mount(node))
    assert tuned.profile["state"] == "measured"
    assert sorted(tuned.profile["device"]["members"]) == names(drives)
    assert tuned.profile["evidence"]["cache_verdict"] == "device"
    # Both legs work at once.
    assert tuned.profile["read"]["throughput_bytes_per_s"] > 1.3 * LEG_READ_BYTES_PER_S
    name: str = tuned.profile["device"]["name"]
    assert guest.device_name(node) == name
    assert name in guest.by_id_names(guest.sh(["readlink", "-f", node]).strip())
    # It has the volume's uuid from /sys alone; the members' profiles are not its own.
    assert guest.read_in_container()["device"] == name
    return name


def test_raid0_has_its_own_profile_with_its_members(guest: Guest) -> None:
    drives = two_drives(guest)
    nodes = " ".join(drive.dev for drive in drives)
    guest.sh(f"mdadm --create /dev/md0 --run --level=0 --raid-devices=2 {nodes} && udevadm settle")
    assert has_a_profile_of_its_own(guest, "/dev/md0", drives).startswith("md-uuid-")
    refused = guest.run(f"aio-tuned tune {drives[0].dev}")
    assert refused.status == 66
    assert "member of md0" in refused.err


def test_a_logical_volume_has_its_own_profile_with_its_members(guest: Guest) -> None:
    drives = two_drives(guest)
    nodes = " ".join(drive.dev for drive in drives)
    guest.sh(f"vgcreate -q vg {nodes} && lvcreate -q -y -n fast-lv -i 2 -l 100%FREE vg && udevadm settle")
    counters_are_live(guest)
    assert has_a_profile_of_its_own(guest, VOLUME, drives) == "dm-name-vg-fast--lv"


def counters_are_live(guest: Guest) -> None:
    """Those of the volume, not only those of its members."""
    words = f"aio-sweep --device={VOLUME} --span-bytes={16 * MIB} --max-transfer-bytes={4 * MIB} < /dev/null"
    sectors = int(guest.sh("awk '{ print $3 }' /sys/block/dm-0/stat"))
    guest.sh(f"dd if={VOLUME} of=/dev/null bs=1M count=8 iflag=direct")
    assert int(guest.sh("awk '{ print $3 }' /sys/block/dm-0/stat")) - sectors == 8 * MIB // 512
    hello = json.loads(guest.sh(words).splitlines()[0])
    assert hello["counters"]["live"]
