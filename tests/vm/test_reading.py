"""What a service on the machine, and a container on it, gets of a drive that has just been plugged in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import name_of
from vm.kept import PROJECT

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

KEYS = ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit")
# A framework's unit: it starts when its drive has been measured.
UNIT = """
[Service]
Type=oneshot
ExecStartPre=/usr/bin/aio-tuned wait /mnt/x/cache --timeout 5m
ExecStart=/bin/sh -c 'aio-tuned get /mnt/x/cache --json >/run/reader.json'
"""


@pytest.mark.long
def test_a_unit_that_waits_for_a_drive_just_plugged_in(host: DaemonGuest) -> None:
    host.begin()
    host.write("/run/systemd/system/reader.service", UNIT)
    host.sh("rm -f /run/reader.json; mkdir -p /mnt/x; systemctl daemon-reload")
    drive = host.hotplug("READER1", "512M", read_bps=200e6, write_bps=100e6)
    host.sh("systemctl start --no-block reader.service")
    host.mount(drive.dev)
    host.sh("mkdir /mnt/x/cache")
    host.until(lambda: host.sh("systemctl show -P ActiveState reader").strip() == "inactive", 180, "the unit is done")
    assert host.sh("systemctl show -P Result reader").strip() == "success", host.sh("journalctl -u reader -o cat")
    got = json.loads(host.read("/run/reader.json"))
    profile = host.profile_of(drive)
    assert got["source"]["state"] == profile["state"] == "measured"
    assert got["source"]["device"] == name_of(drive)
    for key in KEYS:
        assert got[key] == profile["combined"][key]
    assert "waiting: " in host.sh("journalctl -u reader -o cat")
    assert host.read_in_container()["device"] == name_of(drive)
    for program in ("sh aio_settings.sh", "python3 aio_settings.py"):  # docs/how-to/read-settings.md's
        file = program.split()[1]
        host.write(f"/run/{file}", (PROJECT / "docs/examples" / file).read_text())
        printed = dict(line.split("=") for line in host.sh(f"cd /run && {program} /mnt/x").split())
        assert printed == {key: str(profile["read"][key]).lower() for key in KEYS}
    host.lives()
