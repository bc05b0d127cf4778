"""The page cache of others while the daemon sweeps: dropped once and on a quiet host, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import SWEEP_S, name_of, small
from vm.guest import RAW_SIZE, READ_BYTES_PER_S, file_with_data

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest, Entry
    from vm.rig.bays import Drive

WEIGHTS_MIB = 64
WAITING = "waiting to drop the page cache: other processes"


def paused(host: DaemonGuest, name: str) -> str:
    """Why the drive's sweep is paused, or ""."""
    at: Entry = host.drive(name).get("sweeping") or {"paused": ""}
    return str(at["paused"])


def drops(host: DaemonGuest) -> int:
    """How often anyone has dropped the page cache since boot."""
    return int(host.sh("awk '$1 == \"drop_pagecache\" { print $2 }' /proc/vmstat"))


def load_weights(host: DaemonGuest) -> None:
    host.sh("cat /root/weights > /dev/null")
    assert cached_weights_mib(host) == WEIGHTS_MIB


def cached_weights_mib(host: DaemonGuest) -> int:
    return int(host.sh("fincore --noheadings --bytes --output RES /root/weights")) >> 20


def measured(host: DaemonGuest, name: str, policy: str, timeout_s: float) -> Entry:
    """The evidence of the drive's profile, once a sweep with that policy has made it."""

    def there() -> bool:
        return bool(host.profile(name)) and host.profile(name)["evidence"]["drop_caches"] == policy

    host.until(there, timeout_s, f"{name} swept with {policy}")
    evidence: Entry = host.profile(name)["evidence"]
    return evidence


@pytest.fixture
def drive(host: DaemonGuest) -> Drive:
    """A drive whose sweep has dropped nothing, and weights of a neighbour in the page cache."""
    host.sh(f"head -c {WEIGHTS_MIB}M /dev/urandom > /root/weights && sync /root/weights")
    load_weights(host)
    before = drops(host)
    host.begin()
    made = host.new_drive("CACHE1", RAW_SIZE, path=file_with_data(host, "CACHE1"), read_bps=READ_BYTES_PER_S)
    host.attach(made)
    host.find(made, 60)
    evidence = measured(host, name_of(made), "file", SWEEP_S)
    assert (evidence["caches_dropped"], evidence["cache_verdict"], drops(host) - before) == (0, "device", 0)
    return made


def test_with_file_the_page_cache_of_others_stays(host: DaemonGuest, drive: Drive) -> None:
    assert cached_weights_mib(host) == WEIGHTS_MIB
    assert any("the host's cache was kept" in finding for finding in host.profile_of(drive)["evidence"]["findings"])
    host.lives()


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_drop_waits_for_a_quiet_host_and_comes_once(host: DaemonGuest, drive: Drive) -> None:
    before = drops(host)
    # Through the page cache, from another drive than the one that is swept.
    neighbour = host.spawn("while :; do dd if=/dev/vda of=/dev/null bs=1M status=none; done", 900)
    try:
        host.configure(small().replace('drop_caches = "file"\n', ""))
        host.sh("systemctl reload aio-tuned")
        host.sh(["aio-tuned", "retune", "--force", drive.dev])
        host.until(lambda: WAITING in paused(host, "CACHE1"), 90, "the sweep waits for a quiet host")
        assert drops(host) == before
    finally:
        neighbour.kill()
        host.run("pkill -x dd")
    load_weights(host)
    evidence = measured(host, name_of(drive), "auto", 600)
    assert (evidence["caches_dropped"], drops(host) - before) == (1, 1)
    assert cached_weights_mib(host) < WEIGHTS_MIB
    host.lives()
