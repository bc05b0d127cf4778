"""What else each store has of a class: the coordinator's plan and status, the operators' pin, and what changes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import keys
from aio_tuned.fleet.store import ClassEntry, RightsError
from fleet.shared_stores import COORDINATOR_KEY, NODE_KEY, STRANGERS_KEY
from unit.support.fleet import class_pin, class_plan, class_result, class_status, presence_report, sweep_report

if TYPE_CHECKING:
    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Signed, SigningKey
    from fleet.shared_stores import Fleet

OTHER_CLASS = "f" * 16


def plan_of(fleet: Fleet, key: SigningKey = COORDINATOR_KEY, swept: int = 1) -> Signed[ClassPlan]:
    return key.sign(class_plan(hardware_class=fleet.hardware_class, swept=swept, rollout=None))


def status_of(fleet: Fleet, place: int = 0, key: SigningKey = COORDINATOR_KEY, drives: int = 8) -> Signed[ClassStatus]:
    """Return the status of one of the classes of this test."""
    return key.sign(class_status(hardware_class=f"{place:x}{fleet.hardware_class[1:]}", drives=drives, rollout=None))


def pin_of(fleet: Fleet, why: str = "latency first") -> Pin:
    return class_pin(hardware_class=fleet.hardware_class, why=why)


def report_of(fleet: Fleet) -> Signed[DriveReport]:
    return NODE_KEY.sign(sweep_report(drive=fleet.drive, hardware_class=fleet.hardware_class))


def statuses_in(fleet: Fleet, user: str = "operator") -> list[Signed[ClassStatus]]:
    """The statuses of this test."""
    listed = fleet.store(user).list_statuses()
    return [each for each in listed if each.document.hardware_class[1:] == fleet.hardware_class[1:]]


# --- plans ------------------------------------------------------------------------------------------------


def test_a_class_without_a_plan_has_none(fleet: Fleet) -> None:
    assert fleet.store("n1").get_plan(fleet.hardware_class) is None


def test_the_coordinators_newest_plan_is_read_by_all(fleet: Fleet) -> None:
    for swept in (1, 2):
        fleet.store("coordinator").put_plan(plan_of(fleet, swept=swept))
        for user in ("n1", "coordinator", "operator"):
            assert fleet.store(user).get_plan(fleet.hardware_class) == plan_of(fleet, swept=swept)


@pytest.mark.parametrize("user", ["n1", "operator"])
def test_nobody_but_a_coordinator_writes_a_plan(fleet: Fleet, user: str) -> None:
    with pytest.raises(RightsError):
        fleet.store(user).put_plan(plan_of(fleet))
    assert fleet.store("n1").get_plan(fleet.hardware_class) is None


def test_what_is_not_the_coordinators_plan_of_the_class_is_none(fleet: Fleet) -> None:
    other = COORDINATOR_KEY.sign(class_plan(hardware_class=OTHER_CLASS))
    for text in (plan_of(fleet, STRANGERS_KEY).text, other.text, status_of(fleet).text, "{", ""):
        fleet.put_raw(keys.plan(fleet.hardware_class), text)
        assert fleet.store("n1").get_plan(fleet.hardware_class) is None


# --- statuses ---------------------------------------------------------------------------------------------


def test_the_newest_status_of_each_class_is_listed(fleet: Fleet) -> None:
    store = fleet.store("coordinator")
    written = [status_of(fleet, place) for place in range(3)]
    for each in (*reversed(written), status_of(fleet, 1, drives=9)):
        store.put_status(each)
    assert statuses_in(fleet) == [written[0], status_of(fleet, 1, drives=9), written[2]]


@pytest.mark.parametrize("user", ["n1", "operator"])
def test_nobody_but_a_coordinator_writes_a_status(fleet: Fleet, user: str) -> None:
    with pytest.raises(RightsError):
        fleet.store(user).put_status(status_of(fleet))
    assert statuses_in(fleet) == []


def test_a_node_lists_no_statuses(fleet: Fleet) -> None:
    """They name drives of other nodes."""
    with pytest.raises(RightsError):
        list(fleet.store("n1").list_statuses())


def test_statuses_are_listed_whatever_is_written_beside_them(fleet: Fleet) -> None:
    classes = [status_of(fleet, place).document.hardware_class for place in range(4)]
    fleet.store("coordinator").put_status(status_of(fleet, 3))
    texts = (status_of(fleet, 0, STRANGERS_KEY).text, status_of(fleet, 3).text, "{")
    for hardware_class, text in zip(classes, texts, strict=False):
        fleet.put_raw(keys.status(hardware_class), text)
    assert statuses_in(fleet) == [status_of(fleet, 3)]


# --- pins -------------------------------------------------------------------------------------------------


def test_an_operator_pins_a_class_anew_and_removes_the_pin(fleet: Fleet) -> None:
    operator, coordinator = fleet.store("operator"), fleet.store("coordinator")
    assert coordinator.get_pin(fleet.hardware_class) is None
    assert not operator.delete_pin(fleet.hardware_class)
    for why in ("latency first", "throughput first"):
        operator.put_pin(pin_of(fleet, why))
        assert operator.get_pin(fleet.hardware_class) == coordinator.get_pin(fleet.hardware_class) == pin_of(fleet, why)
    assert operator.delete_pin(fleet.hardware_class)
    assert coordinator.get_pin(fleet.hardware_class) is None


@pytest.mark.parametrize("user", ["n1", "coordinator"])
def test_nobody_but_an_operator_writes_or_removes_a_pin(fleet: Fleet, user: str) -> None:
    fleet.store("operator").put_pin(pin_of(fleet))
    with pytest.raises(RightsError):
        fleet.store(user).put_pin(pin_of(fleet, "mine"))
    with pytest.raises(RightsError):
        fleet.store(user).delete_pin(fleet.hardware_class)
    assert fleet.store("operator").get_pin(fleet.hardware_class) == pin_of(fleet)


def test_a_node_reads_no_pin(fleet: Fleet) -> None:
    with pytest.raises(RightsError):
        fleet.store("n1").get_pin(fleet.hardware_class)


def test_an_operator_writes_no_report_of_a_node(fleet: Fleet) -> None:
    with pytest.raises(RightsError):
        fleet.store("operator").put_report(report_of(fleet))


def test_a_pin_that_its_readers_would_refuse_is_not_written(fleet: Fleet) -> None:
    for pin in (pin_of(fleet, "\x1b[2J"), class_pin(hardware_class=fleet.hardware_class, read=None)):
        with pytest.raises(FleetDataError, match="pin: "):
            fleet.store("operator").put_pin(pin)
    assert fleet.store("operator").get_pin(fleet.hardware_class) is None


def test_a_damaged_pin_is_told_and_can_be_removed(fleet: Fleet) -> None:
    if fleet.kube:
        pytest.skip("the API server takes no pin that does not fit the schema of its kind")
    other = class_pin(hardware_class=OTHER_CLASS).to_json()
    for text, why in (("{", "not valid JSON"), ("", "not valid JSON"), (other, f"is one of class {OTHER_CLASS}")):
        fleet.put_raw(keys.pin(fleet.hardware_class), text)
        with pytest.raises(FleetDataError, match=why):
            fleet.store("coordinator").get_pin(fleet.hardware_class)
    assert fleet.store("operator").delete_pin(fleet.hardware_class)


# --- changes ----------------------------------------------------------------------------------------------


def test_a_watch_tells_what_changed_since_and_no_more(fleet: Fleet) -> None:
    store, node = fleet.store("coordinator"), fleet.store("n1")
    begin = store.watch(None, 0).revision
    node.put_report(report_of(fleet))
    changes = store.watch(begin, 10)
    assert changes.reports == {("n1", fleet.drive, "sweep")}
    assert (changes.pins, changes.complete) == (frozenset(), True)
    assert changes.revision > begin
    idle = store.watch(changes.revision, 0.3)
    assert (idle.reports, idle.pins, idle.complete) == (frozenset(), frozenset(), True)


def test_a_watch_tells_reports_and_pins_and_nothing_else(fleet: Fleet) -> None:
    """What coordinators write does not wake them."""
    store, operator = fleet.store("coordinator"), fleet.store("operator")
    begin = store.watch(None, 0).revision
    store.put_plan(plan_of(fleet))
    store.put_status(status_of(fleet))
    result = COORDINATOR_KEY.sign(class_result(hardware_class=fleet.hardware_class))
    store.put_class(result, ClassEntry(None, 0))
    assert store.claim(keys.Slot("leader", f"coordinator-{fleet.number}", 0), "c1", 60)
    assert store.watch(begin, 0.3).revision == begin
    told: set[object] = set()
    presence = presence_report(drive=fleet.drive, hardware_class=fleet.hardware_class)
    fleet.store("n1").put_report(NODE_KEY.sign(presence))
    operator.put_pin(pin_of(fleet))
    now = begin
    while len(told) < 2:
        changes = store.watch(now, 10)
        assert changes.revision > now
        now = changes.revision
        told |= changes.reports | changes.pins
    assert told == {("n1", fleet.drive, "presence"), fleet.hardware_class}
    operator.delete_pin(fleet.hardware_class)
    assert store.watch(now, 10).pins == {fleet.hardware_class}


def test_a_watch_tells_while_it_waits(fleet: Fleet) -> None:
    store, node = fleet.store("coordinator"), fleet.store("n1")
    begin = store.watch(None, 0).revision
    node.list_reports("n1")
    timer = threading.Timer(0.5, node.put_report, [report_of(fleet)])
    timer.start()
    began = time.monotonic()
    changes = store.watch(begin, 60)
    timer.join()
    assert changes.reports == {("n1", fleet.drive, "sweep")}
    assert time.monotonic() - began < 30


def test_a_node_may_not_watch_others(fleet: Fleet) -> None:
    with pytest.raises(RightsError):
        fleet.store("n1").watch(1, 1)
