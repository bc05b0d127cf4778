"""The daemon as a service: what systemd, the operator and the clock may do to it while it sweeps."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from aio_tuned.journald.events import EventId
from vm.daemon_guest import name_of, small
from vm.guest import PROFILES, READ_BYTES_PER_S, WRITE_BYTES_PER_S

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest
    from vm.rig.bays import Drive

LONG = small(16)
ENDLESS = small(90)
BUSY = 69
NO_RIGHTS = 77
ENDS_WITHIN_S = 5.0


def swept_drive(host: DaemonGuest, serial: str, doing: str) -> Drive:
    drive = host.hotplug(serial, "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.mount(drive.dev)
    host.until_sweeping(serial, doing)
    return drive


def test_systemd_and_the_operator(host: DaemonGuest) -> None:
    host.begin(ENDLESS)
    assert host.unit("StatusText") == "no tunable drives found"
    assert host.unit("WatchdogUSec") == "30s"
    pid = host.main_pid()

    second = host.run(["aio-tuned", "daemon"])
    assert second.status == BUSY
    assert f"already running as process {pid}" in second.err

    drive = swept_drive(host, "UNIT1", "read: ")
    told = re.compile(r"nvme0n1: (read|write): \d/2 .*, \d+%, at most \d:\d\d left; 1 sweeping")
    host.until(lambda: told.fullmatch(host.unit("StatusText")), 10, "what it does")

    # A wrong configuration is said to be wrong, and the old one stays.
    host.configure("[sweep]\nspam = 1\n")
    host.sh("systemctl reload aio-tuned")
    host.until(lambda: "spam" in "".join(host.status()["troubles"]), 10, "the configuration's error")
    host.configure(ENDLESS)
    host.sh("systemctl reload aio-tuned")
    host.until(lambda: not host.status()["troubles"], 10, "no trouble")
    assert host.drive("UNIT1")["stage"] == "sweeping"
    assert host.sweeps() == 1

    # Who has no rights may look, and only that.
    seen = json.loads(host.sh("setpriv --reuid=nobody --clear-groups aio-tuned status --json"))
    assert [each["serial"] for each in seen["drives"]] == ["UNIT1"]
    refused = host.run(f"setpriv --reuid=nobody --clear-groups aio-tuned stop {name_of(drive)}")
    assert refused.status == NO_RIGHTS, refused.err
    assert host.drive("UNIT1")["stage"] == "sweeping"

    # The filesystem can be had back.
    assert host.run("umount /mnt/x").status
    host.sh(f"aio-tuned stop {drive.dev}")
    host.sh("umount /mnt/x")
    host.until_stage("UNIT1", "skipped", reason="stopped by the operator", timeout_s=5)
    assert host.main_pid() == pid
    host.lives()


@pytest.mark.long
def test_stopped_in_the_middle_it_goes_on_from_there(host: DaemonGuest) -> None:
    host.begin(LONG)
    drive = swept_drive(host, "STOP1", "write: ")
    host.sh("systemctl stop aio-tuned", ENDS_WITHIN_S)
    assert host.unit("Result") == "success"
    assert not host.helper_runs()
    assert host.sh("ls -A /mnt/x").split() == ["lost+found"]
    host.sh("umount /mnt/x && mount /dev/nvme0n1 /mnt/x")
    assert set(host.sound()) == {name_of(drive)}
    assert host.profile_of(drive)["state"] == "provisional"

    # A clock that was set back by a day, before and while it is swept.
    host.sh("date -s '-1 day' && systemctl start aio-tuned")
    host.until_sweeping("STOP1", "write: ")
    host.sh("date -s '-1 day'")
    host.until_measured("STOP1")
    found = host.profile_of(drive)
    assert found["evidence"]["resumed"] == 1
    assert found["evidence"]["points_measured"] == 4
    host.sh("date -s '+2 days' && umount /mnt/x")
    host.until_stage("STOP1", "published", reason="unchanged since")
    assert host.profile_of(drive) == found
    # Not host.sweeps(): journalctl finds nothing behind a cursor that the clock has been set back behind.
    started = f"MESSAGE_ID={EventId.SWEEP_STARTED.value} AIO_TUNED_DEVICE={name_of(drive)}"
    assert len(host.sh(f"journalctl -o cat --no-pager {started}").splitlines()) == 2
    host.lives()
    assert host.run(f"ls -A {PROFILES} | grep -F .tmp").status
