"""A fleet in one guest, with its own etcd: the package's units, and a daemon that is one node after the other.

The long tests go through one story: a node sweeps for its class, two more do (what this one measured, under their names
and keys), and a fourth node checks what the three have found. Then the agent and the etcd are gone.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from vm.daemon_guest import name_of
from vm.fleet_guest import AGENT, COORDINATOR, FleetGuest
from vm.guest import PROFILES, STATE
from vm.product import package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vm.daemon_guest import Entry
    from vm.guest import Guest
    from vm.rig.bays import Drive

# The issue asks for this; the daemon's own is 2.1.
MOST_EXPOSURE = 2.5
# Agent and daemon look once a minute each, and an agent waits for up to five minutes after a boot.
SOON_S, AFTER_BOOT_S = 150.0, 500.0
TIMEOUT_S = 2400
# 8 requests of 1 MiB in flight give 168 MB/s, in a sweep and in a check alike, and 8 of 512 KiB half of it.
LATENCY_S = 0.05


class Node(NamedTuple):
    """The guest while it is one node of the fleet, its drive, and the evidence of that drive's profile."""

    guest: FleetGuest
    name: str
    evidence: Entry


def plug_in(guest: FleetGuest, serial: str, make: str = "mkfs.ext4 -q -F -E lazy_itable_init=0") -> Drive:
    """A drive of the fleet's only model, with a filesystem."""
    drive = guest.hotplug(serial, "512M", latency_s=LATENCY_S)
    guest.sh(f"{make} {drive.dev} && mkdir -p /mnt/{serial} && mount {drive.dev} /mnt/{serial}", 120)
    return drive


def exposure(guest: Guest, unit: str) -> float:
    return float(guest.sh(f"systemd-analyze security --no-pager {unit} | tail -n 1 | grep -Eo '[0-9]+[.][0-9]'", 60))


def test_the_package_prepares_a_fleet_and_starts_none(guest: Guest) -> None:
    for unit in (AGENT, COORDINATOR):
        assert guest.run(f"systemctl is-enabled {unit}; systemctl is-active {unit}").out.split() == [
            "disabled",
            "inactive",
        ]
        assert exposure(guest, unit) <= MOST_EXPOSURE
    guest.sh("systemd-tmpfiles --create aio-tuned.conf")  # what an earlier test may have removed
    assert guest.sh(f"stat -c '%U %a' {STATE}/fleet/out {STATE}/fleet/in {PROFILES}/fleet").splitlines() == [
        "root 755",
        "aio-tuned-fleet 755",
        "root 700",
    ]
    # The daemon has got no network with the fleet.
    assert set(guest.sh("systemctl show aio-tuned -P RestrictAddressFamilies").split()) == {"AF_NETLINK", "AF_UNIX"}
    assert set(guest.sh("systemctl show aio-tuned -P IPAddressDeny").split()) == {"0.0.0.0/0", "::/0"}
    assert exposure(guest, "aio-tuned") <= MOST_EXPOSURE


# --- the story ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(image: Path) -> Iterator[FleetGuest]:
    """An etcd with its users, and no node yet."""
    with FleetGuest(image, package()) as guest:
        guest.make_site()
        yield guest


@pytest.fixture(scope="module")
def first(fleet: FleetGuest) -> Node:
    """The node n1, which has swept for its class."""
    fleet.become("n1", "FIRST")
    name = name_of(plug_in(fleet, "FIRST"))
    fleet.until_stage("FIRST", "queued", reason="waits for an order of the fleet's agent; sweeps without the fleet at")
    fleet.until_measured("FIRST", timeout_s=AFTER_BOOT_S)
    return Node(fleet, name, fleet.profile(name)["evidence"])


@pytest.fixture(scope="module")
def agreed(first: Node) -> Node:
    """The same node, when its class has the sweeps of three nodes."""
    guest = first.guest
    guest.until(lambda: [each["swept"] for each in guest.classes()] == [1], SOON_S, "the sweep is in the fleet")
    assert guest.stand_in("n2", "n3") == "presence sweep"
    guest.until(lambda: guest.classes()[0]["generation"] == 1, SOON_S, "the class has a generation")
    return first


