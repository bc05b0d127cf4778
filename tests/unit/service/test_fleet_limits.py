"""What orders of a fleet may not do: have a drive swept without end, lose its figures, or hurry it."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet.bundle import dump
from aio_tuned.model.profile import Skipped
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.codec import render
from aio_tuned.profiles.replacement import EARLIER_CURVES, NO_CURVES
from aio_tuned.service.drive import Publication
from aio_tuned.service.state_machine import Appeared, Failed, Finished, Postponed, Satisfied, Stage, SweepDue
from aio_tuned.service.worker import messages as wire
from unit.support.builders import CONCURRENCY, CURVES
from unit.support.builders import result as measured_result
from unit.support.desk import FIRST, Bay, running
from unit.support.fleet import POINTS, class_result
from unit.support.fleet_host import RAW, STRANGER, Fleet, present, rows, scene

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.fleet.report import Basis
    from aio_tuned.model.setting import Setting


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def order(fleet: Fleet, task: str) -> None:
    if task == "sweep":
        fleet.order("sweep")
    else:
        fleet.order("check", 4, POINTS[5])


# --- without end --------------------------------------------------------------------------------------------


def test_a_sweep_without_a_vote_is_not_repeated_for_the_class(fleet: Fleet) -> None:
    """A provisional profile has no vote, and an order to sweep stays until the drive has one."""

    def act() -> None:
        fleet.drive.target = RAW
        fleet.order("sweep")
        assert isinstance(fleet.assess(), SweepDue)
        made = replace(fleet.measured(measured_at=present()), state="provisional")
        assert isinstance(fleet.conclude(wire.Done(text=render(made), points=rows(*POINTS))), Finished)
        assert fleet.report("sweep") is None
        assert isinstance(fleet.assess(), Satisfied)

    def again() -> None:
        assert isinstance(fleet.assess(), Satisfied)

    scene(fleet, act)
    fleet.desk.restart()
    scene(fleet, again)


def test_a_sweep_of_a_measured_drive_without_a_vote_is_not_repeated_either(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        fleet.order("sweep")
        assert isinstance(fleet.assess(), SweepDue)
        made = replace(fleet.measured(measured_at=present()), state="provisional")
        fleet.conclude(wire.Done(text=render(made), points=rows(*POINTS)))
        assert isinstance(fleet.assess(), Satisfied)

    scene(fleet, act)


def test_a_check_that_leads_to_no_report_is_not_repeated(fleet: Fleet) -> None:
    """The default could not be measured, without which the figures of two drives have nothing in common."""

    def act() -> None:
        fleet.drive.target = RAW
        own = fleet.measured(POINTS[2])
        assert fleet.desk.supervisor._publisher.save(own)
        fleet.order("check", 4, POINTS[5])
        assert isinstance(fleet.assess(), SweepDue)
        blind = replace(
            own,
            read=measured_result(setting=POINTS[2], default_throughput_bytes_per_s=0),
            write=Skipped(skipped="not mounted"),
        )
        refused = wire.Disagreed(reason="read: slower", text=render(blind), points=rows(POINTS[2], POINTS[5]))
        assert isinstance(fleet.conclude(refused), Finished)
        assert fleet.report("check") is None
        assert isinstance(fleet.assess(), Satisfied)
        assert fleet.desk.supervisor._scheduler.released([fleet.drive]) == ()

    scene(fleet, act)


def test_a_check_that_never_succeeds_is_given_up(fleet: Fleet) -> None:
    """The drive would be shown as failed, in spite of its valid profile, and be checked every six hours for ever."""

    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        fleet.order("check", 4, POINTS[5])
        failed = wire.Disagreed(reason="check failed: no time")
        assert [type(fleet.conclude(failed)) for _ in range(3)] == [Failed, Failed, Finished]
        assert fleet.drive.state.stage is Stage.PUBLISHED
        assert isinstance(fleet.assess(), Satisfied)
        assert fleet.report("check") is None, "nothing is known of the generation"
        fleet.order("check", 5, POINTS[6])
        assert isinstance(fleet.assess(), SweepDue)

    scene(fleet, act)


def test_a_class_that_the_drive_refused_is_not_checked_again_after_a_restart(fleet: Fleet) -> None:
    """The full sweep that followed was interrupted, and the agent, which would order it, is away."""

    def refuse() -> None:
        fleet.drive.target = RAW
        fleet.order("check", 4, POINTS[5])
        assert isinstance(fleet.conclude(fleet.refusal()), Appeared)

    def again() -> None:
        found = fleet.assess()
        assert isinstance(found, Postponed), found
        waits = fleet.desk.supervisor._waits
        now_s = time.time()
        waits._now = lambda: now_s + 3601
        due = fleet.assess()
        assert isinstance(due, SweepDue)
        assert due.request.sweep == "full"

    scene(fleet, refuse)
    fleet.desk.restart()
    scene(fleet, again)


# --- what a drive has ---------------------------------------------------------------------------------------


def test_a_provisional_sweep_for_the_class_does_not_replace_a_measured_profile(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        fleet.order("sweep")
        made = replace(fleet.measured(POINTS[7], measured_at=present()), state="provisional")
        assert isinstance(fleet.conclude(wire.Done(text=render(made), points=rows(*POINTS))), Finished)
        shown = fleet.published()
        assert (shown.state, getattr(shown.read, "setting", None)) == ("measured", POINTS[2])

    scene(fleet, act)


@pytest.mark.parametrize("task", ["sweep", "check"])
def test_writes_that_were_measured_stay_while_the_drive_is_not_mounted(fleet: Fleet, task: Basis) -> None:
    """The class of the raw drive has reads alone; the profile from when it was mounted has writes, too."""

    def act() -> None:
        fleet.drive.target = RAW
        own = replace(fleet.measured(POINTS[2]), write=measured_result(setting=POINTS[3]))
        own = replace(own, fingerprint=replace(own.fingerprint, filesystem="ext4"))
        assert fleet.desk.supervisor._publisher.save(own)
        assert isinstance(fleet.assess(), Satisfied)
        order(fleet, task)
        assert isinstance(fleet.assess(), SweepDue)
        reads = replace(fleet.measured(POINTS[5], measured_at=present()), write=Skipped(skipped="not mounted"))
        assert isinstance(fleet.conclude(wire.Done(text=render(reads), points=rows(*POINTS))), Finished)
        shown = fleet.published()
        assert getattr(shown.write, "setting", None) == POINTS[3]
        assert fleet.report(task), "the class learns of it nevertheless"
        assert isinstance(fleet.assess(), Satisfied)

    scene(fleet, act)


@pytest.mark.parametrize(("setting", "keeps_processes"), [(POINTS[2], True), (POINTS[5], False)])
def test_a_check_keeps_the_curves_of_the_sweep_before(fleet: Fleet, setting: Setting, keeps_processes: bool) -> None:
    """Inference engines read them, and a check measures none; the figures of several processes are of a setting."""

    def act() -> None:
        fleet.drive.target = RAW
        own = replace(fleet.measured(POINTS[2]), curves=CURVES, concurrency=CONCURRENCY)
        assert fleet.desk.supervisor._publisher.save(own)
        fleet.order("check", 4, setting)
        made = fleet.measured(
            setting, measured_at=present(), checked_against="class", findings=("one", NO_CURVES), fleet_generation=4
        )
        assert isinstance(fleet.conclude(wire.Done(text=render(made), points=rows(*POINTS))), Finished)
        shown = fleet.published()
        assert getattr(shown.read, "setting", None) == setting
        assert shown.evidence.fleet_generation == 4
        assert shown.curves == CURVES
        assert shown.concurrency == (CONCURRENCY if keeps_processes else None)
        assert shown.evidence.findings == ("one", EARLIER_CURVES)

    scene(fleet, act)


# --- what others need ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["sweep", "check"])
def test_a_busy_drive_with_a_valid_profile_is_never_swept_beside_others_for_its_fleet(fleet: Fleet, task: str) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        order(fleet, task)
        supervisor = fleet.desk.supervisor
        waits = supervisor._waits
        waits.add_deferral(fleet.drive.device.id, "other processes transfer 1 GB/s on the drive")
        began = waits.monotonic()
        waits.monotonic = lambda: began + 30 * 86400
        job = supervisor._scheduler._job(fleet.drive, supervisor._publisher.decide(fleet.drive))
        assert job.never_quiet == ""
        assert (job.against is not None) == (task == "check")

    scene(fleet, act)


# --- drives that come and go --------------------------------------------------------------------------------


def test_a_drive_that_comes_back_waits_for_its_fleet_again(fleet: Fleet) -> None:
    """Its agent needs a minute to order a check, which takes seconds where the sweep takes hours."""

    async def play() -> None:
        async with running(fleet.desk):
            await fleet.desk.send(fleet.bay.event())
            assert isinstance(fleet.assess(), Postponed)
            fleet.bay.vanish()
            await fleet.desk.send(fleet.bay.event("remove"))
            waits = fleet.desk.supervisor._waits
            now_s = time.time()
            waits._now = lambda: now_s + 30 * 86400
            shutil.rmtree(fleet.bay.controller)
            fleet.bay = Bay(fleet.desk.host, FIRST)
            await fleet.desk.send(fleet.bay.event())
            assert isinstance(fleet.assess(), Postponed)

    asyncio.run(play())


def test_a_drive_that_may_not_be_swept_any_more_reports_nothing(fleet: Fleet) -> None:
    """Its node would claim a sweep for it, which never comes."""

    def act() -> None:
        fleet.drive.target = RAW
        supervisor = fleet.desk.supervisor
        supervisor._publisher.refresh(fleet.drive)
        assert fleet.report("presence")
        fleet.drive.target, fleet.drive.publication = None, Publication.NONE
        supervisor._publisher.refresh(fleet.drive)
        assert fleet.spool.reports() == ()

    scene(fleet, act)


# --- what is true -------------------------------------------------------------------------------------------


def test_the_result_that_the_fleet_gives_counts_not_that_of_a_bundle(fleet: Fleet) -> None:
    """The generations of a bundle are those of another fleet, and a pin of this one would not be taken."""

    def act() -> None:
        fleet.drive.target = RAW
        other = class_result(9, POINTS[7], hardware_class=fleet.hardware_class, write=None, combined=None)
        folder = fleet.desk.config.profiles / "models.d"
        folder.mkdir()
        (folder / "vendor.json").write_text(dump([STRANGER.sign(other)]))
        fleet.desk.supervisor._fleet.look()
        decided = fleet.desk.supervisor._publisher.decide(fleet.drive)
        assert getattr(decided.publish.read, "setting", None) == POINTS[7]
        fleet.order("check", 2, POINTS[5])
        decided = fleet.desk.supervisor._publisher.decide(fleet.drive)
        assert decided.against
        assert decided.against.evidence.fleet_generation == 2
        assert getattr(decided.publish.read, "setting", None) == POINTS[5]

    scene(fleet, act)


def test_a_check_against_another_drive_of_the_node_confirms_no_generation(fleet: Fleet) -> None:
    """That drive may have kept the default, which was no slower on it, so that nothing was measured of the class's."""

    def act() -> None:
        fleet.drive.target = RAW
        publisher, key = fleet.desk.supervisor._publisher, fleet.hardware_class
        own = fleet.measured(DEFAULT_SETTING, checked_against="class", fleet_class=key, fleet_generation=3)
        other = replace(own, device=replace(own.device, name="nvme-Model_One_S2_1", id="nvme.2"))
        assert publisher.save(other)
        job = fleet.desk.supervisor._scheduler._job(fleet.drive, publisher.decide(fleet.drive))
        assert job.against
        assert job.against.device.name == other.device.name
        assert isinstance(fleet.conclude(wire.Done(text=render(own), points=rows(DEFAULT_SETTING))), Finished)
        assert fleet.report("check") is None

    scene(fleet, act)


def test_a_vague_figure_of_the_own_settings_is_reported(fleet: Fleet) -> None:
    def act() -> None:
        fleet.drive.target = RAW
        assert fleet.desk.supervisor._publisher.save(fleet.measured(POINTS[2]))
        fleet.order("check", 4, POINTS[5])
        points = rows(POINTS[2], POINTS[5])
        points["read"][0][-2] = 0  # the lower limit of one measurement, rounded
        refused = wire.Disagreed(reason="read: vague", text=render(fleet.measured(POINTS[2])), points=points)
        assert isinstance(fleet.conclude(refused), Finished)
        assert fleet.report("check")
        assert fleet.desk.supervisor.snapshot().troubles == ()

    scene(fleet, act)
