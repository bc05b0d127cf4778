"""Inside the unit's sandbox, in a machine with systemd: the job can be done there, and little else."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import TYPE_CHECKING

import pytest

from vm.guest import QUICK, RAW_SIZE, READ_BYTES_PER_S, TOLERANT, WRITE_BYTES_PER_S, Guest
from vm.product import package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

# Does what it is told to, one task at a time.
SERVANT = """
while read -r _ < /root/ask; do
    bash /root/task > /root/said 2> /root/complained
    echo $? > /root/answer
done
"""
DROP_IN = """
[Service]
Type=exec
WatchdogSec=0
ExecStart=
ExecStart=/bin/bash /root/servant
"""


class Box:
    """The unit as it is, but for its program."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        guest.sh("mkfifo /root/ask /root/answer")
        guest.write("/root/servant", SERVANT)
        guest.write("/root/drop-in", DROP_IN)
        guest.sh("install -D -m 644 /root/drop-in /run/systemd/system/aio-tuned.service.d/servant.conf")
        guest.sh("systemctl daemon-reload && systemctl start aio-tuned")

    def run(self, command: str, timeout_s: float = 60) -> tuple[int, str]:
        """Exit status, and what it says."""
        self.guest.write("/root/task", command)
        status = int(self.guest.sh("echo > /root/ask; cat /root/answer", timeout_s))
        said = self.guest.read("/root/said") + self.guest.read("/root/complained")
        return status, said.decode()

    def sh(self, command: str, timeout_s: float = 60) -> str:
        """What a command that must succeed says."""
        status, said = self.run(command, timeout_s)
        assert status == 0, f"{command}: {said}"
        return said

    def tune(self, target: str, config: str = "", *, writes: bool = True) -> dict[str, object]:
        """The evidence of a short sweep."""
        self.guest.write("/etc/aio-tuned/sandbox.conf", TOLERANT + config)
        words = ["aio-tuned", "--config", "/etc/aio-tuned/sandbox.conf", "tune", target, *QUICK, "--json"]
        self.sh(shlex.join(words), 180)
        profile = json.loads(self.guest.read("/root/said"))["profile"]
        assert profile["state"] == "measured"
        assert "throughput_bytes_per_s" in profile["read"]
        assert ("throughput_bytes_per_s" if writes else "skipped") in profile["write"]
        evidence: dict[str, object] = profile["evidence"]
        return evidence


@pytest.fixture(scope="module")
def box(image: Path) -> Iterator[Box]:
    with Guest(image, package()) as guest:
        yield Box(guest)


@pytest.fixture(autouse=True)
def bays(box: Box) -> Iterator[None]:
    """Empty again for the next test."""
    yield
    if box.guest.drives:
        box.guest.clean_up()
        # It has stopped the unit.
        box.guest.sh("systemctl restart aio-tuned")


