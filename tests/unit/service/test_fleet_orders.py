"""A daemon of a fleet: it waits, sweeps and checks as it is ordered, within limits, and reports what it found."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet.bundle import dump
from aio_tuned.fleet.hardware_class import class_key, facts_of
from aio_tuned.profiles.codec import render
from aio_tuned.service.state_machine import (
    Appeared,
    Failed,
    Finished,
    Postponed,
    Satisfied,
    SweepDue,
)
from aio_tuned.service.worker import messages as wire
from unit.support.builders import SMALL_GRID
from unit.support.desk import running
from unit.support.fleet import POINTS, class_result
from unit.support.fleet_host import COORDINATOR, RAW, SAID, STRANGER, Fleet, present, rows, scene

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.fleet.order import Task


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


# --- waiting ----------------------------------------------------------------------------------------------


def test_a_new_drive_waits_for_an_order_and_is_published_meanwhile(fleet: Fleet) -> None:
    def act() -> None:
        waits = fleet.assess()
        assert isinstance(waits, Postponed)
        assert 0.7 * 3600 < waits.seconds <= 3600
        assert "not measured yet; waits for an order of the fleet's agent; sweeps without the fleet at " in (
            waits.request.reason
        )
        assert fleet.published().state == "provisional"

    scene(fleet, act)


@pytest.mark.parametrize("task", ["wait", None])
def test_no_order_holds_a_sweep_back_for_longer_than_max_wait_even_over_restarts(
    fleet: Fleet, task: Task | None
) -> None:
    def begin() -> None:
        fleet.drive.target = RAW
        if task:
            fleet.order(task)
        assert isinstance(fleet.assess(), Postponed)

    def later() -> None:
        waits = fleet.desk.supervisor._waits
        now_s = time.time()
        waits._now = lambda: now_s + 3601
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert due.request.sweep == "full"
        assert "sweeps by itself" in due.request.reason

    scene(fleet, begin)
    fleet.desk.restart()
    scene(fleet, later)


def test_the_reason_of_the_agent_is_what_operators_read(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("wait")
        waits = fleet.assess()
        assert isinstance(waits, Postponed)
        assert f"not measured yet; {SAID}; sweeps without" in waits.request.reason

    scene(fleet, act)


def test_the_status_tells_what_the_drive_waits_for_now(fleet: Fleet) -> None:
    """The first order comes a minute after the drive, and the fleet goes on while it waits."""

    async def play() -> None:
        async with running(fleet.desk):
            await fleet.desk.send(fleet.bay.event())
            supervisor = fleet.desk.supervisor
            supervisor.emit(fleet.drive, fleet.assess())
            assert "waits for an order" in fleet.drive.state.reason
            timer = fleet.drive.timer
            fleet.order("wait")
            for drive, event in supervisor._scheduler.released([fleet.drive]):
                supervisor.emit(drive, event)
            assert f"not measured yet; {SAID}; sweeps without" in fleet.drive.state.reason
            assert fleet.drive.state.resting
            assert timer
            assert fleet.drive.timer
            assert abs(fleet.drive.timer.when() - timer.when()) < 5, "it waits no longer"
            assert supervisor._scheduler.released([fleet.drive]) == ()

    asyncio.run(play())


def test_what_the_operator_asks_for_does_not_wait(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("wait")
        fleet.drive.asked = True
        assert isinstance(fleet.assess(), SweepDue)

    scene(fleet, act)


def test_an_order_for_another_class_is_none(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("sweep")
        (fleet.bay.controller / "firmware_rev").write_text("F2\n")

    def then() -> None:
        assert isinstance(fleet.assess(), Postponed)

    scene(fleet, act)
    fleet.desk.restart()
    scene(fleet, then)


# --- sweeping ---------------------------------------------------------------------------------------------


def test_a_sweep_for_the_class_is_reported_with_its_best_points(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("sweep")
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert due.request.sweep == "full"
        made = fleet.measured(measured_at=present())
        event = fleet.conclude(wire.Done(text=render(made), points=rows(*POINTS)))
        assert isinstance(event, Finished)
        sweep, presence = fleet.report("sweep"), fleet.report("presence")
        assert sweep
        assert sweep.read
        assert (sweep.node, sweep.hardware_class, sweep.confirms) == ("n1", fleet.hardware_class, None)
        assert [each.setting for each in sweep.read.best] == [*POINTS[:16]]
        assert sweep.read.best[1].share == 9900
        assert presence
        assert (presence.state, presence.generation) == ("measured", 0)
        # It was swept, so the order does not have it swept again.
        assert isinstance(fleet.assess(), Satisfied)

    scene(fleet, act)


def test_a_waiting_drive_sweeps_as_soon_as_the_order_is_seen(fleet: Fleet) -> None:
    def act() -> None:
        waits = fleet.assess()
        assert isinstance(waits, Postponed)
        fleet.desk.supervisor.emit(fleet.drive, waits)
        assert fleet.desk.supervisor._scheduler.released([fleet.drive]) == ()
        fleet.order("sweep")
        assert len(fleet.desk.supervisor._scheduler.released([fleet.drive])) == 1

    scene(fleet, act)


# --- checking ---------------------------------------------------------------------------------------------


def test_a_class_result_is_published_as_provisional_and_checked(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("check", 3, POINTS[5])
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert due.request.sweep == "check"
        fleet.desk.supervisor._publisher.refresh(fleet.drive)
        shown = fleet.published()
        assert shown.state == "provisional"
        assert getattr(shown.read, "setting", None) == POINTS[5]
        job = fleet.desk.supervisor._scheduler._job(fleet.drive, fleet.desk.supervisor._publisher.decide(fleet.drive))
        assert job.settings
        assert job.settings["read"][0] == POINTS[5]
        name = f"class {fleet.hardware_class} generation 3"
        made = fleet.measured(POINTS[5], checked_against=name, fleet_class=fleet.hardware_class, fleet_generation=3)
        assert isinstance(fleet.conclude(wire.Done(text=render(made), points=rows(POINTS[5], POINTS[1]))), Finished)
        check, presence = fleet.report("check"), fleet.report("presence")
        assert check
        assert (check.generation, check.confirms) == (3, True)
        assert presence
        assert (presence.state, presence.generation) == ("measured", 3)
        assert isinstance(fleet.assess(), Satisfied), "the same generation is not checked again"

    scene(fleet, act)


def test_a_generation_that_is_not_confirmed_leaves_the_drives_own_settings(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        assert isinstance(fleet.assess(), Satisfied)
        fleet.order("check", 4, POINTS[5])
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert (due.request.sweep, due.request.reason) == ("check", SAID)
        event = fleet.conclude(fleet.refusal())
        assert event == Finished(reason="keeps its own settings: read: slower")
        check = fleet.report("check")
        assert check
        assert check.read
        assert (check.generation, check.confirms) == (4, False)
        assert check.read.before
        assert check.read.before.bytes_per_s == 6_000_000_000
        assert isinstance(fleet.assess(), Satisfied)
        shown = fleet.published()
        assert (shown.state, getattr(shown.read, "setting", None)) == ("measured", POINTS[2])

    scene(fleet, act)


def test_a_check_without_a_result_is_tried_again_with_growing_pauses(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        fleet.order("check", 4, POINTS[5])
        assert isinstance(fleet.conclude(wire.Disagreed(reason="no time")), Failed)
        assert fleet.report("check") is None

    scene(fleet, act)


def test_a_drive_that_is_not_as_its_class_is_swept_when_it_is_its_racks_turn(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("check", 4, POINTS[5])
        assert fleet.conclude(fleet.refusal()) == Appeared(reason="read: slower")
        assert isinstance(fleet.assess(), Postponed), "the same generation is not checked again"
        fleet.order("sweep", 4, POINTS[5])
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert due.request.sweep == "full"

    scene(fleet, act)


def test_a_result_that_no_coordinator_signed_is_nothing(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("check", 4, POINTS[5], key=STRANGER)
        assert isinstance(fleet.assess(), Postponed)
        (trouble,) = fleet.desk.supervisor.snapshot().troubles
        assert "signed by no trusted key" in trouble

    scene(fleet, act)


def test_an_older_generation_does_not_come_back(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("wait", 3, POINTS[5])
        fleet.assess()
        fleet.order("wait", 2, POINTS[1])
        fleet.assess()
        fleet.desk.supervisor._publisher.refresh(fleet.drive)
        assert getattr(fleet.published().read, "setting", None) == POINTS[5]

    scene(fleet, act)


def test_a_restart_publishes_the_settings_of_the_class_before_the_drive_is_probed(fleet: Fleet) -> None:
    """Consumers that start with the host would read the default else, for a minute or more."""

    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("wait", 3, POINTS[5])

    def again() -> None:
        assert fleet.drive.target is None
        assert (fleet.published().state, getattr(fleet.published().read, "setting", None)) == ("provisional", POINTS[5])
        assert fleet.spool.reports() == (), "the class is not certain yet"

    scene(fleet, act)
    fleet.desk.restart()
    scene(fleet, again)


def test_the_wait_for_the_turn_publishes_the_settings_of_the_class(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("wait", 3, POINTS[5])
        waits = fleet.assess()
        assert isinstance(waits, Postponed)
        fleet.desk.supervisor._publisher.refresh(fleet.drive)
        assert getattr(fleet.published().read, "setting", None) == POINTS[5]

    scene(fleet, act)


# --- the spool --------------------------------------------------------------------------------------------


def test_a_removed_drive_has_no_reports(fleet: Fleet) -> None:
    async def play() -> None:
        async with running(fleet.desk):
            await fleet.desk.send(fleet.bay.event())
            fleet.drive.target = RAW
            fleet.desk.supervisor._publisher.refresh(fleet.drive)
            assert [each.basis for each in fleet.spool.reports()] == ["presence"]
            fleet.bay.vanish()
            await fleet.desk.send(fleet.bay.event("remove"))
            assert fleet.spool.reports() == ()

    asyncio.run(play())


def test_a_sweep_whose_report_cannot_be_written_is_not_repeated(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("sweep")
        (fleet.spool.out / f"{fleet.drive.device.name}.sweep.json").mkdir()
        made = fleet.measured(measured_at=present())
        fleet.conclude(wire.Done(text=render(made), points=rows(*POINTS)))
        assert fleet.report("sweep") is None
        assert len(fleet.desk.supervisor.snapshot().troubles) == 1
        assert isinstance(fleet.assess(), Satisfied)

    scene(fleet, act)


def test_a_bundle_serves_a_drive_without_any_fleet(fleet: Fleet) -> None:
    desk = fleet.desk
    desk.config = replace(desk.config, fleet=False)
    desk.restart()

    def act() -> None:
        fleet.drive.target = RAW
        publisher = desk.supervisor._publisher
        assert not desk.supervisor._fleet.look()
        facts = facts_of(fleet.drive.device, publisher._fingerprint(fleet.drive), "device", SMALL_GRID, "2")
        assert facts
        result = class_result(7, POINTS[5], hardware_class=class_key(facts), write=None, combined=None)
        folder = desk.config.profiles / "models.d"
        folder.mkdir()
        (folder / "site.json").write_text(dump([COORDINATOR.sign(result)]))
        assert desk.supervisor._fleet.look()
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert due.request.sweep == "check"
        publisher.refresh(fleet.drive)
        assert (fleet.published().state, getattr(fleet.published().read, "setting", None)) == ("provisional", POINTS[5])
        assert not (desk.config.state / "fleet").exists()

    scene(fleet, act)
