"""The fields of what the daemon logs, from a drive's coming to its going."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import identity
from aio_tuned.formatting import size
from aio_tuned.journald.events import EventId
from aio_tuned.profiles.codec import render
from aio_tuned.service import memory_fit, state_machine
from aio_tuned.service.state_machine import DriveState, Stage, SweepRequest
from aio_tuned.service.step_log import _EVENT_IDS
from aio_tuned.service.worker import messages as wire
from aio_tuned.service.worker.memory import AvailableMemory
from aio_tuned.service.worker.messages import Job
from unit.support.builders import profile
from unit.support.desk import Bay, Desk, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.service.drive import Drive
    from aio_tuned.service.supervisor import Supervisor

REQUEST = SweepRequest(sweep="full", profiled=False, mounted=False, reason="it has never been measured")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, Config(settle=60.0, min_retry=300.0))


def told(caplog: pytest.LogCaptureFixture, *event_ids: EventId) -> list[dict[str, str]]:
    """The fields of the records of these kinds, or of all that have an id; each without what all have."""
    ids = {each.value: each for each in event_ids or EventId}
    found = [vars(record) for record in caplog.records if getattr(record, "MESSAGE_ID", "") in ids]
    for each in found:
        assert each["AIO_TUNED_EVENT"] == ids[each["MESSAGE_ID"]].name.lower().replace("_", "-")
    return [{key: value for key, value in each.items() if key.startswith("AIO_TUNED_")} for each in found]


def of_sweep(desk: Desk, act: Callable[[Supervisor, Drive, Job], None]) -> Bay:
    """Let that happen to a drive while it is swept, and say which it was."""
    bay = Bay(desk.host)

    async def go() -> None:
        async with running(desk):
            await desk.send(bay.event())
            drive = desk.supervisor._inventory.drives[bay.sys_name]
            drive.state = DriveState(stage=Stage.SWEEPING, reason=REQUEST.reason, request=REQUEST)
            job = Job(
                device=drive.device,
                config=desk.config,
                seed=1,
                helper=None,
                checkpoint=desk.config.state / "journal",
                ledger=desk.config.state / "ledger",
            )
            act(desk.supervisor, drive, job)
            drive.state = DriveState(stage=Stage.PUBLISHED, reason="over")  # no worker is to be ended

    asyncio.run(go())
    return bay


def end_sweep(supervisor: Supervisor, drive: Drive, job: Job, final: wire.Final) -> None:
    event = supervisor._scheduler.conclude(drive, job, final)
    assert event is not None
    supervisor.emit(drive, event)


def test_a_drive_comes_and_goes(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bay = Bay(desk.host)

    async def go() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await desk.send(bay.event("remove"))

    asyncio.run(go())
    came, published, gone, withdrawn = told(caplog)
    name = came["AIO_TUNED_DEVICE"]
    assert came == {
        "AIO_TUNED_EVENT": "drive-appeared",
        "AIO_TUNED_DEVICE": name,
        "AIO_TUNED_NODE": f"/dev/{bay.sys_name}",
        "AIO_TUNED_SIZE_BYTES": str(1 << 30),
    }
    assert published == {
        "AIO_TUNED_EVENT": "profile-published",
        "AIO_TUNED_DEVICE": name,
        "AIO_TUNED_STATE": "provisional",
        "AIO_TUNED_PROFILE": str(desk.config.profiles / f"{name}.toml"),
    }
    assert gone == {
        "AIO_TUNED_EVENT": "drive-gone",
        "AIO_TUNED_DEVICE": name,
        "AIO_TUNED_NODE": f"/dev/{bay.sys_name}",
    }
    assert withdrawn == {"AIO_TUNED_EVENT": "profile-withdrawn", "AIO_TUNED_DEVICE": name}


def test_a_note_about_the_drive_is_logged_and_shown(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    notes: list[str] = []

    def act(supervisor: Supervisor, drive: Drive, _: Job) -> None:
        supervisor._scheduler.receive(drive, wire.Noted(text="/dev/x: 64 MiB at offset 0 were zeroed"))
        notes.append(drive.note)

    of_sweep(desk, act)
    assert notes == ["/dev/x: 64 MiB at offset 0 were zeroed"]
    assert "/dev/x: 64 MiB at offset 0 were zeroed" in caplog.text


def test_a_drop_of_the_page_cache_is_counted_at_once(desk: Desk) -> None:
    counted: list[int] = []

    def act(supervisor: Supervisor, drive: Drive, _: Job) -> None:
        supervisor._scheduler.receive(drive, wire.Dropped())
        (seen,) = supervisor.snapshot().drives
        counted.append(seen.page_cache_drops)

    of_sweep(desk, act)
    assert counted == [1]


@pytest.mark.parametrize(("free_mib", "transfer_mib"), [(1024, 256), (200, 64), (40, 0)])
def test_a_sweep_is_fitted_into_the_memory_or_waits(desk: Desk, free_mib: int, transfer_mib: int) -> None:
    def act(supervisor: Supervisor, drive: Drive, job: Job) -> None:
        scheduler = supervisor._scheduler
        scheduler._available_memory = lambda: AvailableMemory(free_bytes=free_mib << 20, where="in control group /a")
        fitted = memory_fit.fitted(drive, job, scheduler._available_memory())
        short = f"memory: {size(free_mib << 20)} available in control group /a, but a sweep needs 448M; "
        if isinstance(fitted, state_machine.Deferred):
            assert transfer_mib == 0
            assert fitted.reason == drive.short_of_memory
            assert fitted.seconds == 5 * desk.config.min_retry
        else:
            assert fitted.config.transfer_bytes == transfer_mib << 20
        assert drive.short_of_memory.startswith(short) is (transfer_mib < 256)
        assert drive.short_of_memory.endswith("; until then the sweep uses transfers of 64M") is (transfer_mib == 64)
        scheduler._available_memory = lambda: None
        assert memory_fit.fitted(drive, job, scheduler._available_memory()) == job
        assert drive.short_of_memory == ""

    of_sweep(desk, act)


BUSY = wire.Deferred(reason="other processes make 30 requests/s on the drive", seconds=300.0, busy=True)


@pytest.mark.parametrize("patience", [3600.0, None])
def test_a_drive_that_is_never_quiet_is_swept_beside_others_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, patience: float | None
) -> None:
    desk = Desk(tmp_path, Config(settle=60.0, patience=patience))

    def act(supervisor: Supervisor, drive: Drive, job: Job) -> None:
        scheduler, hour = supervisor._scheduler, [0.0]
        scheduler._waits.monotonic = lambda: 3600.0 * hour[0]
        decision = supervisor._publisher.decide(drive)
        for hour[0] in (0.0, 0.5):
            scheduler.conclude(drive, job, BUSY)
            assert (drive.never_quiet, scheduler._job(drive, decision).never_quiet) == ("", "")
        scheduler.conclude(drive, job, wire.Failed(reason="an error", exit_code=1))
        hour[0] = 25.0
        if patience is None:
            scheduler.conclude(drive, job, BUSY)
        beside = scheduler._job(drive, decision)
        assert beside.never_quiet == ("" if patience is None else BUSY.reason)
        assert drive.never_quiet == f"busy at every check for 25 h: {BUSY.reason}"
        scheduler.conclude(drive, beside, wire.Failed(reason="all was tainted", exit_code=1))
        scheduler.conclude(drive, job, BUSY)
        assert drive.never_quiet, "it is not swept yet"
        assert scheduler._job(drive, decision).never_quiet == "", "once"
        scheduler.conclude(drive, beside, wire.Done(text=render(profile())))
        assert (drive.never_quiet, scheduler._waits.busy(drive.device.id)) == ("", None)

    of_sweep(desk, act)
    assert caplog.text.count("busy at every check for 25 h") == 1


def test_a_deferral_for_heat_is_no_wait_for_others(desk: Desk) -> None:
    def act(supervisor: Supervisor, drive: Drive, job: Job) -> None:
        supervisor._scheduler.conclude(drive, job, wire.Deferred(reason="it is 84 °C", seconds=300.0))
        assert supervisor._scheduler._waits.busy(drive.device.id) is None

    of_sweep(desk, act)


def test_a_sweep_that_starts_pauses_and_goes_on(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def act(supervisor: Supervisor, drive: Drive, _: Job) -> None:
        supervisor._scheduler.receive(drive, wire.Started(where="raw device /dev/x, 1 GiB"))
        supervisor._scheduler.receive(drive, wire.Paused(reason="others use the drive"))
        supervisor._scheduler.receive(drive, wire.Paused(reason=""))

    bay = of_sweep(desk, act)
    started, paused, resumed = told(caplog, EventId.SWEEP_STARTED, EventId.SWEEP_PAUSED, EventId.SWEEP_RESUMED)
    assert started["AIO_TUNED_WHERE"] == "raw device /dev/x, 1 GiB"
    assert paused["AIO_TUNED_REASON"] == "others use the drive"
    assert "AIO_TUNED_REASON" not in resumed
    assert {each["AIO_TUNED_NODE"] for each in (started, paused, resumed)} == {f"/dev/{bay.sys_name}"}


def test_a_finished_sweep_tells_its_figures(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def act(supervisor: Supervisor, drive: Drive, job: Job) -> None:
        info = identity.info(drive.device)
        made = profile(device=info, fingerprint=identity.fingerprint(drive.device, "", os.uname().release))
        end_sweep(supervisor, drive, job, wire.Done(text=render(made)))

    of_sweep(desk, act)
    (finished,) = told(caplog, EventId.SWEEP_FINISHED)
    measured = profile()
    assert finished["AIO_TUNED_READ_BYTES_PER_S"] == str(measured.read.throughput_bytes_per_s)  # type: ignore[union-attr]
    assert finished["AIO_TUNED_WRITE_BYTES_PER_S"] == str(measured.write.throughput_bytes_per_s)  # type: ignore[union-attr]
    assert finished["AIO_TUNED_POINTS"] == str(measured.evidence.points_measured)
    assert finished["AIO_TUNED_STAGE"] == "published"
    assert [each["AIO_TUNED_STATE"] for each in told(caplog, EventId.PROFILE_PUBLISHED)] == [
        "provisional",
        "measured",
    ]


@pytest.mark.parametrize(
    ("final", "event_id", "expected"),
    [
        (
            wire.Failed(reason="EIO at 4096", exit_code=74),
            EventId.SWEEP_FAILED,
            {"STAGE": "failed", "REASON": "EIO at 4096", "EXIT_CODE": "74", "RETRY_S": "300"},
        ),
        (
            wire.Deferred(reason="quiet hours", seconds=90.0),
            EventId.SWEEP_DEFERRED,
            {"STAGE": "queued", "REASON": "quiet hours", "RETRY_S": "90"},
        ),
    ],
)
def test_a_sweep_without_a_result(
    desk: Desk, caplog: pytest.LogCaptureFixture, final: wire.Final, event_id: EventId, expected: dict[str, str]
) -> None:
    caplog.set_level(logging.INFO)
    of_sweep(desk, lambda supervisor, drive, job: end_sweep(supervisor, drive, job, final))
    (found,) = told(caplog, event_id)
    assert {f"AIO_TUNED_{key}": value for key, value in expected.items()}.items() <= found.items()
    failed = [record.levelno for record in caplog.records if getattr(record, "MESSAGE_ID", "") == event_id.value]
    assert failed == [logging.WARNING if event_id is EventId.SWEEP_FAILED else logging.INFO]


def test_a_drive_that_is_stopped_or_left_alone(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bay = Bay(desk.host)

    async def go() -> None:
        async with running(desk):
            await desk.send(bay.event())
            drive = desk.supervisor._inventory.drives[bay.sys_name]
            desk.supervisor.emit(drive, state_machine.Ineligible(reason="it is swap"))
            name = drive.device.name
            await desk.supervisor.answer({"do": "stop", "name": name})

    asyncio.run(go())
    skipped, stopped = told(caplog, EventId.SWEEP_SKIPPED, EventId.SWEEP_STOPPED)
    assert (skipped["AIO_TUNED_STAGE"], skipped["AIO_TUNED_REASON"]) == ("skipped", "it is swap")
    assert stopped["AIO_TUNED_REASON"].startswith("stopped by the operator")


def test_what_has_no_id_names_its_drive_all_the_same(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    of_sweep(desk, lambda *_: None)
    (settling,) = (record for record in caplog.records if record.getMessage().endswith("settling: drive found"))
    assert not hasattr(settling, "MESSAGE_ID")
    assert vars(settling)["AIO_TUNED_STAGE"] == "settling"
    assert vars(settling)["AIO_TUNED_DEVICE"]


@pytest.mark.parametrize(
    ("event", "event_id"),
    [
        (state_machine.Finished(reason="swept"), EventId.SWEEP_FINISHED),
        (state_machine.Ineligible(reason="swap"), EventId.SWEEP_SKIPPED),
        (state_machine.Failed(reason="EIO"), EventId.SWEEP_FAILED),
        (state_machine.Deferred(reason="busy", seconds=60), EventId.SWEEP_DEFERRED),
        (state_machine.Postponed(request=REQUEST, seconds=60), EventId.SWEEP_DEFERRED),
        (state_machine.Stopped(reason="asked for"), EventId.SWEEP_STOPPED),
        (state_machine.Appeared(reason="new"), None),
        (state_machine.Satisfied(reason="nothing has changed"), None),
        (state_machine.SweepDue(request=REQUEST), None),
        (state_machine.Dispatched(), None),
        (state_machine.Retry(), None),
    ],
)
def test_which_steps_have_a_message_id(event: state_machine.Event, event_id: EventId | None) -> None:
    assert _EVENT_IDS.get(type(event)) is event_id
