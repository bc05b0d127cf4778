"""What no event tells the daemon: members that were pulled while it was down, and drives that udev never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import VOLUMES, small

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

UNTOUCHED = small().replace("settle = 0.5", "settle = 60")
UDEVD = "systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket"


@pytest.mark.long
def test_a_volume_that_has_lost_a_member_and_drives_that_came_unheard(host: DaemonGuest) -> None:
    host.begin(UNTOUCHED)
    stays, goes = (host.hotplug(serial, "256M") for serial in ("STAYS", "GOES"))
    host.sh(VOLUMES["dm-0"].format(nodes=f"{stays.dev} {goes.dev}"))
    host.until_stage("/dev/dm-0", "settling", timeout_s=20)
    host.unplug("GOES", surprise=True, settle=False)
    host.until(lambda: host.drive("GOES") == {}, 30, "the member is gone")

    host.sh("systemctl restart aio-tuned", timeout_s=120)
    host.until_stage("/dev/dm-0", "skipped", reason="is missing; replace the member, or dissolve the volume")
    assert host.drive("STAYS")
    assert host.status()["troubles"] == []
    explained = host.run(["aio-tuned", "explain", "/dev/dm-0"], 120)
    assert "Traceback" not in explained.err
    assert explained.status == 0, explained.err

    host.sh(f"systemctl stop {UDEVD}")
    unheard = [host.hotplug(f"UNHEARD{place}", "64M") for place in range(3)]
    host.unplug("STAYS", surprise=True, settle=False)
    host.sh(f"systemctl start {UDEVD}")
    # A glance finds them, and the next one takes what udev has not processed.
    for drive in unheard:
        host.until_stage(drive.serial, "settling", "queued", "sweeping", "published", timeout_s=150)
    assert host.drive("STAYS") == {}
    assert "device events lost: rescanning" in host.words()
    host.sh("dmsetup remove --force vg-fast--lv")
    host.lives()
