"""The daemon's loop, which alone steps the drives' state machines and carries out their effects.

Inventory, scheduler, operator and timers give it (drive, event) pairs, which all go through `_apply`.
docs/architecture.md follows one event.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned import __version__
from aio_tuned.devices import sysfs
from aio_tuned.errors import AioTunedError
from aio_tuned.journald.events import EventId, figures
from aio_tuned.service import state_machine
from aio_tuned.service.inventory import Inventory, now
from aio_tuned.service.monitoring import snapshot
from aio_tuned.service.monitoring.status_publisher import StatusPublisher
from aio_tuned.service.operator import Operator
from aio_tuned.service.publisher import Publisher
from aio_tuned.service.scheduler import Scheduler
from aio_tuned.service.state_machine import Backoff, Deferred, Failed, Finished, Ineligible, Stage, Stopped
from aio_tuned.service.sweep_counter import PAGE_CACHE_DROP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.devices.mount_monitor import MountWatch
    from aio_tuned.devices.udev_monitor import EventSource
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.monitoring.snapshot import Snapshot
    from aio_tuned.service.sd_notify import Notify
    from aio_tuned.service.state_machine import DriveState, Effect, Event
    from aio_tuned.service.sweep_counter import SweepCounter
    from aio_tuned.service.write_ledger import Ledger
    from aio_tuned.storage.profile_store import ProfileStore

_log = logging.getLogger(__name__)

# The interval at which facts that change without an event are compared, such as a scheduler written to /sys.
_COMPARE_EVERY_S = 60.0
_EVENT_IDS: dict[type, EventId] = {
    Finished: EventId.SWEEP_FINISHED,
    Ineligible: EventId.SWEEP_SKIPPED,
    Failed: EventId.SWEEP_FAILED,
    Deferred: EventId.SWEEP_DEFERRED,
    Stopped: EventId.SWEEP_STOPPED,
}


class Supervisor:
    """The daemon's parts and their connections; `run` returns after `stop` has been called."""

    def __init__(  # noqa: PLR0913 - each is a boundary that tests replace
        self,
        config: Config,
        *,
        load_config: Callable[[], Config],
        source: EventSource,
        mount_watch: MountWatch,
        notify: Notify,
        store: ProfileStore,
        ledger: Ledger,
        sweep_counter: SweepCounter,
        helper: Path | None = None,
        sys: Path = sysfs.SYS,
        proc: Path = Path("/proc"),
    ) -> None:
        self._config = config
        self._load_config = load_config
        self._source = source
        self._mount_watch = mount_watch
        self._notify = notify
        self._store = store
        self._ledger = ledger
        self._sweep_counter = sweep_counter
        self._since = now()
        self._broken = ""
        self._config_trouble = ""
        self._stopped = asyncio.Event()
        self._status = StatusPublisher(self.snapshot, notify)
        self._inventory = Inventory(source, self._current_config, store.register, sys, proc)
        self._publisher = Publisher(store, self._current_config, self._status.changed)
        self._scheduler = Scheduler(
            self._publisher,
            self._current_config,
            helper,
            ledger,
            ended=self._on_sweep_end,
            progressed=self._status.progressed,
            dropped=lambda drive: sweep_counter.count(drive.device.id, PAGE_CACHE_DROP),
            changed=self._status.changed,
        )
        self._operator = Operator(self._inventory, self._scheduler, self.emit)

    def _current_config(self) -> Config:
        return self._config

    # --- beginning and end -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Manage the drives until `stop` is called, then end the running sweep.

        Raise AioTunedError if events of devices can no longer be received.
        """
        loop = asyncio.get_running_loop()
        self._publisher.adopt_published()  # before another profile is published in the place of one of them
        self._apply(self._inventory.scan())
        self._publisher.withdraw_absent(self._inventory.names_present())
        loop.add_reader(self._source.fileno(), self._on_devices)
        loop.add_reader(self._mount_watch.fileno(), self._on_mounts)
        beat = asyncio.ensure_future(self._beat())
        self._status.begin()
        self._notify.ready()
        _log.info("watching; %d drives are there", len(self._inventory.drives))
        try:
            await self._stopped.wait()
            if self._broken:
                raise AioTunedError(self._broken)
        finally:
            self._notify.stopping()
            beat.cancel()
            loop.remove_reader(self._source.fileno())
            loop.remove_reader(self._mount_watch.fileno())
            for drive in self._inventory.drives.values():
                drive.stop_waiting()
            self._publisher.close()
            await self._scheduler.close(self._notify.extend)
            self._status.close()

    def stop(self) -> None:
        """Make `run` end."""
        self._stopped.set()

    def reload(self) -> None:
        """Read the configuration again, and reconsider every drive; an invalid configuration is not applied."""
        self._notify.reloading()
        try:
            self._config = self._load_config()
            self._config_trouble = ""
            _log.info("the configuration was read again")
        except AioTunedError as error:
            self._config_trouble = f"the old configuration is still in use: {error}"
            _log.error("%s", self._config_trouble)
        self._apply(self._inventory.reconsider())
        for drive in self._inventory.drives.values():
            self._publisher.refresh(drive)  # an override may have changed
        self._status.changed()
        self._notify.ready()

    async def answer(self, request: Mapping[str, Any]) -> str:
        """Carry out the operator's request and return a sentence; raise UsageError, TargetError or BusyError."""
        return await self._operator.answer(request)

    async def _beat(self) -> None:
        """Notify the watchdog, and compare facts that change without an event; nothing else wakes an idle daemon."""
        pause = self._notify.watchdog_s or _COMPARE_EVERY_S
        loop = asyncio.get_running_loop()
        compared = loop.time()
        while True:
            self._notify.watchdog()
            self._status.beat()
            if loop.time() - compared >= _COMPARE_EVERY_S:
                compared = loop.time()
                self._apply(self._inventory.compare_limits())
            await asyncio.sleep(pause)

    # --- where events come from --------------------------------------------------------------------------------

    def _on_devices(self) -> None:
        try:
            events = self._source.drain()
        except OSError as error:
            # The daemon ends, so that systemd restarts it, because it would not see events any more.
            self._broken = f"events of devices cannot be received any more: {error}"
            asyncio.get_running_loop().remove_reader(self._source.fileno())
            self.stop()
            return
        self._apply(self._inventory.take(events))

    def _on_mounts(self) -> None:
        if self._mount_watch.changed():
            self._apply(self._inventory.compare_uses())

    def _on_sweep_end(self, drive: Drive, event: Event | None) -> None:
        self._apply([(drive, event)] if event else [])

    def emit(self, drive: Drive, event: Event) -> None:
        """Apply one event to a drive."""
        self._apply([(drive, event)])

    async def _probe(self, drive: Drive) -> None:
        """Probe a drive that has settled, and emit the event that says whether a sweep is due."""
        event: Event
        try:
            event = await self._inventory.probe(drive) or self._scheduler.assess(drive)
        except Exception:  # noqa: BLE001 - after any error the drive needs a next event
            _log.exception("%s: it could not be looked at", drive.device.sys_name, extra=drive.fields())
            event = Failed(reason="an error of aio-tuned itself; see the journal")
        self.emit(drive, event)

    # --- the one way -------------------------------------------------------------------------------------------

    def _apply(self, changes: Iterable[tuple[Drive, Event]]) -> None:
        """Step the drives' state machines, publish the drives' profiles, and start the next sweep if none runs."""
        for drive, event in changes:
            try:
                self._step(drive, event)
                if not drive.gone:
                    self._publisher.refresh(drive)
                if isinstance(event, Finished):
                    self._publisher.refresh_waiting(self._inventory.drives.values())
            except (AioTunedError, OSError, ValueError) as error:  # an error of one drive must not affect the others
                _log.warning("%s: %s", drive.device.sys_name, error)
        if not self._stopped.is_set() and (waiting := self._scheduler.next(self._inventory.drives.values())):
            self._step(waiting, state_machine.Dispatched())

    def _step(self, drive: Drive, event: Event) -> None:
        """Step the drive's state machine, and carry out the effects."""
        if drive.gone:
            return
        state, effects = state_machine.step(drive.state, event, Backoff.from_config(self._config))
        if state is drive.state:
            return
        if end := state_machine.sweep_end(drive.state, event):
            self._sweep_counter.count(drive.device.id, end)
        drive.stop_waiting()
        if state is None:
            drive.gone = True
        else:
            if state.stage is not drive.state.stage:
                drive.since = now()
            drive.state = state
            drive.sweeping = None
            _log_step(drive, event, state, effects)
        for effect in effects:
            self._carry_out(drive, effect)
        self._status.changed()

    def _carry_out(self, drive: Drive, effect: Effect) -> None:
        loop = asyncio.get_running_loop()
        match effect:
            case state_machine.Settle():
                drive.timer = loop.call_later(self._config.settle, self._start_probe, drive)
            case state_machine.RetryIn(seconds=seconds):
                next_try = datetime.now(timezone.utc) + timedelta(seconds=seconds)
                drive.next_try = next_try.isoformat(timespec="seconds")
                drive.timer = loop.call_later(seconds, self.emit, drive, state_machine.Retry())
            case state_machine.StartSweep():
                self._scheduler.start(drive)
            case state_machine.CancelSweep():
                self._scheduler.cancel(drive)
            case state_machine.Withdraw():
                if not self._inventory.find(drive.device.name):  # else the profile is another drive's
                    self._publisher.withdraw(drive)

    def _start_probe(self, drive: Drive) -> None:
        drive.timer = None
        drive.probing = asyncio.ensure_future(self._probe(drive))

    # --- what is told of it ------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return what the daemon knows at this moment."""
        current = self._scheduler.current
        catalog = self._publisher.others()
        # The drives come first because the ledger and the counter then retry their failed writes.
        drives = tuple(
            snapshot.of_drive(drive, catalog, self._store, self._ledger, self._sweep_counter, is_swept=drive is current)
            for drive in self._inventory.drives.values()
        )
        troubles = (
            self._config_trouble,
            *self._store.troubles.values(),
            self._ledger.trouble,
            self._sweep_counter.trouble,
            *self._status.troubles,
        )
        return snapshot.Snapshot(
            version=__version__,
            pid=os.getpid(),
            since=self._since,
            config=self._config,
            swept=current.device.sys_name if current else "",
            drives=drives,
            troubles=tuple(trouble for trouble in troubles if trouble),
        )


def _log_step(drive: Drive, event: Event, state: DriveState, effects: Iterable[Effect]) -> None:
    """Log the drive's new state, with the journal's fields for the event."""
    known: dict[str, object] = {
        "stage": state.stage.value,
        "reason": state.reason,
        "retry_s": next((round(each.seconds) for each in effects if isinstance(each, state_machine.RetryIn)), None),
    }
    match event:
        case Finished(measured=measured) if measured:
            known |= figures(measured)
        case Failed(exit_code=exit_code):
            known["exit_code"] = exit_code
    level = logging.WARNING if state.stage is Stage.FAILED else logging.INFO
    extra = drive.fields(_EVENT_IDS.get(type(event)), **known)
    _log.log(level, "%s: %s: %s", drive.device.sys_name, state.stage.value, state.reason, extra=extra)
