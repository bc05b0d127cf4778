"""Many drives at once: one of a model is swept in full, the others are checked against it, or say if they differ."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import name_of, small
from vm.guest import QUICK, RAW_SIZE, READ_BYTES_PER_S, file_with_data, is_limit
from vm.rig import nvmet

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest, Entry
    from vm.rig.bays import Drive

# A check has a fifth of the time, and all that QEMU lets through at once must be little of it.
OTHERS_TOO = small(15) + '[[match]]\ntransport = "tcp"\ntune = true\n'


@pytest.mark.long
@pytest.mark.parametrize("count", [3, 8])
def test_drives_plugged_in_at_once(host: DaemonGuest, count: int) -> None:
    host.begin(OTHERS_TOO)
    serials = [f"TWIN{number}" for number in range(count)]
    drives = []
    for serial in serials:
        # With data: what was read from a blank drive is no measure for another.
        drives.append(host.new_drive(serial, RAW_SIZE, path=file_with_data(host, serial), read_bps=READ_BYTES_PER_S))
        host.attach(drives[-1])
    for drive in drives:
        host.find(drive, 60)
    (foreign,) = nvmet.connect(host, "FOREIGN1", "Another Model", ["256M"], mb_per_s=100)
    try:
        for name in (*serials, "FOREIGN1"):
            host.until_stage(name, "published", timeout_s=40 * count)
        profiles = [host.profile_of(drive) for drive in drives]
        stranger = host.profile(host.drive("FOREIGN1")["name"])
        host.lives()
        names = {*map(name_of, drives), stranger["device"]["name"]}
        assert set(host.sound()) == names
    finally:
        nvmet.disconnect(host, "FOREIGN1")
    against = [profile["evidence"].get("checked_against", "") for profile in profiles]
    # A check on a busy machine may disagree; then the drive is swept in full too, and the daemon says why.
    said = host.words()
    disagreed = set(re.findall(r"^(\w+): queued: check against ", said, re.MULTILINE))
    full = [drive for drive, other in zip(drives, against, strict=True) if not other]
    assert len(full) == 1 + len(disagreed), said
    assert {drive.dev.removeprefix("/dev/") for drive in full} > disagreed
    assert set(against) <= {"", *map(name_of, full)}
    assert len({profile["read"]["block_size"] for profile in profiles}) == 1
    for profile in profiles:
        assert profile["evidence"]["measured_at"]
        # A check of 1.4 s leaves time for visits of one transfer, and QEMU lets through what has gathered before each.
        assert is_limit(profile["read"]["throughput_bytes_per_s"], READ_BYTES_PER_S, 0.5)
    assert stranger["evidence"]["measured_at"]
    # Twice through an emulated network.
    assert is_limit(stranger["read"]["throughput_bytes_per_s"], 100e6, 0.5)
    assert "checked_against" not in stranger["evidence"]
    assert stranger["device"]["model"] == "Another Model"
    # One sweep each, and one at a time.
    assert host.sweeps() == count + 1 + len(disagreed), said
    host.until(lambda: host.drive(foreign) == {}, 20, "the foreign drive is withdrawn")
    assert not host.profile(stranger["device"]["name"])


@pytest.mark.long
def test_a_drive_unlike_its_sibling_says_so(host: DaemonGuest) -> None:
    # A check is short, and its interval so wide that it may confirm what a full sweep would not.
    host.begin(OTHERS_TOO.replace("[daemon]\n", '[daemon]\nsiblings = "full"\n'))
    drives = []
    for serial, share in (("SOUND1", 1.0), ("SLOW1", 0.3)):
        made = host.new_drive(serial, RAW_SIZE, path=file_with_data(host, serial), read_bps=READ_BYTES_PER_S * share)
        host.attach(made)
        host.find(made, 60)
        host.until_measured(serial, timeout_s=180)
        drives.append(made)
    sound, slow = drives
    assert not of_sibling(host.profile_of(sound), slow)
    profile = host.profile_of(slow)
    (said,) = of_sibling(profile, sound)
    # The emulated link of "2.5 GT/s x1" is no figure to hold anything against.
    assert not [finding for finding in profile["evidence"]["findings"] if "link" in finding]
    host.lives()
    tuned = json.loads(host.sh(["aio-tuned", "tune", slow.dev, *QUICK, "--json", "--out", "/root/out"], 180))
    (by_hand,) = of_sibling(tuned["profile"], sound)
    assert said.partition("but ")[2] == by_hand.partition("but ")[2]


def of_sibling(profile: Entry, sibling: Drive) -> list[str]:
    """The findings that hold the profile against that drive's."""
    of = f"but {name_of(sibling)}, of the same model and firmware, gives "
    return [finding for finding in profile["evidence"]["findings"] if of in finding]
