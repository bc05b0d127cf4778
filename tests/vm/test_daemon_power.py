"""The power goes at any moment of a sweep and of publishing: nothing is torn, nothing of others has changed."""

from __future__ import annotations

import hashlib
import random
import time
from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import name_of
from vm.guest import MIB, READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from pathlib import Path

    from vm.daemon_guest import DaemonGuest
    from vm.rig.bays import Drive

SIZE = 512 * MIB
FIRST_PARTITION_END = 400 * MIB
CUTS = 20
NAME = "nvme-QEMU_NVMe_Ctrl_POWER1_1"


def rest_of(path: Path) -> str:
    """Checksum of what is behind the first partition."""
    with path.open("rb") as file:
        file.seek(FIRST_PARTITION_END)
        return hashlib.sha256(file.read()).hexdigest()


def prepared_drive(host: DaemonGuest) -> Drive:
    """Two partitions: a filesystem that is mounted at every boot, with a file in it, and one with unknown bytes."""
    path = host.data / "POWER1.raw"
    path.write_bytes(random.Random(1).randbytes(MIB) * (SIZE // MIB))
    drive = host.hotplug("POWER1", SIZE, path=path, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    table = f"1MiB,{FIRST_PARTITION_END // MIB - 1}MiB,L\\n,,L\\n"
    host.sh(f"wipefs -qa {drive.dev}; printf '{table}' | sfdisk -q {drive.dev} && udevadm settle")
    host.mount(f"{drive.dev}p1")
    host.sh(
        f"e2label {drive.dev}p1 power && echo 'LABEL=power /mnt/x ext4 nofail 0 0 # power' >> /etc/fstab"
        " && head -c 16M /dev/urandom > /mnt/x/known && sync"
    )
    return drive


def used(host: DaemonGuest) -> str:
    """Bytes in use in the filesystem, while nobody sweeps it."""
    return host.sh("sync; df --output=used -B4096 /mnt/x | tail -1").strip()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_power_cuts(host: DaemonGuest) -> None:
    host.begin()
    host.sh("systemctl stop aio-tuned")
    drive = prepared_drive(host)
    path = drive.path
    assert path
    try:
        known, rest, before = host.sh("sha256sum /mnt/x/known"), rest_of(path), used(host)
        host.sh("systemctl start aio-tuned")
        chance = random.Random(20)
        for number in range(CUTS):
            if number % 3 == 2:
                # About when the last is measured and the profile is published.
                host.until_sweeping(NAME, "write: ")
                time.sleep(chance.uniform(1, 5))
            else:
                host.until_stage(NAME, "sweeping")
                time.sleep(chance.uniform(0, 8))
            host.power_cut()
            assert host.sh("ls -A /mnt/x").split() == ["known", "lost+found"]
            assert host.sh("sha256sum /mnt/x/known") == known
            assert rest_of(path) == rest
            assert set(host.sound()) <= {NAME}
            host.until(lambda: host.drive(NAME), 30, "the daemon sees it again")
            if host.drive(NAME)["stage"] == "published":
                host.sh(f"aio-tuned retune --force {drive.dev}")
        host.until_measured(NAME)
        assert set(host.sound()) == {name_of(drive)} == {NAME}
        host.lives()
        assert used(host) == before
        host.sh(f"umount /mnt/x && e2fsck -fn {drive.dev}p1")
        assert rest_of(path) == rest
    finally:
        host.run("sed -i '/# power$/d' /etc/fstab")
