"""The host changes under drives that were measured: one drive a day is swept again, the others wait and say so."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import identity, resolve
from aio_tuned.profiles.codec import render
from aio_tuned.profiles.files import load_profile
from aio_tuned.service.state_machine import DriveState, Postponed, Satisfied, Stage, SweepDue, SweepRequest
from aio_tuned.service.worker import messages as wire
from aio_tuned.storage.profile_store import ProfileStore
from unit.support.builders import evidence, scratch_target
from unit.support.builders import profile as known_profile
from unit.support.desk import FIRST, Bay, Desk, running

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.profile import Profile
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.scheduler import Scheduler

RAW = scratch_target(kind="device", filesystem="", no_write="not mounted")
CHANGED = "policy for transparent huge pages changed from madvise to always"
WAITS = re.compile(f"{CHANGED}; waits: changed host, one drive a day; next at (.*)")


def set_thp(desk: Desk, policy: str) -> None:
    folder = desk.host.sys / "kernel/mm/transparent_hugepage"
    folder.mkdir(parents=True, exist_ok=True)
    words = (f"[{each}]" if each == policy else each for each in ("always", "madvise", "never"))
    (folder / "enabled").write_text(" ".join(words) + "\n")


def profile_now(desk: Desk, bay: Bay) -> Profile:
    """The profile of the drive as it and the host are now."""
    drive = resolve.read_device(bay.number, desk.host.sys, desk.host.proc)
    fingerprint = identity.fingerprint(drive, "", os.uname().release)
    made = replace(known_profile(), device=identity.info(drive), fingerprint=fingerprint)
    return replace(made, evidence=evidence(kernel=os.uname().release))


def keep(desk: Desk, made: Profile) -> None:
    assert ProfileStore(desk.config.profiles, desk.config.state).save(made)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path, Config(settle=60.0, min_retry=300.0))
    set_thp(made, "madvise")
    return made


@pytest.fixture
def bays(desk: Desk) -> list[Bay]:
    """Three drives of one model that were measured before the host changed."""
    made = [Bay(desk.host, FIRST + place) for place in range(3)]
    for bay in made:
        keep(desk, profile_now(desk, bay))
    set_thp(desk, "always")
    return made


def scheduler_of(desk: Desk) -> Scheduler:
    return desk.supervisor._scheduler


def drive_of(desk: Desk, bay: Bay) -> Drive:
    return desk.supervisor._inventory.drives[bay.sys_name]


def assess(desk: Desk, bay: Bay) -> Satisfied | SweepDue | Postponed:
    drive = drive_of(desk, bay)
    drive.target = RAW
    return scheduler_of(desk).assess(drive)


def probed(desk: Desk, bay: Bay) -> None:
    """Emit what a probe that finds the drive eligible leads to; the nodes of these drives do not exist."""
    desk.supervisor.emit(drive_of(desk, bay), assess(desk, bay))


async def end_of_sweep(desk: Desk) -> None:
    """Wait until the worker has found that the drive's node does not exist."""
    if sweep := scheduler_of(desk)._sweep:
        await sweep


def finish(desk: Desk, bay: Bay, final: wire.Final) -> None:
    """End a sweep of the drive with this message."""
    drive, scheduler = drive_of(desk, bay), scheduler_of(desk)
    request = SweepRequest(sweep="full", profiled=True, mounted=False, reason=CHANGED)
    drive.state = DriveState(stage=Stage.SWEEPING, reason=CHANGED, request=request)
    event = scheduler.conclude(drive, scheduler._job(drive, desk.supervisor._publisher.decide(drive)), final)
    assert event
    desk.supervisor.emit(drive, event)


async def swept_again(desk: Desk, bay: Bay) -> None:
    """The drive is swept on the changed host."""
    probed(desk, bay)
    await end_of_sweep(desk)
    finish(desk, bay, wire.Done(text=render(profile_now(desk, bay))))
    assert desk.drives()[bay.sys_name].published == "measured"


def test_one_drive_is_swept_and_the_others_wait_and_say_so(desk: Desk, bays: list[Bay]) -> None:
    first, *others = bays

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            for bay in bays:
                probed(desk, bay)
            assert desk.drives()[first.sys_name].stage == "sweeping"
            assert [desk.drives()[bay.sys_name].stage for bay in others] == ["queued", "queued"]
            await end_of_sweep(desk)
            # The sweep has failed, so that no sibling can be checked against it; it may be tried again.
            assert desk.drives()[first.sys_name].stage == "failed"
            assert isinstance(assess(desk, first), SweepDue)
            for bay in others:
                # It was queued before the first had the turn; now it is looked at again.
                await end_of_sweep(desk)
                if desk.drives()[bay.sys_name].stage == "settling":
                    probed(desk, bay)
                shown = desk.drives()[bay.sys_name]
                found = WAITS.fullmatch(shown.reason)
                assert found, shown.reason
                assert (shown.stage, shown.published, shown.next_try) == ("queued", "stale", found[1])
                day = timedelta(days=1)
                assert abs(datetime.now(timezone.utc) + day - datetime.fromisoformat(found[1])) < timedelta(minutes=5)
                published = load_profile(desk.config.profiles / f"{shown.name}.toml")
                assert published.evidence.findings[-1] == CHANGED
                assert drive_of(desk, bay).timer

    asyncio.run(scene())


def test_the_day_outlasts_a_restart(desk: Desk, bays: list[Bay]) -> None:
    first, second, _ = bays

    async def before() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            probed(desk, first)
            await end_of_sweep(desk)

    async def after() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            assert isinstance(assess(desk, second), Postponed)
            assert isinstance(assess(desk, first), SweepDue)

    asyncio.run(before())
    desk.restart()
    asyncio.run(after())


