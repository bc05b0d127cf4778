"""One drive under the daemon: plugged in, mounted, restarted, rebooted, unplugged, and back at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.journald.events import EventId
from vm.daemon_guest import name_of, small
from vm.guest import is_limit

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest
    from vm.rig.bays import Drive

READ_BYTES_PER_S = 200e6
WRITE_BYTES_PER_S = 100e6
# After a pause of a tenth of a second QEMU lets through at once what would have gone meanwhile: of a visit of 1.3 s (a
# transfer of 256 MiB at 200 MB/s) that is 8 %. Four runs had 4 to 6 %; one had 9 % on a host with five times the work
# that it could do.
LET_THROUGH = 0.15
STEADY = small(36).replace('["256K", "1M"]', '["512K", "1M"]')


def test_a_drive_comes_is_measured_and_goes(host: DaemonGuest) -> None:
    host.begin()
    host.until(lambda: host.status()["drives"] == [], 30, "a status without drives")
    drive = host.hotplug("CAME1", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.until(lambda: host.profile_of(drive), 10, "a profile before anything is measured")
    assert "measured_at" not in host.profile_of(drive)["evidence"]
    host.until_stage("CAME1", "published")
    raw = host.profile_of(drive)
    assert is_limit(raw["read"]["throughput_bytes_per_s"], READ_BYTES_PER_S, 0.5)
    the_journal_tells(host, drive, raw)

    host.unplug("CAME1")
    host.until(lambda: not host.profile_of(drive), 10, "the profile is withdrawn")
    host.until(lambda: host.status()["drives"] == [], 10, "a status without the drive")
    host.hotplug("CAME1", drive.size_bytes, path=drive.path, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.until(lambda: host.profile_of(drive) == raw, 20, "the profile is back")
    host.until_stage("CAME1", "published", reason="unchanged since")
    host.lives()


@pytest.mark.long
def test_a_drives_whole_life(host: DaemonGuest) -> None:
    host.begin()
    drive = host.hotplug("LIFE1", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.until_stage("LIFE1", "published")
    raw = host.profile_of(drive)
    # Visits are short, and pauses long where the host is busy; how true the figures are is seen with STEADY's below.
    assert is_limit(raw["read"]["throughput_bytes_per_s"], READ_BYTES_PER_S, 0.5)
    assert "not mounted" in raw["write"]["skipped"]
    resident = host.sh(f"grep VmRSS /proc/{host.main_pid()}/status").split()
    assert int(resident[1]) < 40 << 10, "KiB, with all that systemd's journal brings along"

    host.configure(STEADY)
    host.sh("systemctl reload aio-tuned")
    host.until_stage("LIFE1", "published", reason="unchanged since")
    host.mount(drive.dev)
    host.until_stage("LIFE1", "queued", "sweeping", reason="now mounted")
    host.until_measured("LIFE1")
    full = host.profile_of(drive)
    assert is_limit(full["read"]["throughput_bytes_per_s"], READ_BYTES_PER_S, LET_THROUGH)
    assert is_limit(full["write"]["throughput_bytes_per_s"], WRITE_BYTES_PER_S, LET_THROUGH)
    for section in ("read", "write", "combined"):
        assert full[section]["ties"] == 2
        assert full[section]["block_size"] == 1 << 20
    assert host.sh("ls -A /mnt/x").split() == ["lost+found"]
    assert host.sweeps() == 2

    host.sh("systemctl restart aio-tuned")
    host.until_stage("LIFE1", "published", reason="unchanged since")
    host.lives()
    host.reboot()
    host.until_stage("LIFE1", "published", reason="unchanged since")
    assert host.profile_of(drive) == full
    assert host.sweeps() == 2

    # It is back at once: long before the drive has settled and is looked at.
    host.configure(STEADY.replace("settle = 0.5", "settle = 60"))
    host.sh("systemctl reload aio-tuned")
    host.unplug("LIFE1")
    host.until(lambda: not host.profile_of(drive), 10, "the profile is withdrawn")
    host.until(lambda: host.status()["drives"] == [], 10, "a status without the drive")
    host.hotplug("LIFE1", drive.size_bytes, path=drive.path, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.until(lambda: host.profile_of(drive), 20, "the profile is back")
    assert host.profile_of(drive) == full
    assert host.drive("LIFE1")["stage"] == "settling"
    host.configure(STEADY)
    host.sh("systemctl reload aio-tuned")
    host.until_stage("LIFE1", "published", reason="unchanged since")
    host.lives()


def the_journal_tells(host: DaemonGuest, drive: Drive, measured: dict[str, Any]) -> None:
    """The records of its first sweep: whose they are, what they know, and what journalctl --catalog adds."""
    one_each = (EventId.DRIVE_APPEARED, EventId.SWEEP_STARTED, EventId.SWEEP_FINISHED)
    came, started, finished = [record for kind in one_each for record in host.records(kind)]
    for record in (came, started, finished):
        assert record["AIO_TUNED_DEVICE"] == name_of(drive)
        assert record["AIO_TUNED_NODE"] == drive.dev
        assert record["SYSLOG_IDENTIFIER"] == "aio-tuned"
        assert record["_SYSTEMD_UNIT"] == "aio-tuned.service"
        assert record["PRIORITY"] == "6"
    assert f"sweeping: {started['AIO_TUNED_WHERE']}" in started["MESSAGE"]
    assert finished["AIO_TUNED_READ_BYTES_PER_S"] == str(measured["read"]["throughput_bytes_per_s"])
    assert "AIO_TUNED_WRITE_BYTES_PER_S" not in finished
    states = [record["AIO_TUNED_STATE"] for record in host.records(EventId.PROFILE_PUBLISHED)]
    assert states == ["provisional", measured["state"]]
    explained = host.sh(f"journalctl -n 1 --catalog --no-pager MESSAGE_ID={EventId.SWEEP_FINISHED.value}")
    assert f"Subject: The sweep of {drive.dev} has finished" in explained
    assert f"aio-tuned show {name_of(drive)}" in explained
