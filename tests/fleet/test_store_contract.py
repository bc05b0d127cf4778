"""What each store does, in memory, on etcd, and on a stand-in for Kubernetes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet import keys
from aio_tuned.fleet.keys import HISTORY, Slot
from aio_tuned.fleet.signature import ReplayError
from aio_tuned.fleet.store import ClaimLostError, ClassEntry, IgnoredReport, ReportId, RightsError, StaleError
from fleet.shared_stores import COORDINATOR_KEY, NODE_KEY, STRANGERS_KEY
from unit.support.fleet import POINTS, class_result, presence_report, sweep_report

if TYPE_CHECKING:
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Signed, SigningKey
    from aio_tuned.fleet.store import Claim
    from fleet.shared_stores import Fleet

RIVALS = 64
# Between two calls that keep a claim alive are up to four others, each with a write to etcd's disk.
TTL_S = 6
# etcd looks for leases that have ended twice a second, and a member that has just become leader gives each more time.
ENDS_WITHIN_S = 30.0


def report_of(fleet: Fleet, node: str = "n1", key: SigningKey = NODE_KEY) -> Signed[DriveReport]:
    return key.sign(sweep_report(node, drive=fleet.drive, hardware_class=fleet.hardware_class))


def result_of(fleet: Fleet, generation: int = 1, key: SigningKey = COORDINATOR_KEY) -> Signed[ClassResult]:
    return key.sign(class_result(generation, POINTS[generation % 8], hardware_class=fleet.hardware_class))


def reports_in(fleet: Fleet, user: str = "coordinator") -> list[object]:
    """The reports of this test."""
    found = fleet.store(user).list_reports(None if user == "coordinator" else user)
    names = [(each.id.drive if isinstance(each, IgnoredReport) else each.document.drive, each) for each in found]
    return [each for drive, each in names if drive == fleet.drive]


# --- reports ----------------------------------------------------------------------------------------------


def test_a_node_writes_its_own_report_again_and_again(fleet: Fleet) -> None:
    store = fleet.store("n1")
    store.put_report(report_of(fleet))
    newer = NODE_KEY.sign(replace(report_of(fleet).document, at_s=1_900_000_000))
    store.put_report(newer)
    assert reports_in(fleet, "n1") == [newer]
    assert reports_in(fleet) == [newer]


def test_a_node_writes_no_report_of_another(fleet: Fleet) -> None:
    with pytest.raises(RightsError, match="permission denied"):
        fleet.store("n1").put_report(report_of(fleet, "n2"))
    assert reports_in(fleet) == []


def test_a_node_reads_no_reports_of_others(fleet: Fleet) -> None:
    fleet.store("n2").put_report(report_of(fleet, "n2"))
    for node in (None, "n2"):
        with pytest.raises(RightsError):
            list(fleet.store("n1").list_reports(node))


def test_reports_are_listed_whatever_others_wrote_beside_them(fleet: Fleet) -> None:
    good = report_of(fleet)
    fleet.store("n1").put_report(good)
    forged = report_of(fleet, "n2", STRANGERS_KEY)
    fleet.put_raw(keys.report("n2", fleet.drive, "sweep"), forged.text)
    fleet.put_raw(keys.report("n3", fleet.drive, "sweep"), good.text)
    fleet.put_raw(keys.report("n4", fleet.drive, "sweep"), "{")
    listed = reports_in(fleet)
    assert listed[0] == good
    assert [each for each in listed[1:] if not isinstance(each, IgnoredReport)] == []
    reasons = {each.id.node: each.why for each in listed[1:] if isinstance(each, IgnoredReport)}
    assert list(reasons) == ["n2", "n3", "n4"]
    assert "no trusted key" in reasons["n2"]
    assert "is a sweep report of" in reasons["n3"]


def test_a_drive_has_a_report_of_each_basis_at_once(fleet: Fleet) -> None:
    store = fleet.store("n1")
    swept = report_of(fleet)
    there = NODE_KEY.sign(presence_report(drive=fleet.drive, hardware_class=fleet.hardware_class))
    for each in (swept, there):
        store.put_report(each)
    assert reports_in(fleet, "n1") == [there, swept]


def test_one_report_is_read_by_its_name(fleet: Fleet) -> None:
    store, coordinator = fleet.store("n1"), fleet.store("coordinator")
    name = ReportId("n1", fleet.drive, "sweep")
    assert store.get_report(name) is None
    store.put_report(report_of(fleet))
    assert store.get_report(name) == coordinator.get_report(name) == report_of(fleet)
    assert coordinator.get_report(name._replace(basis="check")) is None
    with pytest.raises(RightsError):
        fleet.store("n2").get_report(name)


def test_a_report_that_is_not_trusted_is_read_as_one_that_is_ignored(fleet: Fleet) -> None:
    name = ReportId("n1", fleet.drive, "check")
    fleet.put_raw(keys.report(*name), report_of(fleet).text)
    found = fleet.store("coordinator").get_report(name)
    assert isinstance(found, IgnoredReport)
    assert (found.id, "is a sweep report of" in found.why) == (name, True)


# --- slots ------------------------------------------------------------------------------------------------


def test_a_slot_has_one_holder_until_it_is_released(fleet: Fleet) -> None:
    slot = Slot("claim", fleet.hardware_class, 0)
    first, second = fleet.store("n1"), fleet.store("n2")
    claim = first.claim(slot, "n1", 60)
    assert claim
    assert second.claim(slot, "n2", 60) is None
    other = second.claim(slot._replace(number=3), "n2", 60)
    assert other
    assert fleet.store("coordinator").holders("claim", fleet.hardware_class) == {0: "n1", 3: "n2"}
    first.release(claim)
    first.release(claim)
    assert second.holders("claim", fleet.hardware_class) == {3: "n2"}
    assert second.claim(slot, "n2", 60)


def test_of_64_rivals_for_a_slot_one_has_it(fleet: Fleet) -> None:
    """They are there together, each with a connection of its own."""
    slot = Slot("budget", f"rack-{fleet.number}", 0)
    stores = [fleet.store("n1") for _ in range(RIVALS)]
    together = threading.Barrier(RIVALS)

    def take(number: int) -> Claim | None:
        stores[number].holders("budget", slot.name)  # logs in
        together.wait(60)
        return stores[number].claim(slot, "n1", 60)

    with ThreadPoolExecutor(RIVALS) as pool:
        (won,) = filter(None, pool.map(take, range(RIVALS)))
    assert fleet.store("n2").holders("budget", slot.name) == {0: "n1"}
    stores[0].release(won)
    assert fleet.store("n2").holders("budget", slot.name) == {}


def test_a_claim_lasts_as_long_as_it_is_kept_alive(fleet: Fleet) -> None:
    slot = Slot("claim", fleet.hardware_class, 0)
    holder, rival = fleet.store("n1"), fleet.store("n2")
    claim = holder.claim(slot, "n1", TTL_S)
    assert claim
    for _ in range(3):
        fleet.wait(TTL_S / 2)
        holder.keep_alive(claim)
    assert rival.claim(slot, "n2", TTL_S) is None
    ends = time.monotonic() + ENDS_WITHIN_S
    while rival.holders("claim", fleet.hardware_class):
        assert time.monotonic() < ends
        fleet.wait(0.25)
    with pytest.raises(ClaimLostError):
        holder.keep_alive(claim)
    holder.release(claim)
    taken = rival.claim(slot, "n2", TTL_S)
    assert taken
    with pytest.raises(ClaimLostError):
        holder.keep_alive(claim)
    assert rival.holders("claim", fleet.hardware_class) == {0: "n2"}


def test_of_two_coordinators_one_has_the_lead_until_its_lease_ends(fleet: Fleet) -> None:
    """As after kill -9 of the leader: nobody gives the lead back."""
    first, second = fleet.store("coordinator"), fleet.store("coordinator")
    lead = Slot("leader", f"coordinator-{fleet.number}", 0)
    held = first.claim(lead, "c1", TTL_S)
    assert held
    assert second.claim(lead, "c2", TTL_S) is None
    fleet.wait(TTL_S / 2)
    first.keep_alive(held)
    assert second.claim(lead, "c2", TTL_S) is None
    ends = time.monotonic() + ENDS_WITHIN_S
    while not (taken := second.claim(lead, "c2", 60)):
        assert time.monotonic() < ends
        fleet.wait(0.25)
    with pytest.raises(ClaimLostError):
        first.keep_alive(held)
    assert first.claim(lead, "c1", TTL_S) is None
    assert first.holders("leader", lead.name) == {0: "c2"}
    second.release(taken)
    assert first.claim(lead, "c1", 60)


@pytest.mark.parametrize("user", ["n1", "operator"])
def test_nobody_but_a_coordinator_takes_the_lead(fleet: Fleet, user: str) -> None:
    lead = Slot("leader", f"coordinator-{fleet.number}", 0)
    with pytest.raises(RightsError):
        fleet.store(user).claim(lead, user, TTL_S)
    assert fleet.store("coordinator").claim(lead, "c1", TTL_S)


def test_a_node_ends_no_lead(fleet: Fleet) -> None:
    """Though it may guess the lease."""
    lead = Slot("leader", f"coordinator-{fleet.number}", 0)
    held = fleet.store("coordinator").claim(lead, "c1", 60)
    assert held
    with pytest.raises(RightsError):
        fleet.store("n1").release(held)
    assert fleet.store("operator").holders("leader", lead.name) == {0: "c1"}


# --- class results ----------------------------------------------------------------------------------------


def test_a_class_without_a_result_has_an_empty_entry(fleet: Fleet) -> None:
    assert fleet.store("n1").get_class(fleet.hardware_class) == ClassEntry(None, 0)


def test_the_coordinators_result_is_read_by_all(fleet: Fleet) -> None:
    store, result = fleet.store("coordinator"), result_of(fleet)
    written = store.put_class(result, store.get_class(fleet.hardware_class))
    assert written.result == result
    assert fleet.store("n1").get_class(fleet.hardware_class) == written


@pytest.mark.parametrize("user", ["n1", "operator"])
def test_nobody_but_a_coordinator_writes_a_class_result(fleet: Fleet, user: str) -> None:
    with pytest.raises(RightsError):
        fleet.store(user).put_class(result_of(fleet), ClassEntry(None, 0))
    assert fleet.store("n1").get_class(fleet.hardware_class).revision == 0


def test_of_two_coordinators_that_read_the_same_one_writes(fleet: Fleet) -> None:
    first, second = fleet.store("coordinator"), fleet.store("coordinator")
    empty = first.get_class(fleet.hardware_class)
    first.put_class(result_of(fleet), empty)
    with pytest.raises(StaleError, match="read it again"):
        second.put_class(result_of(fleet, 2), empty)
    read = second.get_class(fleet.hardware_class)
    second.put_class(result_of(fleet, 2), read)
    with pytest.raises(StaleError):
        first.put_class(result_of(fleet, 3), read)
    held = first.get_class(fleet.hardware_class).result
    assert held
    assert held.document.generation == 2


def test_a_result_of_the_same_generation_is_stale_too(fleet: Fleet) -> None:
    """Since contributors and disagreement change without a new generation."""
    store = fleet.store("coordinator")
    entry = store.put_class(result_of(fleet), store.get_class(fleet.hardware_class))
    told = COORDINATOR_KEY.sign(replace(result_of(fleet).document, disagreement="only 2 of 3 sweeps agree"))
    later = store.put_class(told, entry)
    with pytest.raises(StaleError):
        store.put_class(COORDINATOR_KEY.sign(replace(told.document, disagreement="none")), entry)
    assert store.get_class(fleet.hardware_class) == later


def test_a_store_takes_no_older_generation(fleet: Fleet) -> None:
    store = fleet.store("coordinator")
    entry = store.put_class(result_of(fleet, 5), store.get_class(fleet.hardware_class))
    with pytest.raises(ReplayError):
        store.put_class(result_of(fleet, 4), entry)


def test_the_last_generations_are_kept(fleet: Fleet) -> None:
    store = fleet.store("coordinator")
    entry = store.get_class(fleet.hardware_class)
    for generation in range(1, HISTORY + 4):
        entry = store.put_class(result_of(fleet, generation), entry)
    told = [each.document.generation for each in fleet.store("n1").history(fleet.hardware_class)]
    assert told == [8, 7, 6, 5, 4]


def test_what_is_not_the_coordinators_is_no_result_and_is_written_over(fleet: Fleet) -> None:
    store = fleet.store("coordinator")
    other = COORDINATOR_KEY.sign(class_result(9, hardware_class="f" * 16))
    for text in (result_of(fleet, 9, STRANGERS_KEY).text, other.text, "{"):
        fleet.put_raw(keys.consensus(fleet.hardware_class), text)
        entry = store.get_class(fleet.hardware_class)
        assert entry.result is None
        assert entry.ignored
    store.put_class(result_of(fleet), entry)
    assert store.get_class(fleet.hardware_class).result == result_of(fleet)
