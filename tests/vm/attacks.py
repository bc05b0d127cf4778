"""Attacks on a daemon at work, each decided by its seed: the power is cut, or the drive is pulled.

The tests make some of them; tests/bench/endure.py makes as many as it is asked for, and keeps a log.
"""

from __future__ import annotations

import hashlib
import random
import time
from typing import TYPE_CHECKING

from vm.daemon_guest import SWEEP_S, small
from vm.guest import MIB, RAW_SIZE, READ_BYTES_PER_S, WRITE_BYTES_PER_S, file_with_data

if TYPE_CHECKING:
    from pathlib import Path

    from vm.daemon_guest import DaemonGuest
    from vm.rig.bays import Drive

SIZE = 512 * MIB
FIRST_PARTITION_END = 400 * MIB


def _rest_of(path: Path) -> str:
    """Checksum of what is behind the first partition."""
    with path.open("rb") as file:
        file.seek(FIRST_PARTITION_END)
        return hashlib.sha256(file.read()).hexdigest()


def _used(host: DaemonGuest) -> str:
    """Blocks in use in the filesystem, while nobody sweeps it."""
    return host.sh("sync; df --output=used -B4096 /mnt/x | tail -1").strip()


class PowerCuts:
    """A drive of two partitions: a filesystem that is mounted at every boot, with a file in it, and unknown bytes."""

    NAME = "nvme-QEMU_NVMe_Ctrl_POWER1_1"

    def __init__(self, host: DaemonGuest) -> None:
        self.host = host
        host.begin()
        host.sh("systemctl stop aio-tuned")
        self.path = host.data / "POWER1.raw"
        self.path.write_bytes(random.Random(1).randbytes(MIB) * (SIZE // MIB))
        self.drive = self._prepared()
        self.known, self.rest, self.used = host.sh("sha256sum /mnt/x/known"), _rest_of(self.path), _used(host)
        host.sh("systemctl start aio-tuned")

    def _prepared(self) -> Drive:
        host = self.host
        drive = host.hotplug("POWER1", SIZE, path=self.path, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
        table = f"1MiB,{FIRST_PARTITION_END // MIB - 1}MiB,L\\n,,L\\n"
        host.sh(f"wipefs -qa {drive.dev}; printf '{table}' | sfdisk -q {drive.dev} && udevadm settle")
        host.mount(f"{drive.dev}p1")
        host.sh(
            f"e2label {drive.dev}p1 power && echo 'LABEL=power /mnt/x ext4 nofail 0 0 # power' >> /etc/fstab"
            " && head -c 16M /dev/urandom > /mnt/x/known && sync"
        )
        return drive

    def _writes(self) -> bool:
        """Whether a sweep measures writes; one that was over before this looked is asked for again."""
        entry = self.host.drive(self.NAME)
        if entry["stage"] == "published":
            self.host.sh(f"aio-tuned retune --force {self.drive.dev}")
        return str((entry.get("sweeping") or {}).get("doing", "")).startswith("write: ")

    def attack(self, seed: int) -> str:
        """Cut the power in a sweep and boot; nothing is torn or of others has changed. Return when it was cut."""
        host, chance = self.host, random.Random(seed)
        if seed % 3 == 2:
            # About when the last is measured and the profile is published.
            host.until(self._writes, SWEEP_S, f"{self.NAME} sweeping: write")
            after_s = chance.uniform(1, 5)
        else:
            host.until_stage(self.NAME, "sweeping")
            after_s = chance.uniform(0, 8)
        time.sleep(after_s)
        doing = str((host.drive(self.NAME).get("sweeping") or {}).get("doing", "not sweeping"))
        host.power_cut()
        assert host.sh("ls -A /mnt/x").split() == ["known", "lost+found"]
        assert host.sh("sha256sum /mnt/x/known") == self.known
        assert _rest_of(self.path) == self.rest
        assert set(host.sound()) <= {self.NAME}
        if host.until_stage(self.NAME, "published", "queued", "sweeping")["stage"] == "published":
            host.sh(f"aio-tuned retune --force {self.drive.dev}")
        return f"{after_s:.2f} s into {doing}"

    def end(self) -> None:
        """A sweep to its end, and all is as it was."""
        host = self.host
        host.until_measured(self.NAME)
        assert set(host.sound()) == {self.NAME}
        host.lives()
        assert _used(host) == self.used
        host.sh(f"umount /mnt/x && e2fsck -fn {self.drive.dev}p1")
        assert _rest_of(self.path) == self.rest

    def clean_up(self) -> None:
        self.host.run("sed -i '/# power$/d' /etc/fstab")


class Pulls:
    """A drive with data, plugged in and pulled at any moment: its first publishing and its last among them."""

    def __init__(self, host: DaemonGuest) -> None:
        self.host = host
        host.begin(small(1))
        self.path = file_with_data(host, "ANY1")
        self.digest = hashlib.sha256(self.path.read_bytes()).hexdigest()

    def attack(self, seed: int) -> str:
        """Plug it in, pull it, and have nothing of it left, and none of its bytes changed. Return the moment."""
        host, chance = self.host, random.Random(seed)
        drive = host.new_drive("ANY1", RAW_SIZE, path=self.path, read_bps=READ_BYTES_PER_S)
        host.attach(drive)
        # Every other time about when it is seen and published first; from its start to its end a sweep takes some 5 s.
        after_s = chance.uniform(0.2, 1.5) if seed % 2 else chance.uniform(0, 6)
        if seed % 2 == 0:
            host.until(lambda: host.drive("ANY1"), 60, "the daemon sees it")
        time.sleep(after_s)
        host.unplug("ANY1", surprise=True)
        host.until(lambda: host.status()["drives"] == [], 30, "no drive")
        assert host.sound() == []
        assert hashlib.sha256(self.path.read_bytes()).hexdigest() == self.digest
        return f"{after_s:.2f} s after it was {'plugged in' if seed % 2 else 'seen'}"

    def end(self) -> None:
        """The daemon lives, and measures the next drive."""
        host = self.host
        host.lives()
        host.hotplug("NEXT1", RAW_SIZE, path=file_with_data(host, "NEXT1"), read_bps=READ_BYTES_PER_S)
        host.until_stage("NEXT1", "published")
        assert set(host.sound()) == {"nvme-QEMU_NVMe_Ctrl_NEXT1_1"}

    def clean_up(self) -> None:
        """Leave nothing that the guest would keep."""
