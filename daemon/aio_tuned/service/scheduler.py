"""The schedule of sweeps: one drive at a time, each in a worker process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.journald.events import EventId
from aio_tuned.profiles import codec
from aio_tuned.profiles.replacement import lost_by, with_curves
from aio_tuned.profiles.siblings import check_settings, find_siblings, own_settings
from aio_tuned.service import memory_fit
from aio_tuned.service.patience import Patience
from aio_tuned.service.state_machine import (
    Appeared,
    Deferred,
    Failed,
    Finished,
    Postponed,
    Retry,
    Satisfied,
    Stage,
    SweepDue,
    SweepRequest,
    first_in_line,
)
from aio_tuned.service.status import Sweeping
from aio_tuned.service.worker import memory, messages
from aio_tuned.service.worker.messages import Job
from aio_tuned.service.worker.process import Runner
from aio_tuned.service.write_ledger import ledger_path
from aio_tuned.storage import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aio_tuned.config.load import Config
    from aio_tuned.model.profile import Profile
    from aio_tuned.profiles.decision import Decision
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.fleet_gate import FleetGate
    from aio_tuned.service.publisher import Publisher
    from aio_tuned.service.state_machine import Event
    from aio_tuned.service.waits import Waits
    from aio_tuned.service.worker.memory import AvailableMemory
    from aio_tuned.service.worker.messages import Final, Message
    from aio_tuned.service.write_ledger import Ledger

_log = logging.getLogger(__name__)

# A check of a sibling's settings gets this share of a sweep's time budget.
_CHECK_SHARE = 0.2


class Scheduler:
    """The scheduler, which runs the sweep of one drive at a time, `current`.

    It calls `ended` at the end of a sweep with the event for its drive, or None if the sweep was cancelled;
    `progressed` when a sweep has advanced, `dropped` when it has dropped the host's page cache, and `changed` when it
    has begun, paused or resumed.
    """

    def __init__(  # noqa: PLR0913 - what it asks, what it counts by, and whom it tells
        self,
        publisher: Publisher,
        config: Callable[[], Config],
        helper: Path | None,
        ledger: Ledger,
        waits: Waits,
        fleet: FleetGate,
        *,
        ended: Callable[[Drive, Event | None], None],
        progressed: Callable[[], None],
        dropped: Callable[[Drive], None],
        changed: Callable[[], None],
    ) -> None:
        self.current: Drive | None = None
        self._publisher = publisher
        self._config = config
        self._helper = helper
        self._ledger = ledger
        self._waits = waits
        self._fleet = fleet
        self._patience = Patience(config, waits)
        self._ended = ended
        self._progressed = progressed
        self._dropped = dropped
        self._changed = changed
        self._available_memory: Callable[[], AvailableMemory | None] = memory.available_memory
        self._worker: Runner | None = None
        self._sweep: asyncio.Task[Final | None] | None = None

    def assess(self, drive: Drive) -> Satisfied | SweepDue | Postponed:
        """Return whether a sweep of the drive is due; the drive must be probed and eligible."""
        decision = self._publisher.decide(drive)
        if decision.sweep == "none":
            drive.asked = False
            return Satisfied(reason=decision.reason)
        request = SweepRequest(
            sweep=decision.sweep,
            profiled=self._publisher.measured(drive) is not None,
            mounted=drive.target is not None and drive.target.kind == "scratch",
            reason=decision.reason,
        )
        host_s = self._host_wait_s(drive, decision)
        wait_s = host_s or decision.wait_s
        drive.waits_for_fleet = bool(wait_s) and not host_s
        if not wait_s:
            return SweepDue(request=request)
        at = (datetime.now(timezone.utc) + timedelta(seconds=wait_s)).isoformat(timespec="seconds")
        reason = f"{decision.reason}; sweeps without the fleet at {at}"
        if host_s:
            reason = f"{decision.reason}; waits: changed host, one drive a day; next at {at}"
        return Postponed(request=replace(request, reason=reason), seconds=wait_s)

    def released(self, drives: Iterable[Drive]) -> tuple[tuple[Drive, Event], ...]:
        """Return the drives that need not wait any more, or wait for something else, each with its event.

        A sibling that was swept again on the changed host makes others fit for a check, and a fleet has new orders.
        """
        found: list[tuple[Drive, Event]] = []
        for drive in (each for each in drives if each.target):
            if drive.state.resting:
                decided = self._publisher.decide(drive)
                if _is_released(drive, decided):
                    found.append((drive, Retry()))
                elif drive.waits_for_fleet and not drive.state.reason.startswith(decided.reason):
                    found.append((drive, self.assess(drive)))  # the operator reads what it waits for now
            elif drive.state.stage is Stage.PUBLISHED and self._fleet.desk:
                decided = self._publisher.decide(drive)
                if decided.for_fleet:
                    found.append((drive, Appeared(reason=decided.reason)))
        return tuple(found)

    def _host_wait_s(self, drive: Drive, decision: Decision) -> float:
        """Return the seconds until the drive may have its full sweep, 0 if now: one drive a day for the host's sake.

        Checks, and sweeps that the operator has requested, do not wait.
        """
        full = decision.sweep == "full" or bool(self._patience.exceeded(drive))
        limited = decision.host_only and full and not drive.asked
        return self._waits.turn_wait_s(drive.device.id) if limited else 0.0

    def next(self, drives: Iterable[Drive]) -> Drive | None:
        """Return the drive to sweep now; None if a sweep is running or no drive is queued."""
        if self.current:
            return None
        return first_in_line({drive: drive.state for drive in drives})

    def start(self, drive: Drive) -> None:
        """Start the sweep of the drive; no other sweep may be running."""
        self.current = drive
        drive.scratch_folder = drive.target.path if drive.target and drive.target.kind == "scratch" else None
        self._sweep = asyncio.ensure_future(self._run(drive))

    def cancel(self, drive: Drive) -> None:
        """End the drive's sweep if it is running; its checkpoint keeps the measurements."""
        if self._worker and self.current is drive:
            asyncio.ensure_future(self._worker.close())  # noqa: RUF006 - _run waits for the worker's end

    def sweep_of(self, drive: Drive) -> asyncio.Task[Final | None] | None:
        """Return the drive's running sweep as a task, whose result is the worker's last message; None without one."""
        return self._sweep if self.current is drive else None

    def forget(self, drive: Drive) -> None:
        """Remove the checkpoint from which a later sweep of the drive would continue."""
        with contextlib.suppress(OSError):
            self._checkpoint(drive).unlink(missing_ok=True)

    async def close(self, extend: Callable[[float], None]) -> None:
        """End the running sweep; call `extend` with the seconds that this may still take if a device is zeroed."""
        if self._worker:
            await self._worker.close(extend)
        if self._sweep:
            self._sweep.cancel()

    # --- one sweep ---------------------------------------------------------------------------------------------

    async def _run(self, drive: Drive) -> Final | None:
        """Run one worker from its start to its end, even if the drive is removed; return its last message."""
        final: Final | None = None
        event: Event | None = None
        try:
            # The decision is made again, because a sibling or the drive may have been measured since it was queued.
            decision = self._publisher.decide(drive)
            if decision.sweep == "none" or decision.wait_s or self._host_wait_s(drive, decision):
                event = Appeared(reason=decision.reason)
            else:
                job = self._job(drive, decision)
                if decision.host_only and job.settings is None and not drive.asked:
                    self._waits.take_turn(drive.device.id)
                final, event = await self._work(drive, job)
        except Exception:  # noqa: BLE001 - a bug that one drive triggers must not stop the sweeps of other drives
            _log.exception("%s: sweep failed: internal error", drive.device.sys_name, extra=drive.fields())
            if self._worker:
                await self._worker.close()
            if drive.is_swept:
                event = Failed(reason="internal error of aio-tuned; see journalctl -u aio-tuned")
        finally:
            self._worker = None
            self.current = None
        self._ended(drive, event)
        return final

    async def _work(self, drive: Drive, job: Job) -> tuple[Final | None, Event | None]:
        fitted = memory_fit.fitted(drive, job, self._available_memory())
        if isinstance(fitted, Deferred):
            return None, fitted
        job = fitted
        try:
            self._worker = await Runner.start(job, partial(self.receive, drive))
        except OSError as error:
            return None, Failed(reason=f"worker process cannot be started: {error.strerror}")
        if not drive.is_swept:  # cancelled while the worker was starting
            await self._worker.close()
        final = await self._worker.result()
        return final, self.conclude(drive, job, final)

    def _checkpoint(self, drive: Drive) -> Path:
        return layout.checkpoint_file(self._config().state, drive.device.name)

    def _job(self, drive: Drive, decision: Decision) -> Job:
        config, settings, never_quiet = self._config(), None, ""
        own = self._publisher.measured(drive)
        # A drive whose own profile is valid can wait without end.
        if not decision.for_fleet and (wait := self._patience.exceeded(drive)):
            never_quiet = wait.traffic
            self._patience.report(drive, wait)
        if not never_quiet and decision.sweep == "check" and decision.against:
            settings = check_settings(decision.against, own)
            config = replace(config, time_budget=config.time_budget * _CHECK_SHARE)
        # The seed stays the same over restarts, so that a sweep can be resumed, and changes after each sweep.
        seed = zlib.crc32(f"{drive.device.name} {own.evidence.measured_at if own else ''}".encode())
        return Job(
            device=drive.device,
            config=config,
            seed=seed,
            helper=self._helper,
            checkpoint=self._checkpoint(drive),
            ledger=ledger_path(config.state),
            settings=settings,
            against=decision.against if settings else None,
            others=find_siblings(drive.device, self._publisher.catalog()),
            never_quiet=never_quiet,
            before=own_settings(own),
            keeps_own=decision.for_fleet,
        )

    def receive(self, drive: Drive, message: Message) -> None:
        """Process a message that the worker sends during the sweep."""
        was = drive.sweeping or Sweeping(doing="starting", share=0.0, left_s=0.0, best_bytes_per_s=0.0, written_bytes=0)
        match message:
            case messages.Progress():
                drive.sweeping = Sweeping(
                    doing=message.doing,
                    share=message.share,
                    left_s=message.left_s,
                    best_bytes_per_s=message.best_bytes_per_s,
                    written_bytes=message.written_bytes,
                )
                self._progressed()
            case messages.Paused(reason=reason):
                drive.sweeping = replace(was, paused=reason)
                extra = drive.fields(EventId.SWEEP_PAUSED if reason else EventId.SWEEP_RESUMED, reason=reason)
                _log.info("%s: %s", drive.device.sys_name, f"paused: {reason}" if reason else "resumed", extra=extra)
                self._changed()
            case messages.Unrecorded(hour=hour, count=count):
                self._ledger.take_over(drive.device.id, hour, count)
                self._changed()
            case messages.Dropped():
                self._dropped(drive)
            case messages.Noted(text=text):
                drive.note = text
                _log.warning("%s", text, extra=drive.fields())
                self._changed()
            case messages.Started(where=where, folder=folder):
                drive.scratch_folder = Path(folder) if folder else None
                drive.sweeping = replace(was, doing=where)
                extra = drive.fields(EventId.SWEEP_STARTED, where=where)
                _log.info("%s: sweeping: %s", drive.device.sys_name, where, extra=extra)
                self._changed()

    def conclude(self, drive: Drive, job: Job, final: Final) -> Event | None:
        """Save the profile of a finished sweep, and return the event for its drive.

        Save the profile even if the sweep was cancelled, and return None then.
        """
        self._patience.note(drive, job, final)
        match final:
            case messages.Done():
                return self._take(drive, job, final)
            case _ if not drive.is_swept:
                _log.info("%s: sweep cancelled", drive.device.sys_name, extra=drive.fields())
            case messages.Disagreed():
                return self._refuse(drive, job, final)
            case messages.Deferred(reason=reason, seconds=seconds):
                return Deferred(reason=reason, seconds=seconds)
            case messages.Failed(reason=reason, exit_code=code):
                if drive.state.failures:
                    # The checkpoint may be the cause of two failures in a row.
                    self.forget(drive)
                return Failed(reason=reason, exit_code=int(code))
        return None

    def _take(self, drive: Drive, job: Job, final: messages.Done) -> Finished | None:
        """Save a measured profile, unless that loses what the drive has, and return the event for the drive."""
        own = self._publisher.measured(drive) if job.keeps_own else None
        measured = with_curves(codec.parse(final.text), own)
        if final.trouble:
            _log.warning("%s: %s", drive.device.sys_name, final.trouble, extra=drive.fields())
        lost = lost_by(measured, own) if own else ""
        if lost or self._publisher.save(measured):
            self.forget(drive)
        self._fleet.tell_result(drive, job, final)
        if not drive.is_swept:
            return None
        drive.full_sweep_reason, drive.asked = "", False
        said = f"keeps its own settings, not those measured for its fleet: {lost}" if lost else _describe(measured, job)
        return Finished(reason=said, measured=None if lost else measured)

    def _refuse(self, drive: Drive, job: Job, final: messages.Disagreed) -> Event:
        """Return the event of a check that does not confirm the sibling: a full sweep, unless its own profile holds."""
        self.forget(drive)
        is_told = self._fleet.tell_result(drive, job, final)
        if job.keeps_own:
            reason = f"keeps its own settings: {final.reason}"
            return Finished(reason=reason) if is_told else Failed(reason=reason)
        if is_told and final.text:  # the fleet orders the sweep when it is the rack's turn
            return Appeared(reason=final.reason)
        drive.full_sweep_reason = final.reason
        request = SweepRequest(sweep="full", profiled=False, mounted=bool(drive.uses), reason=final.reason)
        return SweepDue(request=request)


def _is_released(drive: Drive, decided: Decision) -> bool:
    return not decided.wait_s if drive.waits_for_fleet else decided.host_only and decided.sweep == "check"


def _describe(measured: Profile, job: Job) -> str:
    evidence = measured.evidence
    measurement = f"{evidence.points_measured} settings measured in {formatting.duration(evidence.seconds)}"
    return f"settings of {job.against.device.name} confirmed: {measurement}" if job.against else measurement
