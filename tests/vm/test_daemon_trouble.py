"""Drives that fail, fill up or go under the daemon's hands: it says so, and goes on with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import Exit
from vm.attacks import Pulls
from vm.daemon_guest import name_of, small
from vm.guest import MIB, PROFILES, RAW_SIZE, READ_BYTES_PER_S, WRITE_BYTES_PER_S, file_with_data

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest
    from vm.rig.bays import Drive

PULLS = 40
LONG = small(16)


def raw_drive(host: DaemonGuest, serial: str) -> Drive:
    return host.hotplug(serial, RAW_SIZE, path=file_with_data(host, serial), read_bps=READ_BYTES_PER_S)


def mounted_drive(host: DaemonGuest, serial: str) -> Drive:
    drive = host.hotplug(serial, "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.mount(drive.dev)
    return drive


def has_gone(host: DaemonGuest, drive: Drive) -> None:
    """Until nothing of the drive is left."""
    host.until(lambda: host.drive(drive.serial) == {}, 30, f"{drive.serial} is gone")
    host.until(lambda: not host.helper_runs(), 30, "its helper is gone")
    assert host.profile_of(drive) == {}


@pytest.mark.long
def test_pulled_while_it_is_read_and_while_it_is_written(host: DaemonGuest) -> None:
    host.begin(LONG)
    read, waiting = raw_drive(host, "PULL1"), None
    host.until_sweeping("PULL1", "read: ")
    waiting = mounted_drive(host, "PULL2")
    host.until_stage("PULL2", "queued")
    host.unplug("PULL1", surprise=True, settle=False)
    has_gone(host, read)
    # The next in line, and the other direction.
    host.until_sweeping("PULL2", "write: ")
    host.unplug("PULL2", surprise=True, settle=False)
    has_gone(host, waiting)
    said = host.words()
    assert f"removed: {name_of(read)}" in said
    assert f"removed: {name_of(waiting)}" in said
    assert host.sound() == []
    host.lives()


@pytest.mark.long
def test_pulled_at_any_moment(host: DaemonGuest) -> None:
    pulls = Pulls(host)
    for seed in range(PULLS):
        pulls.attack(seed)
    pulls.end()


@pytest.mark.long
def test_errors_of_one_drive_are_no_others_business(host: DaemonGuest) -> None:
    host.begin(small(3).replace("settle = 0.5", "settle = 3"))
    dead = raw_drive(host, "DEAD1")
    host.inject_errors("DEAD1", "read")
    spot = raw_drive(host, "SPOT1")
    # A place that only the sweep reads: the looks before it take a block every 4 MiB, and both ends.
    host.inject_errors("SPOT1", "read", sector=(4 * 3 + 2) * MIB // 512)
    good = raw_drive(host, "GOOD1")
    assert host.until_stage("DEAD1", "failed")["next_try"]
    found = host.until_stage("SPOT1", "failed", reason="media error")
    assert "ENODATA" in found["reason"]
    assert found["next_try"]
    host.until_stage("GOOD1", "published")
    assert host.profile_of(good)["evidence"]["measured_at"]
    for drive in (dead, spot):
        # They keep what they were given when they came, and it says that it is no measurement.
        assert host.profile_of(drive)["state"] == "provisional"
        assert "throughput_bytes_per_s" not in host.profile_of(drive)["read"]
    shown = host.sh("aio-tuned status")
    assert "media error" in shown
    host.clear_errors("SPOT1")
    host.sh(f"aio-tuned retune {spot.dev}")
    host.until_stage("SPOT1", "published")
    assert len(host.sound()) == 3
    host.lives()


@pytest.mark.long
def test_a_full_drive_and_one_that_becomes_read_only(host: DaemonGuest) -> None:
    # It must not end before the drive has become read-only.
    host.begin(small(60))
    host.sh("systemctl stop aio-tuned")
    drive = mounted_drive(host, "FULL1")
    host.run("dd if=/dev/zero of=/mnt/x/filler bs=1M oflag=direct")
    host.sh("systemctl start aio-tuned")
    host.until_stage("FULL1", "skipped", reason="free some space")
    host.sh(f"rm /mnt/x/filler && aio-tuned retune {drive.dev}")
    host.until_sweeping("FULL1", "write: ")
    assert host.run("mount -o remount,ro /mnt/x").status
    # The kernel does this by itself when it finds an error in the filesystem; nobody is told of it.
    host.sh("mount -o remount,errors=remount-ro /mnt/x && echo 1 > /sys/fs/ext4/nvme0n1/trigger_fs_error")
    host.sh(f"aio-tuned retune --force {drive.dev}")
    # Kernels that do not show it in the mount's options still refuse to write.
    host.until_stage("FULL1", "skipped", "failed", reason="ead-only", timeout_s=30)
    host.until(lambda: not host.helper_runs(), 10, "the helper is gone")
    host.sound()
    assert host.profile_of(drive).get("state") != "measured"
    host.lives()


@pytest.mark.long
def test_profiles_that_cannot_be_written_are_tried_again(host: DaemonGuest) -> None:
    host.begin(small().replace("min_retry = 600", "min_retry = 2"))
    host.sh(f"chattr +i {PROFILES}")
    try:
        drive = raw_drive(host, "ETC1")
        host.until(lambda: host.status()["troubles"], 30, "a trouble")
        assert PROFILES in host.status()["troubles"][0]
        assert host.drive("ETC1")["published"] == ""
        assert "! " in host.sh("aio-tuned status")
        host.until_stage("ETC1", "published")
    finally:
        host.sh(f"chattr -i {PROFILES}")
    host.until(lambda: host.profile_of(drive), 60, "the profile")
    host.until(lambda: not host.status()["troubles"], 10, "no trouble")
    assert host.profile_of(drive)["evidence"]["measured_at"]
    host.lives()


def stall(host: DaemonGuest) -> Drive:
    """A drive that has stopped answering in the middle of its sweep."""
    # A real one would be reset after half a minute, which QEMU's do not survive.
    host.sh("echo 4000000 > /sys/module/nvme_core/parameters/io_timeout")
    drive = raw_drive(host, "STUCK1")
    host.until_sweeping("STUCK1", "read: ")
    host.throttle("STUCK1", read_bps=1)
    return drive


@pytest.mark.long
def test_a_drive_that_does_not_answer_can_be_left_behind(host: DaemonGuest) -> None:
    host.begin(LONG)
    drive = stall(host)
    raw_drive(host, "OTHER1")
    stopped = host.run(f"aio-tuned stop {drive.dev}", 60)
    # The drive is not free: what asked for it is told so, and not kept waiting until the drive answers.
    assert stopped.status == Exit.BUSY, stopped.err
    assert "does not end" in stopped.err
    host.configure(small())
    host.sh("systemctl reload aio-tuned")
    host.until_stage("OTHER1", "published")
    assert host.drive("STUCK1")["stage"] == "skipped"
    host.lives()
    # What is in flight fails at last.
    host.unplug("STUCK1", surprise=True, settle=False)
    has_gone(host, drive)


@pytest.mark.long
def test_a_drive_that_does_not_answer_has_failed_in_the_end(host: DaemonGuest) -> None:
    host.begin(LONG)
    drive = stall(host)
    raw_drive(host, "OTHER2")
    # Ten times as long as systemd waits for the watchdog.
    found = host.until_stage("STUCK1", "failed", timeout_s=420)
    assert "not answer" in found["reason"]
    host.until_stage("OTHER2", "published", timeout_s=120)
    host.lives()
    host.unplug("STUCK1", surprise=True, settle=False)
    has_gone(host, drive)