@pytest.fixture(scope="module")
def fourth(agreed: Node) -> Node:
    """The node n4, which has another drive of the class."""
    guest = agreed.guest
    guest.become("n4", "FOURTH")
    name = name_of(plug_in(guest, "FOURTH"))
    guest.until_measured("FOURTH", timeout_s=AFTER_BOOT_S)
    return Node(guest, name, guest.profile(name)["evidence"])


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
def test_a_node_waits_for_a_claim_and_sweeps_for_its_class(first: Node) -> None:
    guest = first.guest
    assert "fleet_class" not in first.evidence
    key = guest.spooled(first.name)["sweep"]["class"]
    # The words of the journal, one after the other.
    waits = "queued: not measured yet; waits for an order of the fleet's agent"
    sweeps = f"sweeping: not measured yet; sweeping for class {key}: claim 0"
    assert re.search(f"{waits}.*{sweeps}.*published: \\d+ settings measured", guest.words(), re.DOTALL)
    assert f"{first.name}: sweeping for class {key}: claim 0" in guest.said_by(AGENT)
    guest.until(lambda: guest.order(first.name)["task"] == "wait", SOON_S, "the agent has seen the sweep")
    guest.until(lambda: guest.classes()[0]["swept"], SOON_S, "the sweep is in the fleet")
    (known,) = guest.classes()
    assert (known["class"], known["nodes"], known["wanted"], known["generation"]) == (key, 1, 3, 0)
    assert f"waiting for its sweeps: 1 of {known['wanted']} swept" in guest.fleet("status")
    assert guest.sweeps() == 1
    guest.lives()


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
def test_the_daemon_has_no_network_and_agent_and_coordinator_no_rights(first: Node) -> None:
    guest = first.guest
    pids = {unit: guest.sh(["systemctl", "show", unit, "-P", "MainPID"]).strip() for unit in (AGENT, COORDINATOR)}
    for unit, pid in pids.items():
        status = guest.read(f"/proc/{pid}/status").decode()
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), unit
        assert not re.search(r"^Uid:\s+0\b", status, re.MULTILINE), unit
    sockets = guest.sh("ss -tunapH")
    assert f"pid={pids[COORDINATOR]}," in sockets
    assert f"pid={guest.unit('MainPID')}," not in sockets


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
def test_three_sweeps_make_a_generation(agreed: Node) -> None:
    guest = agreed.guest
    (known,) = guest.classes()
    assert (known["swept"], known["wanted"], known["nodes"], known["ignored"]) == (3, 3, 3, 0)
    assert known["rollout"]["reach_percent"] == 100
    explained = json.loads(guest.fleet("explain", "n1", "--json"))["drives"][0]
    assert explained["vote"] == "counts in generation 1"


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
def test_another_node_checks_the_settings_of_its_class_in_seconds(fourth: Node, agreed: Node) -> None:
    guest = fourth.guest
    assert guest.sweeps() == 1, guest.words()
    (known,) = guest.classes()
    key, evidence = known["class"], fourth.evidence
    assert guest.profile(fourth.name)["state"] == "measured"
    assert (evidence["fleet_class"], evidence["fleet_generation"]) == (key, 1)
    assert sorted(evidence["fleet_contributors"]) == [f"{node}/{agreed.name}" for node in ("n1", "n2", "n3")]
    assert evidence["checked_against"] == f"class {key} generation 1"
    assert evidence["measured_at"]
    check_s, sweep_s = evidence["seconds"], agreed.evidence["seconds"]
    print(f"a check of {check_s:.1f} s, a full sweep of {sweep_s:.1f} s")
    assert check_s < sweep_s / 2
    explained = " ".join(guest.sh("aio-tuned explain /mnt/FOURTH").split())
    assert f"class {key} generation 1" in explained
    assert "n1/" in explained
    # The fleet hears of it.
    guest.until(lambda: guest.classes()[0]["confirmed"] == 1, SOON_S, "n4 confirms the generation")
    (known,) = guest.classes()
    assert (known["swept"], known["wanted"], known["refused"]) == (3, 3, 0)
    (drive,) = json.loads(guest.fleet("explain", "n4", "--json"))["drives"]
    assert (drive["state"], drive["generation"], drive["reports"]["check"]["confirms"]) == ("measured", 1, True)
    status = guest.fleet("status")
    assert re.search(rf"^{key} +1 +4 +1 +0 +0 +0 +3/3 +QEMU", status, re.MULTILINE), status
    guest.lives()


# --- without it -----------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
def test_without_agent_and_etcd_a_drive_is_swept_after_max_wait(fourth: Node) -> None:
    guest = fourth.guest
    guest.sh(f"systemctl kill -s KILL {AGENT}; systemctl stop etcd", 60)
    guest.configure(guest.config("n4", "FOURTH", "ALONE", max_wait="40s"))
    guest.sh("systemctl reload aio-tuned")
    # Of another class, since its sibling is no help for it.
    alone = name_of(plug_in(guest, "ALONE", "mkfs.xfs -q -f"))
    guest.until_stage("ALONE", "queued", reason="waits for an order of the fleet's agent")
    assert guest.profile(alone)["state"] == "provisional"
    # systemd starts the agent again, which has orders for all drives and no etcd.
    guest.until(lambda: guest.sh(f"systemctl is-active {AGENT}").strip() == "active", 60, "the agent is back")
    guest.until_measured("ALONE")
    assert "waited 0:40 for the fleet; sweeps by itself" in guest.words()
    assert guest.drive("FOURTH")["published"] == "measured"
    assert {fourth.name, alone} <= set(guest.sound())
    said = guest.said_by(AGENT)
    guest.until(lambda: "no store reachable since" in guest.said_by(AGENT), AFTER_BOOT_S, said)
    assert "Traceback" not in said + guest.said_by(COORDINATOR)
    guest.lives()

    # All comes back by itself.
    guest.sh("systemctl start etcd", 60)
    classes = {guest.spooled(name)["presence"]["class"] for name in (fourth.name, alone)}
    guest.until(lambda: classes == {each["class"] for each in guest.classes() if each["swept"]}, AFTER_BOOT_S, "back")


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S)
def test_with_the_fleet_off_no_drive_waits(fourth: Node) -> None:
    guest = fourth.guest
    guest.configure(guest.config("n4", "FOURTH", "OFF", enabled=False))
    guest.sh("systemctl reload aio-tuned")
    plug_in(guest, "OFF", "mkfs.xfs -q -f")
    guest.until_measured("OFF")
    (of_drive,) = {guest.drive("OFF")["node"].removeprefix("/dev/")}
    said = [line for line in guest.words().splitlines() if line.startswith(f"{of_drive}:")]
    assert said
    assert not [line for line in said if "fleet" in line or "wait" in line]
    assert guest.drive("FOURTH")["published"] == "measured"
    guest.lives()
