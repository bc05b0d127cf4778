"""This version starts on what 0.1.0 has left of a drive (tests/older): its settings stay until it is swept again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import Exit
from vm.daemon_guest import name_of, small
from vm.guest import PROFILES, STATE
from vm.kept import PROJECT

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

OLD = PROJECT / "tests/older/0.1.0"


@pytest.mark.long
def test_the_daemon_takes_over_the_state_of_0_1_0(host: DaemonGuest) -> None:
    drive = host.hotplug("OLD1", "512M", read_bps=200e6, write_bps=100e6)
    point = host.mount(drive.dev)
    host.push(OLD / "state", STATE)
    host.push(OLD / f"etc/{name_of(drive)}.toml", f"{PROFILES}/{name_of(drive)}.toml")
    # An archive's order is that of its files' times, and git keeps none.
    host.sh(f"cd {STATE}/history/* && touch -d 2026-11-30T10:15:20 *1520Z.* && touch -d 2026-11-30T10:15:55 *1555Z.*")

    # A drop-in of that version is refused once, with what to write instead, by the daemon and by check-config.
    host.configure(small().replace("[throttle]", "[manners]"))
    host.run("systemctl start aio-tuned")
    time.sleep(7)  # RestartSec=5
    assert (host.unit("ActiveState"), host.unit("NRestarts")) == ("failed", "0")
    checked = host.run("aio-tuned check-config")
    assert checked.status == Exit.CONFIG
    assert checked.err.strip().endswith("[manners] is now called [throttle]; rename it")
    host.run("systemctl reset-failed aio-tuned")

    # With the new name it starts, and publishes what is known.
    host.begin()
    entry = host.until_stage(drive.serial, "published", timeout_s=240)
    found = host.profile_of(drive)
    assert (entry["published"], found["state"]) == ("measured", "measured"), host.words()
    if host.sh("uname -r").startswith(f"{found['fingerprint']['kernel']}.") and found["schema"] == 1:
        assert entry["reason"].startswith("unchanged since the measurement at 2026-11-30T10:15:55")
        assert host.sweeps() == 0
    else:  # this guest has another kernel, so the drive was swept
        assert found["schema"] > 1
    assert host.sh(f"aio-tuned get {point} read.block_size").strip() == str(1 << 20)
    swept = host.sweeps()

    # It is swept anew, with a profile of this version, beside the two of before.
    host.sh(f"aio-tuned retune --force {point}")
    host.until(lambda: host.sweeps() > swept, 120, "a sweep begins")
    host.until_stage(drive.serial, "published", timeout_s=240)
    assert host.profile_of(drive)["schema"] > 1
    listed = host.sh(f"aio-tuned history {point}")
    assert all(stamp in listed for stamp in ("20261130T101520Z", "20261130T101555Z")), listed
    assert len(host.sh(f"ls {STATE}/history/{name_of(drive)}/*.toml").split()) == 3 + swept
    assert host.run(f"test -e {STATE}/journals/{name_of(drive)}.journal").status != 0
    host.lives()
