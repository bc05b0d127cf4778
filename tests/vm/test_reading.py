"""What a service on the machine, and a container on it, gets of a drive that has just been plugged in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import VOLUMES, name_of
from vm.product import PROJECT

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
# What a container has: programs, one volume, /proc, and /sys and /etc/aio-tuned read-only; no /dev, no /run.
CONTAINER = """
set -e
mount --make-rprivate /
mkdir -p /run/box; mount -t tmpfs box /run/box; cd /run/box
for folder in /usr /bin /lib /lib64; do
    if [ -L $folder ]; then cp -P $folder .$folder; else mkdir -p .$folder; mount --bind $folder .$folder; fi
done
mkdir -p proc sys data etc/aio-tuned
mount --rbind /proc proc
mount --bind /sys sys; mount -o remount,bind,ro sys
mount --bind /etc/aio-tuned etc/aio-tuned; mount -o remount,bind,ro etc/aio-tuned
mount --bind /mnt/x data
exec chroot . /usr/bin/python3 -c '
import json, os
from aio_tuned import reader
assert not os.path.exists("/dev") and not os.path.exists("/run")
print(json.dumps(reader.settings_for("/data").source._asdict()))
'
"""


def in_container(host: DaemonGuest) -> dict[str, str]:
    host.write("/run/container.sh", CONTAINER)
    found: dict[str, str] = json.loads(host.sh("unshare --mount sh /run/container.sh", 60))
    return found


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
    assert in_container(host)["device"] == name_of(drive)
    for program in ("sh aio_settings.sh", "python3 aio_settings.py"):  # docs/reading.md's
        file = program.split()[1]
        host.write(f"/run/{file}", (PROJECT / "docs/examples" / file).read_text())
        printed = dict(line.split("=") for line in host.sh(f"cd /run && {program} /mnt/x").split())
        assert printed == {key: str(profile["read"][key]).lower() for key in KEYS}
    host.lives()


@pytest.mark.parametrize("volume", ["md0", "dm-0"])
def test_a_container_on_a_volume(host: DaemonGuest, volume: str) -> None:
    """Its uuid stands in /sys; its members' profiles are not its own."""
    host.begin()
    host.sh("systemctl stop aio-tuned")
    nodes = " ".join(host.hotplug(serial, "256M").dev for serial in ("V1", "V2"))
    host.sh(VOLUMES[volume].format(nodes=nodes))
    host.mount(f"/dev/{volume}")
    grid = "--grid block_size=1M --grid queue_depth=8 --grid io_parallelism=1 --grid single_submit=false"
    host.sh(f"aio-tuned tune /mnt/x --time-budget 7s {grid} --grid overlap_events=true", 180)
    name = host.sh("aio-tuned get /mnt/x device.name").strip()
    assert in_container(host)["device"] == name
    assert name.startswith({"md0": "md-uuid-", "dm-0": "dm-name-"}[volume])