def test_a_drive_in_somebodys_private_folder_is_swept(box: Box) -> None:
    drive = box.guest.hotplug("HOME", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    box.guest.mount(drive.dev, "/home/someone/drive")
    box.guest.sh("chown -R 1234:1234 /home/someone && chmod 700 /home/someone /home/someone/drive")
    evidence = box.tune("/home/someone/drive")
    assert evidence["target"] == "scratch file on ext4"
    assert evidence["cache_verdict"] == "device"
    assert isinstance(evidence["caches_dropped"], int)
    assert evidence["caches_dropped"] == 1, "once a sweep"
    assert str(evidence["buffer"]).endswith("locked")
    box.guest.sh("umount /home/someone/drive")


def test_a_blank_drive_is_only_read_as_its_openers_cannot_be_seen(box: Box) -> None:
    """The unit may not watch /dev/ng0n1, has no CAP_SYS_PTRACE, and ProtectProc= hides others."""
    drive = box.guest.hotplug("BLANK", RAW_SIZE, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    evidence = box.tune(drive.dev, '[safety]\nraw_write = "blank"\n', writes=False)
    assert evidence["target"] == "raw device"
    assert evidence["bytes_written"] == 0
    assert drive.path is not None
    assert drive.path.read_bytes() == bytes(RAW_SIZE)


def test_volumes_that_come_later_can_be_read_and_written(box: Box) -> None:
    nodes = " ".join(box.guest.hotplug(serial, "128M").dev for serial in ("LEG1", "LEG2"))
    box.guest.sh(f"mdadm --create /dev/md0 --run --level=0 --raid-devices=2 {nodes} && udevadm settle")
    box.sh("dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct && dd if=/dev/md0 of=/dev/null bs=4k count=1")
    box.guest.sh(f"mdadm --stop /dev/md0 && wipefs -aq {nodes} && udevadm settle")
    box.guest.sh(f"vgcreate -q vg {nodes} && lvcreate -q -y -n lv -l 100%FREE vg && udevadm settle")
    box.sh("dd if=/dev/zero of=/dev/dm-0 bs=4k count=1 oflag=direct && dd if=/dev/dm-0 of=/dev/null bs=4k count=1")


@pytest.mark.parametrize("point", ["/mnt/x", "/tmp/x", "/home/x", "/root/x"])
def test_mounts_come_and_go_here_as_outside(box: Box, point: str) -> None:
    drive = box.guest.hotplug("MOUNT", "64M")
    box.guest.mount(drive.dev, point)
    assert f" {point} " in box.sh("cat /proc/self/mountinfo")
    box.sh(f"touch {point}/file && rm {point}/file")
    box.guest.sh(f"umount {point}")
    assert f" {point} " not in box.sh("cat /proc/self/mountinfo")
    box.guest.sh(f"blkdiscard -f {drive.dev} || wipefs -aq {drive.dev}")  # nobody holds it any more


def test_a_scratch_file_holds_up_the_unmount_only_while_it_is_open(box: Box) -> None:
    drive = box.guest.hotplug("BUSY", "64M")
    point = box.guest.mount(drive.dev)
    box.guest.write("/root/task", f"exec 3> {point}/scratch; rm {point}/scratch; touch /root/open; sleep 5")
    box.guest.sh("rm -f /root/open; echo > /root/ask; until [ -e /root/open ]; do sleep .1; done")
    assert "busy" in box.guest.run(f"umount {point}").err
    box.guest.sh(f"cat /root/answer && umount {point}")


def test_what_the_daemon_is_made_of_works(box: Box) -> None:
    program = """
        import os, socket, numpy, pyudev, sdnotify, toml
        assert (numpy.ones((64, 64)) @ numpy.ones((64, 64))).sum() == 64 ** 3
        pyudev.Monitor.from_netlink(pyudev.Context()).start()
        socket.socket(socket.AF_UNIX).bind("/run/aio-tuned/another.sock")
        assert os.stat("/run/aio-tuned/another.sock").st_mode & 0o777 == 0o700
        os.unlink("/run/aio-tuned/another.sock")
        """
    box.guest.write("/root/program.py", textwrap.dedent(program))
    box.sh("python3 /root/program.py")
    box.sh("nice -n 10 ionice -c 2 -n 7 true && ionice -c 3 true")
    box.sh("cat /proc/pressure/io /sys/block/*/stat && echo 1 > /proc/sys/vm/drop_caches")
    for folder in ("/etc/aio-tuned", "/var/lib/aio-tuned", "/run/aio-tuned"):
        box.sh(f"touch {folder}/file && rm {folder}/file")


@pytest.mark.parametrize(
    "command",
    [
        "touch /etc/file",
        "touch /usr/file",
        "touch /boot/file",
        "echo 60 > /proc/sys/vm/swappiness",
        "echo none > /sys/block/vda/queue/scheduler",
        "dd if=/dev/zero of=/dev/vda bs=512 count=0 conv=notrunc",
        "dd if=/dev/kmsg of=/dev/null bs=8k count=1 iflag=nonblock",
        "mknod /root/node b 259 0 && rm /root/node",
        "mount -t tmpfs none /mnt && umount /mnt",
        "unshare --mount true",
        "chroot / true",
        "date -s now",
        "hostname vmrig",
        "modprobe null_blk nr_devices=0 && modprobe -r null_blk",
        "chrt --fifo 1 true",
        "python3 -c 'import socket; socket.socket(socket.AF_INET)'",
        "python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'",
    ],
)
def test_what_is_not_its_job_is_refused(box: Box, command: str) -> None:
    status, said = box.run(command)
    assert status != 0, said
    box.guest.sh(command)  # where it is allowed it can be done