def test_a_drive_that_is_due_for_its_own_sake_does_not_wait(desk: Desk, bays: list[Bay]) -> None:
    first, second, third = bays

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            probed(desk, first)
            await end_of_sweep(desk)
            (second.controller / "firmware_rev").write_text("F2\n")
            await desk.send(second.event("change"))
            due = assess(desk, second)
            assert isinstance(due, SweepDue)
            assert due.request.reason == f"firmware changed from F1 to F2, {CHANGED}"
            assert isinstance(assess(desk, third), Postponed)

    asyncio.run(scene())


@pytest.mark.parametrize("force", [False, True])
def test_what_the_operator_asks_for_does_not_wait_and_leaves_the_turn(desk: Desk, bays: list[Bay], force: bool) -> None:
    first, second, third = bays

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            name = drive_of(desk, second).device.name
            await desk.supervisor.answer({"do": "retune", "name": name, "force": force})
            probed(desk, second)
            assert desk.drives()[second.sys_name].stage == "sweeping"
            await end_of_sweep(desk)
            assert isinstance(assess(desk, third), SweepDue), "the turn is free"
            probed(desk, first)
            await end_of_sweep(desk)
            assert isinstance(assess(desk, third), Postponed)
            assert isinstance(assess(desk, second), SweepDue), "still asked for"
            finish(desk, second, wire.Done(text=render(profile_now(desk, second))))
            assert not drive_of(desk, second).asked

    asyncio.run(scene())


def test_a_waiting_drive_is_checked_once_its_sibling_was_swept_again(desk: Desk, bays: list[Bay]) -> None:
    first, second, third = bays

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            probed(desk, first)
            await end_of_sweep(desk)
            for bay in (second, third):
                probed(desk, bay)
                assert desk.drives()[bay.sys_name].reason.startswith(f"{CHANGED}; waits: ")
            finish(desk, first, wire.Done(text=render(profile_now(desk, first))))
            await desk.settle(4)
            for bay in (second, third):
                assert desk.drives()[bay.sys_name].stage == "settling", "it need not wait for tomorrow"
            due = assess(desk, second)
            assert isinstance(due, SweepDue)
            assert due.request.sweep == "check"
            # The check does not confirm, so the drive waits for its turn after all.
            finish(desk, second, wire.Disagreed(reason="check against X: slower"))
            await end_of_sweep(desk)
            waits = assess(desk, second)
            assert isinstance(waits, Postponed)
            assert waits.request.reason.startswith("check against X: slower; waits: changed host")
            due = assess(desk, third)
            assert isinstance(due, SweepDue)
            assert due.request.sweep == "check"

    asyncio.run(scene())


def test_a_drive_whose_host_is_as_before_does_not_wait(desk: Desk, bays: list[Bay]) -> None:
    first, second, _ = bays

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            await swept_again(desk, first)
            set_thp(desk, "madvise")
            await desk.glance()
            assert desk.drives()[second.sys_name].published == "measured"
            assert isinstance(assess(desk, second), Satisfied)

    asyncio.run(scene())


def test_a_change_without_an_event_is_found_at_a_glance(desk: Desk) -> None:
    bay = Bay(desk.host)
    keep(desk, profile_now(desk, bay))

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            probed(desk, bay)
            await desk.glance()
            shown = desk.drives()[bay.sys_name]
            assert (shown.stage, shown.published) == ("published", "measured")
            set_thp(desk, "always")
            await desk.glance()
            shown = desk.drives()[bay.sys_name]
            assert (shown.stage, shown.published, shown.reason) == ("settling", "stale", "changed: host")
            due = assess(desk, bay)
            assert isinstance(due, SweepDue)
            assert due.request.reason == CHANGED

    asyncio.run(scene())


def test_a_drive_that_is_never_quiet_is_not_swept_out_of_turn(desk: Desk, bays: list[Bay]) -> None:
    """Its sweep beside other processes replaces a check, so that it is a full one."""
    first, second, _ = bays

    async def scene() -> None:
        async with running(desk):
            await desk.send(*(bay.event() for bay in bays))
            await swept_again(desk, first)
            scheduler, hour = scheduler_of(desk), [0.0]
            scheduler._waits.monotonic = lambda: 3600.0 * hour[0]
            busy = wire.Deferred(reason="others make 30 requests/s", seconds=300.0, busy=True)
            finish(desk, second, busy)
            assert isinstance(assess(desk, second), SweepDue)
            hour[0] = 24.0
            assert isinstance(assess(desk, second), Postponed)

    asyncio.run(scene())


def test_the_patience_outlasts_a_restart(desk: Desk) -> None:
    bay = Bay(desk.host)
    hours = iter([0.0, 20.0])

    async def scene(last: bool) -> None:
        async with running(desk):
            await desk.send(bay.event())
            scheduler, drive = scheduler_of(desk), drive_of(desk, bay)
            decision = desk.supervisor._publisher.decide(drive)
            now_s = 3600.0 * next(hours)
            begun_s = scheduler._waits.monotonic()
            scheduler._waits.monotonic = lambda: begun_s + now_s
            if not last:
                drive.state = DriveState(stage=Stage.SWEEPING, reason="x")
                job = scheduler._job(drive, decision)
                for now_s in (0.0, 3600.0 * 10):  # noqa: B007 - the clock reads it
                    scheduler.conclude(drive, job, wire.Deferred(reason="others read", seconds=300.0, busy=True))
                drive.state = DriveState(stage=Stage.PUBLISHED, reason="over")
                assert scheduler._job(drive, decision).never_quiet == ""
            else:
                assert scheduler._job(drive, decision).never_quiet == "others read"
                assert drive.never_quiet == "busy at every check for 30 h: others read"

    asyncio.run(scene(last=False))
    desk.restart()
    asyncio.run(scene(last=True))
