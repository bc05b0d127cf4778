"""The daemon's loop, the only place that steps the drives' state machines and carries out their effects.

Inventory, scheduler, operator and timers pass (drive, event) pairs, which all go through `_apply`.
docs/explanation/architecture.md follows one event.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned import __version__
from aio_tuned.devices import sysfs
from aio_tuned.errors import AioTunedError
from aio_tuned.reader.lookup import find_disk
from aio_tuned.service import heartbeat, state_machine
from aio_tuned.service.device_troubles import DeviceTroubles
from aio_tuned.service.export_files import ExportFiles
from aio_tuned.service.fleet_gate import FleetGate
from aio_tuned.service.inventory import Inventory, Look, now
from aio_tuned.service.look_queue import LookQueue
from aio_tuned.service.monitoring import snapshot
from aio_tuned.service.monitoring.status_publisher import StatusPublisher
from aio_tuned.service.mount_listener import MountListener
from aio_tuned.service.operator import Operator
from aio_tuned.service.publisher import Publisher
from aio_tuned.service.scheduler import Scheduler
from aio_tuned.service.state_machine import Backoff, Failed, Finished
from aio_tuned.service.step_log import log_step
from aio_tuned.service.sweep_counter import PAGE_CACHE_DROP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.devices.mount_monitor import MountWatch
    from aio_tuned.devices.udev_monitor import EventSource
    from aio_tuned.model.profile import Profile
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.monitoring.snapshot import DriveSnapshot, Snapshot
    from aio_tuned.service.sd_notify import Notify
    from aio_tuned.service.state_machine import Effect, Event
    from aio_tuned.service.sweep_counter import SweepCounter
    from aio_tuned.service.waits import Waits
    from aio_tuned.service.write_ledger import Ledger
    from aio_tuned.storage.profile_store import ProfileStore

_log = logging.getLogger(__name__)


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
        waits: Waits,
        helper: Path | None = None,
        sys: Path = sysfs.SYS,
        proc: Path = Path("/proc"),
        mounts_pause_s: float = 0.1,
    ) -> None:
        self._config = config
        self._load_config = load_config
        self._source = source
        self._notify = notify
        self._store = store
        self._ledger = ledger
        self._sweep_counter = sweep_counter
        self._waits = waits
        self._since = now()
        self._broken = self._config_trouble = ""
        self._stopped = asyncio.Event()
        self._troubles = DeviceTroubles()
        self._status = StatusPublisher(self.snapshot, notify)
        self._inventory = Inventory(source, self._current_config, store.register, sys, proc)
        self._looks = LookQueue(self._inventory.take, self._take, self._troubles)
        self._mounts = MountListener(mount_watch, mounts_pause_s, self._on_mounts)
        self._exports = ExportFiles(self._current_config, partial(find_disk, sys=sys, proc=proc), self._status.changed)
        store.publishing = self._exports.publishing
        self._fleet = FleetGate(self._current_config, waits)
        self._publisher = Publisher(store, self._current_config, self._fleet, self._status.changed)
        self._scheduler = Scheduler(
            self._publisher,
            self._current_config,
            helper,
            ledger,
            waits,
            self._fleet,
            ended=self.emit,
            progressed=self._status.progressed,
            dropped=lambda drive: sweep_counter.count(drive.device.id, PAGE_CACHE_DROP),
            changed=self._status.changed,
        )
        self._operator = Operator(self._inventory, self._scheduler, self.emit, self._publisher.forget)

    def _current_config(self) -> Config:
        return self._config

    # --- start and stop --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Manage the drives until `stop` is called, then end the running sweep.

        Raise AioTunedError if device events can no longer be received.
        """
        loop = asyncio.get_running_loop()
        await self._exports.begin()  # before any profile is published
        self._publisher.adopt_published()  # first, because the scan may replace a published profile
        for look in self._inventory.scan():
            self._take(look)
        self._publisher.withdraw_absent(self._inventory.names_present())
        loop.add_reader(self._source.fileno(), self._on_devices)
        self._mounts.start()
        await self._exports.update()
        beat = heartbeat.beat(self._notify, self._status, partial(self._looks.want, "system", self._glance))
        tasks = [asyncio.ensure_future(work) for work in (beat, self._looks.follow(), self._exports.follow())]
        self._status.begin()
        self._notify.ready()
        if self._source.trouble:
            _log.warning("%s", self._source.trouble)
        count = len(self._inventory.drives)
        _log.info("started: managing %d drive%s", count, "" if count == 1 else "s")
        try:
            await self._stopped.wait()
            if self._broken:
                raise AioTunedError(self._broken)
        finally:
            self._notify.stopping()
            for task in tasks:
                task.cancel()
            loop.remove_reader(self._source.fileno())
            self._mounts.stop()
            for drive in self._inventory.drives.values():
                drive.stop_waiting()
            self._publisher.close()
            self._exports.close()
            await self._scheduler.close(self._notify.extend)
            self._status.close()

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()

    def reload(self) -> None:
        """Read the configuration again, and examine every drive; keep the present one if the new one is invalid."""
        self._notify.reloading()
        self._looks.want("configuration", self._reload)

    def _reload(self) -> Iterator[Look]:
        try:
            self._config = self._load_config()
            self._config_trouble = ""
            _log.info("configuration reloaded")
        except AioTunedError as error:
            self._config_trouble = f"configuration not reloaded: {error}; the previous one stays in use"
            _log.error("%s", self._config_trouble)
        with self._troubles.noted("configuration"):
            yield from self._inventory.reconsider()
            yield from self._refresh(self._inventory.drives.values())  # an override may have changed
        self._status.changed()
        self._exports.look(everything=True, then=self._notify.ready)

    async def answer(self, request: Mapping[str, Any]) -> str:
        """Carry out the operator's request and return a sentence; raise UsageError, TargetError or BusyError."""
        return await self._operator.answer(request)

    # --- sources of events -------------------------------------------------------------------------------------

    def _on_devices(self) -> None:
        try:
            events = self._source.drain()
        except OSError as error:
            # Without events the daemon is useless, so it ends, and systemd restarts it.
            self._broken = f"device events cannot be received: {error}; restart the daemon"
            asyncio.get_running_loop().remove_reader(self._source.fileno())
            self.stop()
            return
        if self._source.overrun:
            _log.warning("device events lost: rescanning all drives")
        self._looks.add(self._inventory.lost(events) if self._source.overrun else events)

    def _on_mounts(self) -> None:
        self._looks.want("mounts", self._inventory.compare_uses)
        self._exports.look()

    def _glance(self) -> Iterator[Look]:
        """Look for devices and verdicts that have changed without an event."""
        self._publisher.review()
        self._looks.add(self._inventory.missed())
        self._exports.look(everything=True)
        yield from self._inventory.compare_facts()
        if self._fleet.look():
            yield from self._refresh_waiting()

    def _take(self, look: Look) -> None:
        """Apply the changes of one device; record any error, so that it does not affect other devices."""
        errors = self._troubles.count
        with self._troubles.noted(look.sys_name):
            self._apply(look.changes)
        self._exports.look()
        if self._troubles.count == errors:
            self._troubles.clear(look.sys_name)

    def emit(self, drive: Drive, event: Event | None) -> None:
        """Apply one event to a drive; None, at the end of a cancelled sweep, only starts the next one."""
        self._apply([(drive, event)] if event else [])

    async def _probe(self, drive: Drive) -> None:
        """Probe a drive that has settled, and emit an event with the result."""
        event: Event
        try:
            event = await self._inventory.probe(drive) or self._scheduler.assess(drive)
        except Exception:  # noqa: BLE001 - after any error the drive needs a next event
            _log.exception("%s: probe failed: internal error", drive.device.sys_name, extra=drive.fields())
            event = Failed(reason="internal error of aio-tuned; see journalctl -u aio-tuned")
        self.emit(drive, event)

    # --- steps -------------------------------------------------------------------------------------------------

    def _apply(self, changes: Iterable[tuple[Drive, Event]]) -> None:
        """Step the drives' state machines, publish their profiles, and start the next sweep if none is running."""
        try:
            for drive, event in changes:
                with self._troubles.noted(drive.device.sys_name):
                    self._step(drive, event)
                    if not drive.removed:
                        self._publisher.refresh(drive)
                if isinstance(event, Finished):
                    self._looks.want("siblings", self._refresh_waiting)
        finally:
            if not self._stopped.is_set() and (waiting := self._scheduler.next(self._inventory.drives.values())):
                self._step(waiting, state_machine.Dispatched())

    def _refresh_waiting(self) -> Iterator[Look]:
        drives = self._inventory.drives.values()
        for change in self._scheduler.released(drives):
            yield Look(sys_name=change[0].device.sys_name, changes=[change])
        yield from self._refresh(self._publisher.waiting(drives))

    def _refresh(self, drives: Iterable[Drive]) -> Iterator[Look]:
        """Update the published profiles of the drives."""

        def refreshed(drive: Drive) -> Iterator[tuple[Drive, Event]]:
            if not drive.removed:
                self._publisher.refresh(drive)
            yield from ()

        for drive in list(drives):
            yield Look(sys_name=drive.device.sys_name, changes=refreshed(drive))

    def _step(self, drive: Drive, event: Event) -> None:
        """Step the drive's state machine, and carry out the effects."""
        if drive.removed:
            return
        state, effects = state_machine.step(drive.state, event, Backoff.from_config(self._config))
        if state is drive.state:
            return
        if end := state_machine.sweep_end(drive.state, event):
            self._sweep_counter.count(drive.device.id, end)
        drive.stop_waiting()
        if state is None:
            drive.removed = True
        else:
            if state.stage is not drive.state.stage:
                drive.since = now()
            drive.state = state
            drive.sweeping = None
            log_step(drive, event, state, effects)
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

    # --- status ------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the daemon's present state."""
        current = self._scheduler.current
        catalog = self._publisher.catalog()
        # The drives come before the troubles, because reading their figures retries failed writes of the counters.
        drives = [self._seen(drive, catalog) for drive in self._inventory.drives.values()]
        troubles = (
            self._config_trouble,
            self._source.trouble,
            *self._troubles.sentences,
            *self._store.troubles.values(),
            self._ledger.trouble,
            self._sweep_counter.trouble,
            self._waits.trouble,
            *self._status.troubles,
            *self._exports.troubles,
            *self._fleet.troubles,
        )
        return snapshot.Snapshot(
            version=__version__,
            pid=os.getpid(),
            since=self._since,
            config=self._config,
            swept=current.device.sys_name if current else "",
            drives=tuple(seen for seen in drives if seen),
            exports=self._exports.statuses,
            troubles=tuple(trouble for trouble in troubles if trouble),
        )

    def _seen(self, drive: Drive, catalog: tuple[Profile, ...]) -> DriveSnapshot | None:
        """Return the state of one drive; None if reading it fails."""
        with self._troubles.noted(f"status of {drive.device.sys_name}"):
            return snapshot.of_drive(
                drive,
                catalog,
                self._store,
                self._ledger,
                self._sweep_counter,
                is_swept=drive is self._scheduler.current,
            )
        return None
