"""The page cache of others while the daemon sweeps: dropped once and on a quiet host, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vm.daemon_guest import SMALL
from vm.guest import RAW_SIZE, READ_BYTES_PER_S, file_with_data

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest, Entry

WEIGHTS_MIB = 64
WAITING = "waiting to drop the page cache: others"


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


def test_a_drop_waits_for_a_quiet_host_and_file_keeps_what_is_others(host: DaemonGuest) -> None:
    host.sh(f"head -c {WEIGHTS_MIB}M /dev/urandom > /root/weights && sync /root/weights")
    load_weights(host)
    before = drops(host)
    # It reads through the page cache, another drive than the one that is swept.
    neighbour = host.spawn("while :; do dd if=/dev/vda of=/dev/null bs=1M status=none; done", 900)
    try:
        host.begin(SMALL)
        made = host.new_drive("QUIET1", RAW_SIZE, path=file_with_data(host, "QUIET1"), read_bps=READ_BYTES_PER_S)
        host.attach(made)
        host.find(made, 60)
        host.until(lambda: WAITING in paused(host, "QUIET1"), 90, "the sweep waits for a quiet host")
        assert drops(host) == before
    finally:
        neighbour.kill()
    host.until_measured("QUIET1")
    evidence = host.profile_of(made)["evidence"]
    assert (evidence["drop_caches"], evidence["caches_dropped"], drops(host) - before) == ("auto", 1, 1)
    assert cached_weights_mib(host) < WEIGHTS_MIB

    load_weights(host)
    host.configure(SMALL.replace("[sweep]\n", '[sweep]\ndrop_caches = "file"\n'))
    host.sh("systemctl reload aio-tuned")
    host.sh(["aio-tuned", "retune", "--force", made.dev])
    host.until(lambda: host.profile_of(made)["evidence"]["drop_caches"] == "file", 90, "swept again")
    evidence = host.profile_of(made)["evidence"]
    assert (evidence["caches_dropped"], evidence["cache_verdict"], drops(host) - before) == (0, "device", 1)
    assert any("the host's were kept" in finding for finding in evidence["findings"])
    assert cached_weights_mib(host) == WEIGHTS_MIB
    host.lives()
