"""Mover: the daemon's loop. Events of devices, mounts and the operator go in; sweeps, profiles and a status come out.

What becomes of a drive is decided in lifecycle.py, what is published and swept in prior.py; here it is only done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned import __version__, formatting
from aio_tuned.config import device_rules
from aio_tuned.devices import identity, mountinfo, resolve, sysfs
from aio_tuned.devices.probe import PROBE_LIMIT_S, ProbeResult, probe
from aio_tuned.errors import AioTunedError, BusyError, Exit, TargetError, UsageError
from aio_tuned.journald.events import EventId, fields, figures
from aio_tuned.model.target import Skip, Target
from aio_tuned.profiles import codec
from aio_tuned.profiles import decision as profiles_decision
from aio_tuned.profiles.siblings import check_settings, find_siblings
from aio_tuned.service import state_machine, status
from aio_tuned.service.monitoring.snapshot import DriveSnapshot, Snapshot
from aio_tuned.service.monitoring.status_publisher import StatusPublisher
from aio_tuned.service.state_machine import (
    Backoff,
    Deferred,
    DriveState,
    Effect,
    Event,
    Failed,
    Finished,
    Ineligible,
    Stage,
    Stopped,
    SweepRequest,
)
from aio_tuned.service.worker import messages as wire
from aio_tuned.service.worker.messages import Final, Job, Message
from aio_tuned.service.worker.process import Runner
from aio_tuned.service.write_ledger import Ledger, ledger_path
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.devices.mount_monitor import MountWatch
    from aio_tuned.devices.udev_monitor import DeviceEvent, EventSource
    from aio_tuned.model.device import Device, Mount
    from aio_tuned.model.profile import Profile
    from aio_tuned.profiles.decision import Decision
    from aio_tuned.service.sd_notify import Notify
    from aio_tuned.service.sweep_counter import SweepCounter
    from aio_tuned.storage.profile_store import ProfileStore

_OF_STEP: dict[type, EventId] = {
    Finished: EventId.SWEEP_FINISHED,
    Ineligible: EventId.SWEEP_SKIPPED,
    Failed: EventId.SWEEP_FAILED,
    Deferred: EventId.SWEEP_DEFERRED,
    Stopped: EventId.SWEEP_STOPPED,
}


def _event_of_step(event: Event) -> EventId | None:
    """What a step of a drive's life is in the journal; None: on the way from one event_id to the next."""
    return _OF_STEP.get(type(event))


_log = logging.getLogger(__name__)

# How often limits that change without an event (a scheduler written to /sys) are looked at, with the watchdog's beat.
_GLANCE_S = 60.0

_CHECK_SHARE = 0.2


@dataclass(slots=True, kw_only=True)
class _Drive:
    """One disk or volume that is there."""

    device: Device
    life: DriveState
    since: str
    uses: frozenset[tuple[str, bool, str]] = frozenset()
    target: Target | None = None
    shown: Profile | None = None
    full_because: str = ""
    timer: asyncio.TimerHandle | None = None
    looking: asyncio.Task[None] | None = None
    next_try: str = ""
    sweeping: status.Sweeping | None = None
    written_bytes: int = 0

    def rest(self) -> None:
        """Stop waiting for anything."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.looking and self.looking is not asyncio.current_task():
            self.looking.cancel()
        self.looking = None
        self.next_try = ""

    def fields(self, event_id: EventId | None = None, **known: object) -> dict[str, str]:
        """The `extra` of a log record about it."""
        return fields(event_id, self.device.name, self.device.node, **known)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Supervisor:
    """Everything between the events and the adapters. `run` returns when `stop` has been called."""

    def __init__(  # noqa: PLR0913 - the adapters
        self,
        config: Config,
        *,
        load_config: Callable[[], Config],
        source: EventSource,
        mount_watch: MountWatch,
        notify: Notify,
        shelf: ProfileStore,
        ledger: Ledger,
        tally: SweepCounter,
        helper: Path | None = None,
        sys: Path = sysfs.SYS,
        proc: Path = Path("/proc"),
    ) -> None:
        self._config = config
        self._load_config = load_config
        self._source = source
        self._broken = ""
        self._mount_watch = mount_watch
        self._notify = notify
        self._shelf = shelf
        self._ledger = ledger
        self._tally = tally
        self._helper = helper
        self._sys = sys
        self._proc = proc
        self._release = os.uname().release
        self._since = _now().isoformat(timespec="seconds")
        self._drives: dict[str, _Drive] = {}
        self._runner: Runner | None = None
        self._swept = ""
        self._sweep: asyncio.Task[Final | None] | None = None
        self._config_trouble = ""
        self._shelf_due: asyncio.TimerHandle | None = None
        self._shelf_failures = 0
        self._stopped = asyncio.Event()
        self._bulletin = StatusPublisher(self._snapshot, notify)

    # --- beginning and end -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch until `stop` is called, then end what is going on. AioTunedError if it cannot watch any more."""
        loop = asyncio.get_running_loop()
        table = mountinfo.read(self._proc)
        for event in self._source.enumerate():
            self._see(event, table)
        self._withdraw_absent()
        loop.add_reader(self._source.fileno(), self._on_devices)
        loop.add_reader(self._mount_watch.fileno(), self._on_mounts)
        beat = asyncio.ensure_future(self._beat())
        self._bulletin.begin()
        self._notify.ready()
        _log.info("watching; %d drives are there", len(self._drives))
        try:
            await self._stopped.wait()
            if self._broken:
                raise AioTunedError(self._broken)
        finally:
            self._notify.stopping()
            beat.cancel()
            loop.remove_reader(self._source.fileno())
            loop.remove_reader(self._mount_watch.fileno())
            for drive in self._drives.values():
                drive.rest()
            if self._shelf_due:
                self._shelf_due.cancel()
            if self._runner:
                await self._runner.close(self._notify.extend)
            if self._sweep:
                self._sweep.cancel()
            self._bulletin.close()

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()

    def reload(self) -> None:
        """Read the configuration again, and look at every drive again; one that is wrong changes nothing."""
        self._notify.reloading()
        try:
            self._config = self._load_config()
            self._config_trouble = ""
            _log.info("the configuration was read again")
        except AioTunedError as error:
            self._config_trouble = f"the old configuration is still in use: {error}"
            _log.error("%s", self._config_trouble)
        self._reread()
        self._bulletin.changed()
        self._notify.ready()

    async def _beat(self) -> None:
        """The only thing that wakes an idle daemon: the watchdog, and with it a glance at what has no events."""
        pause = self._notify.watchdog_s or _GLANCE_S
        loop = asyncio.get_running_loop()
        glanced = loop.time()
        while True:
            self._notify.watchdog()
            self._bulletin.beat()
            if loop.time() - glanced >= _GLANCE_S:
                glanced = loop.time()
                self._glance()
            await asyncio.sleep(pause)

    def _glance(self) -> None:
        """A scheduler written to /sys makes no event, nor does a filesystem that the kernel makes read-only."""
        self._compare_uses()
        for drive in list(self._drives.values()):
            if drive.shown and drive.life.stage is not Stage.SWEEPING:
                with contextlib.suppress(TargetError, ValueError):
                    device = self._device(drive.device.device_number)
                    if _who(device) == _who(drive.device):  # else it has gone, and its event is on the way
                        self._compare(drive, device)

    # --- devices come and go -----------------------------------------------------------------------------------

    def _on_devices(self) -> None:
        try:
            events = self._source.drain()
        except OSError as error:
            # Better to begin anew, as systemd does with us, than to watch nothing.
            self._broken = f"events of devices cannot be received any more: {error}"
            asyncio.get_running_loop().remove_reader(self._source.fileno())
            self.stop()
            return
        table = mountinfo.read(self._proc)
        if self._source.overrun:
            _log.warning("events of devices were lost: all are looked at again")
            present = {event.sys_name for event in events}
            for sys_name in [name for name in self._drives if name not in present]:
                self._leave(sys_name)
        for event in events:
            self._see(event, table)
        self._pump()

    def _see(self, event: DeviceEvent, table: tuple[Mount, ...]) -> None:
        """Take in one event; an error with one device must not keep the others from being seen."""
        try:
            if event.is_partition:
                self._see_partition(event)
            elif event.action == "remove":
                self._leave(event.sys_name)
            elif event.initialized:
                self._see_disk(event, table)
        except TargetError as error:
            _log.debug("%s: %s", event.sys_name, error)  # it has gone already, and its event is on the way
        except (AioTunedError, OSError, ValueError) as error:
            _log.warning("%s: %s", event.sys_name, error)

    def _see_partition(self, event: DeviceEvent) -> None:
        """What a disk is used for changes with its partitions; a sweep that has begun does not mind."""
        if event.action not in ("add", "remove"):
            return
        for sys_name, drive in list(self._drives.items()):
            if _disk_of(event.sys_name) == sys_name and drive.life.stage is not Stage.SWEEPING:
                self._feed(sys_name, state_machine.Appeared(reason=f"partition {event.sys_name}: {event.action}"))

    def _device(self, number: str) -> Device:
        return resolve.device_of(number, self._sys)

    def _see_disk(self, event: DeviceEvent, table: tuple[Mount, ...]) -> None:
        device = self._device(event.device_number)
        known = self._drives.get(device.sys_name)
        if known and _who(known.device) != _who(device):
            self._leave(device.sys_name)
            known = None
        if device.size_bytes == 0:
            # A volume that is not assembled yet, a card reader, a loop device without a file.
            if known:
                self._leave(device.sys_name)
            return
        if known is None:
            self._arrive(device, table)
            return
        self._compare(known, device)

    def _compare(self, drive: _Drive, device: Device) -> None:
        """Whoever closes a device after a write makes udev send "change", and so do we: only some changes count."""
        before, drive.device = drive.device, device
        changed = [
            what
            for what, old, new in (
                ("size", before.size_bytes, device.size_bytes),
                ("block format", before.logical_block_bytes, device.logical_block_bytes),
                ("read-only flag", before.read_only, device.read_only),
                ("firmware", before.firmware, device.firmware),
                ("members", before.members, device.members),
                ("limits of the request queue", before.queue, device.queue),
            )
            if old != new
        ]
        if not changed:
            return
        # At once: one that the operator has stopped is not looked at again.
        self._show_anew(drive)
        self._feed(device.sys_name, state_machine.Appeared(reason=f"changed: {', '.join(changed)}"))
        if before.members != device.members:
            self._look_again((*before.members, *device.members), f"{device.sys_name} has other members now")

    def _arrive(self, device: Device, table: tuple[Mount, ...]) -> None:
        members = resolve.members(device, self._sys)
        unwanted = device_rules.wanted(device, members, self._config.match)
        # Its members are not swept behind its back.
        self._look_again(device.members, f"{device.sys_name} has been built on it")
        if device.hidden or (unwanted and not device_rules.of_interest(device, members, self._config.match)):
            return
        extra = fields(EventId.DRIVE_APPEARED, device.name, device.node, size_bytes=device.size_bytes)
        _log.info("%s: %s is there", device.sys_name, device.name, extra=extra)
        reason = "it has just appeared"
        drive = _Drive(device=device, life=DriveState(stage=Stage.SETTLING, reason=reason), since=self._moment())
        drive.uses = self._uses(device, table)
        self._drives[device.sys_name] = drive
        self._feed(device.sys_name, state_machine.Appeared(reason=reason))
        if skip := self._unwanted(drive):
            self._feed(device.sys_name, state_machine.Ineligible(reason=skip.reason))
            return
        self._show(drive, self._judge(drive).publish)

    def _leave(self, sys_name: str) -> None:
        drive = self._drives.get(sys_name)
        if drive is None:
            return
        _log.info("%s: %s has gone", sys_name, drive.device.name, extra=drive.fields(EventId.DRIVE_GONE))
        self._feed(sys_name, state_machine.Removed())
        self._look_again(drive.device.members, f"{sys_name}, which was built on it, has gone")
        if sibling := self._of_name(drive.device.name):
            self._look_again((sibling,), f"{sys_name}, which said that it was the same drive, has gone")
        self._bulletin.changed()

    def _look_again(self, sys_names: tuple[str, ...], reason: str) -> None:
        for sys_name in sys_names:
            if sys_name in self._drives:
                self._feed(sys_name, state_machine.Appeared(reason=reason))

    def _of_name(self, name: str) -> str:
        """The drive that has this name, "" if none has."""
        return next((key for key, drive in self._drives.items() if drive.device.name == name), "")

    def _withdraw_absent(self) -> None:
        """Whatever happened to profiles while no daemon ran: readers find none of a drive that is not there."""
        present = {drive.device.name for drive in self._drives.values()}
        for number in (entry.name for entry in (self._sys / "dev/block").iterdir()):
            with contextlib.suppress(TargetError, ValueError, OSError):
                if sysfs.whole_disk(number, self._sys) == number:
                    present.add(self._device(number).name)
        self._shelf.withdraw_absent(present)
        self._mind_shelf()

    def _reread(self) -> None:
        """See every device as if for the first time, but let sweeps of drives that are still wanted go on."""
        table = mountinfo.read(self._proc)
        for sys_name, drive in list(self._drives.items()):
            if drive.life.stage is Stage.SWEEPING and not self._unwanted(drive):
                continue
            self._feed(sys_name, state_machine.Appeared(reason="the configuration was read again"))
        for drive in self._drives.values():
            self._show_anew(drive)  # an override may have changed
        for event in self._source.enumerate():
            self._see(event, table)

    def _unwanted(self, drive: _Drive) -> Skip | None:
        name = drive.device.name
        if (sibling := self._of_name(name)) != drive.device.sys_name:
            return Skip(reason=f"{sibling} says that it is the same drive ({name}): only one can have the profile")
        return device_rules.wanted(drive.device, resolve.members(drive.device, self._sys), self._config.match)

    # --- mounts ------------------------------------------------------------------------------------------------

    def _uses(self, device: Device, table: tuple[Mount, ...]) -> frozenset[tuple[str, bool, str]]:
        """What of the device is mounted: (number, read-only, filesystem). Binding it once more changes nothing."""
        numbers = {device.device_number, *sysfs.partitions(device.device_number, self._sys).values()}
        return frozenset(
            (number, mount.read_only, mount.filesystem)
            for mount in table
            if (number := resolve.number_of(mount, self._sys)) in numbers
        )

    def _on_mounts(self) -> None:
        if self._mount_watch.changed():
            self._compare_uses()
            self._pump()

    def _compare_uses(self) -> None:
        table = mountinfo.read(self._proc)
        for sys_name, drive in list(self._drives.items()):
            try:
                uses = self._uses(drive.device, table)
            except TargetError:
                continue  # it has gone, and its event is on the way
            if uses != drive.uses:
                drive.uses = uses
                self._show_anew(drive)
                self._feed(sys_name, state_machine.Appeared(reason="mounted" if uses else "unmounted"))

    # --- the life of a drive -----------------------------------------------------------------------------------

    @property
    def _backoff(self) -> Backoff:
        return Backoff(first_s=self._config.min_retry, max_s=self._config.max_retry)

    def _feed(self, sys_name: str, event: Event, **known: object) -> None:
        """Let the event happen to the drive, and do what follows from it. `known` goes into the record's fields."""
        drive = self._drives.get(sys_name)
        if drive is None:
            return
        life, effects = state_machine.step(drive.life, event, self._backoff)
        if life is drive.life:
            return
        if outcome := state_machine.sweep_end(drive.life, event):
            self._tally.count(drive.device.id, outcome)
        drive.rest()
        if life is None:
            del self._drives[sys_name]
        else:
            if life.stage is not drive.life.stage:
                drive.since = self._moment()
            drive.life = life
            drive.sweeping = None
            level = logging.WARNING if life.stage is Stage.FAILED else logging.INFO
            waits = next(
                (round(effect.seconds) for effect in effects if isinstance(effect, state_machine.RetryIn)), None
            )
            known |= {"stage": life.stage.value, "reason": life.reason, "retry_s": waits}
            extra = drive.fields(_event_of_step(event), **known)
            _log.log(level, "%s: %s: %s", sys_name, life.stage.value, life.reason, extra=extra)
        for effect in effects:
            self._do(sys_name, drive, effect)
        self._bulletin.changed()

    def _do(self, sys_name: str, drive: _Drive, effect: Effect) -> None:
        loop = asyncio.get_running_loop()
        match effect:
            case state_machine.Settle():
                drive.timer = loop.call_later(self._config.settle, self._look, sys_name)
            case state_machine.RetryIn(seconds=seconds):
                drive.next_try = (_now() + timedelta(seconds=seconds)).isoformat(timespec="seconds")
                drive.timer = loop.call_later(seconds, self._feed, sys_name, state_machine.Retry())
            case state_machine.StartSweep():
                self._sweep = asyncio.ensure_future(self._run_sweep(sys_name, drive))
            case state_machine.CancelSweep():
                if self._runner and self._swept == sys_name:
                    asyncio.ensure_future(self._runner.close())  # noqa: RUF006 - _run_sweep waits for its end
            case state_machine.Withdraw():
                if not self._of_name(drive.device.name):  # a sibling's profile stays
                    self._shelf.withdraw(drive.device.name)
                    self._mind_shelf()

    def _look(self, sys_name: str) -> None:
        """The drive has settled: find out what it is used for, without blocking."""
        if drive := self._drives.get(sys_name):
            drive.timer = None
            drive.looking = asyncio.ensure_future(self._decide(sys_name, drive))

    async def _decide(self, sys_name: str, drive: _Drive) -> None:
        ask = partial(probe, drive.device.node, self._config, sys=self._sys, proc=self._proc)
        event: Event
        try:
            event = self._follow(drive, await within(PROBE_LIMIT_S, in_thread(ask)))
        except TooLateError:
            event = state_machine.Failed(reason=f"it has not answered for {PROBE_LIMIT_S:.0f} s; see the kernel log")
        except AioTunedError as error:
            event = state_machine.Failed(reason=str(error))
        except OSError as error:
            event = state_machine.Failed(reason=f"it cannot be looked at: {error}")
        except Exception:  # noqa: BLE001 - whatever it is, no drive may be left without a next step
            _log.exception("%s: it could not be looked at", sys_name, extra=drive.fields())
            event = state_machine.Failed(reason="an error of aio-tuned itself; see the journal")
        if self._drives.get(sys_name) is drive:
            self._feed(sys_name, event)
        self._pump()

    def _follow(self, drive: _Drive, found: ProbeResult) -> Event:
        """What follows from what a look found."""
        if found.device.diskseq != drive.device.diskseq:
            return state_machine.Failed(reason="another disk has taken its name")
        drive.device = found.device
        decision = (unwanted := self._unwanted(drive)) or found.decision
        if isinstance(decision, Skip):
            drive.target = None
            # What was measured still holds on a drive that is full just now, but not on a volume's member.
            holds = not unwanted and not found.usage.holders and self._own(drive)
            self._show(drive, self._judge(drive).publish if holds else None)
            return state_machine.Ineligible(reason=decision.reason)
        drive.target = decision
        verdict = self._judge(drive)
        self._show(drive, verdict.publish)
        if verdict.sweep == "none":
            return state_machine.Satisfied(reason=verdict.reason)
        want = SweepRequest(
            sweep=verdict.sweep,
            profiled=self._own(drive) is not None,
            mounted=decision.kind == "scratch",
            reason=verdict.reason,
        )
        return state_machine.SweepDue(want=want)

    def _own(self, drive: _Drive) -> Profile | None:
        """What was measured of this very drive; another volume may have had its name."""
        own = self._shelf.recall(drive.device.name)
        return own if own and own.device.id == drive.device.id else None

    def _judge(self, drive: _Drive) -> Decision:
        """What to publish and to sweep, by all that is known now."""
        own = self._own(drive)
        mounted = {filesystem for _, _, filesystem in drive.uses}
        filesystem = drive.target.filesystem if drive.target else mounted.pop() if len(mounted) == 1 else ""
        verdict = profiles_decision.decide(
            drive.device,
            identity.fingerprint(drive.device, filesystem, self._release),
            self._release,
            drive.target,
            own,
            self._shelf.recall_all(),
            siblings=self._config.siblings,
            kernel_change=self._config.kernel_change,
            made_by=__version__,
        )
        if drive.full_because:
            verdict = replace(verdict, sweep="full", reason=drive.full_because, against=None)
        return verdict

    def _show(self, drive: _Drive, shown: Profile | None) -> None:
        """Let readers find this profile of the drive, or none."""
        if shown:
            self._shelf.put(shown)
        elif drive.shown:
            self._shelf.withdraw(drive.device.name)
        drive.shown = shown
        self._mind_shelf()

    def _show_anew(self, drive: _Drive) -> None:
        """What readers find of the drive, by what is known now; nothing if they find nothing."""
        if drive.shown:
            self._show(drive, self._judge(drive).publish)

    def _mind_shelf(self) -> None:
        """Try again later what could not be written."""
        if not self._shelf.pending:
            self._shelf_failures = 0
        elif self._shelf_due is None:
            self._shelf_failures += 1
            wait = self._backoff.after(self._shelf_failures)
            self._shelf_due = asyncio.get_running_loop().call_later(wait, self._retry_shelf)
        self._bulletin.changed()

    def _retry_shelf(self) -> None:
        self._shelf_due = None
        self._shelf.retry()
        self._mind_shelf()

    # --- one sweep at a time -----------------------------------------------------------------------------------

    def _pump(self) -> None:
        """If nothing is swept, begin with whoever is first in line."""
        if self._swept or self._stopped.is_set():
            return
        sys_name = state_machine.first_in_line({key: drive.life for key, drive in self._drives.items()})
        if sys_name:
            self._swept = sys_name
            self._feed(sys_name, state_machine.Dispatched())

    def _journal(self, device: Device) -> Path:
        return self._config.state / "journals" / f"{device.name}.journal"

    def _job(self, drive: _Drive, verdict: Decision) -> Job:
        """The sweep that is due now: a sibling may have been measured since it was queued."""
        config, settings = self._config, None
        if verdict.sweep == "check" and verdict.against:
            settings = check_settings(verdict.against, config.grid)
            config = replace(config, time_budget=config.time_budget * _CHECK_SHARE)
        own = self._own(drive)
        # The same over restarts, so that a sweep can go on, and another one after each sweep.
        seed = zlib.crc32(f"{drive.device.name} {own.evidence.measured_at if own else ''}".encode())
        return Job(
            device=drive.device,
            config=config,
            seed=seed,
            helper=self._helper,
            checkpoint=self._journal(drive.device),
            ledger=ledger_path(config.state),
            settings=settings,
            against=verdict.against if settings else None,
            others=find_siblings(drive.device, self._shelf.recall_all()),
        )

    async def _run_sweep(self, sys_name: str, drive: _Drive) -> Final | None:
        """One worker from its start to its end, whatever becomes of the drive meanwhile; what it said last."""
        try:
            verdict = self._judge(drive)
            if verdict.sweep == "none":  # somebody has run `aio-tuned tune` meanwhile
                self._feed(sys_name, state_machine.Appeared(reason=verdict.reason))
                return None
            job = self._job(drive, verdict)
            try:
                self._runner = await Runner.start(job, partial(self._hear, drive))
            except OSError as error:
                self._feed(sys_name, state_machine.Failed(reason=f"no worker could be started: {error.strerror}"))
                return None
            if not self._is_swept(sys_name, drive):  # cancelled while it was starting
                await self._runner.close()
            final = await self._runner.result()
            self._take(sys_name, drive, job, final)
        except Exception:  # noqa: BLE001 - whatever it is, the other drives must have their turn
            _log.exception("%s: the sweep's end could not be handled", sys_name, extra=drive.fields())
            self._feed(sys_name, state_machine.Failed(reason="an error of aio-tuned itself; see the journal"))
            if self._runner:
                await self._runner.close()
            return None
        else:
            return final
        finally:
            self._runner = None
            self._swept = ""
            self._pump()

    def _hear(self, drive: _Drive, message: Message) -> None:
        """What the worker says while it works."""
        was = drive.sweeping or status.Sweeping(
            doing="starting", share=0.0, left_s=0.0, best_bytes_per_s=0.0, written_bytes=0
        )
        match message:
            case wire.Progress():
                drive.sweeping = status.Sweeping(
                    doing=message.doing,
                    share=message.share,
                    left_s=message.left_s,
                    best_bytes_per_s=message.best_bytes_per_s,
                    written_bytes=message.written_bytes,
                )
            case wire.Paused(reason=reason):
                drive.sweeping = replace(was, paused=reason)
                extra = drive.fields(EventId.SWEEP_PAUSED if reason else EventId.SWEEP_RESUMED, reason=reason)
                _log.info("%s: %s", drive.device.sys_name, f"paused: {reason}" if reason else "goes on", extra=extra)
            case wire.Started(where=where):
                drive.sweeping = replace(was, doing=where)
                extra = drive.fields(EventId.SWEEP_STARTED, where=where)
                _log.info("%s: sweeping: %s", drive.device.sys_name, where, extra=extra)
            case _:
                return
        if isinstance(message, wire.Progress):
            self._bulletin.progressed()
        else:
            self._bulletin.changed()

    def _is_swept(self, sys_name: str, drive: _Drive) -> bool:
        """Whether the drive is still there, and its sweep still wanted."""
        return self._drives.get(sys_name) is drive and drive.life.stage is Stage.SWEEPING

    def _take(self, sys_name: str, drive: _Drive, job: Job, final: Final) -> None:
        """What came of a sweep. Of one that was cancelled meanwhile only a measurement is kept."""
        there = self._is_swept(sys_name, drive)
        match final:
            case wire.Done(text=text, trouble=trouble):
                measured = codec.parse(text)
                if trouble:
                    _log.warning("%s: %s", sys_name, trouble, extra=drive.fields())
                kept = self._shelf.remember(measured)
                if kept:
                    _forget(job)
                if there:
                    drive.full_because = ""
                    self._show(drive, measured)
                    done = state_machine.Finished(reason=_outcome(measured, job))
                    self._feed(sys_name, done, **figures(measured))
                    self._show_to_siblings(drive)
            case _ if not there:
                _log.info("%s: its sweep has ended", sys_name, extra=drive.fields())
            case wire.Disagreed(reason=reason):
                _forget(job)
                drive.full_because = reason
                want = SweepRequest(sweep="full", profiled=False, mounted=bool(drive.uses), reason=reason)
                self._feed(sys_name, state_machine.SweepDue(want=want))
            case wire.Deferred(reason=reason, seconds=seconds):
                self._feed(sys_name, state_machine.Deferred(reason=reason, seconds=seconds))
            case wire.Failed(reason=reason, exit_code=code):
                if drive.life.failures:
                    # Twice in a row: what was recorded may be what makes it fail.
                    _forget(job)
                self._feed(sys_name, state_machine.Failed(reason=reason), exit_code=int(code))

    def _show_to_siblings(self, measured: _Drive) -> None:
        """Drives of the same model that wait for their turn have better settings to begin with now."""
        for drive in self._drives.values():
            waits = drive.life.stage in (Stage.SETTLING, Stage.QUEUED)
            if drive is not measured and waits and self._own(drive) is None:
                self._show(drive, self._judge(drive).publish)

    # --- the operator ------------------------------------------------------------------------------------------

    async def answer(self, request: Mapping[str, Any]) -> str:
        """Do what the operator asks for; UsageError or TargetError if that cannot be."""
        name = request.get("name")
        sys_name = self._of_name(name) if isinstance(name, str) else ""
        drive = self._drives.get(sys_name)
        if drive is None:
            raise TargetError(f"{name} is not a drive that the daemon knows; aio-tuned status lists them")
        match request.get("do"):
            case "stop":
                return await self._halt(sys_name, drive)
            case "retune":
                return self._retune(sys_name, drive, force=bool(request.get("force")))
            case unknown:
                raise UsageError(f"the daemon does not know how to {unknown!r}")

    async def _halt(self, sys_name: str, drive: _Drive) -> str:
        swept = self._sweep if self._swept == sys_name else None
        reason = f"stopped by the operator; to go on: aio-tuned retune {drive.device.name}"
        self._feed(sys_name, state_machine.Stopped(reason=reason))
        if swept:
            # Whoever asks wants to unmount: the scratch file must be gone when we answer.
            await asyncio.wait({swept})
            final = swept.result()
            if isinstance(final, wire.Failed) and final.exit_code == Exit.IO:
                raise BusyError(f"{drive.device.name}: {final.reason}")
            return f"{drive.device.name}: the sweep was ended, and nothing of it is left on the drive"
        return f"{drive.device.name}: it is not swept until aio-tuned retune, or until it is plugged in again"

    def _retune(self, sys_name: str, drive: _Drive, *, force: bool) -> str:
        if drive.life.stage is Stage.SWEEPING and not force:
            return f"{drive.device.name}: it is being swept just now"
        if drive.life.stage is Stage.PUBLISHED and not force:
            raise UsageError(f"{drive.device.name}: {drive.life.reason}; --force sweeps it all the same")
        if force:
            drive.full_because = "asked for by the operator"
            with contextlib.suppress(OSError):
                self._journal(drive.device).unlink(missing_ok=True)
        self._feed(sys_name, state_machine.Appeared(reason="asked for by the operator", asked=True))
        return f"{drive.device.name}: it is looked at again; aio-tuned status shows how it goes on"

    # --- what is told of it ------------------------------------------------------------------------------------

    @staticmethod
    def _moment() -> str:
        return _now().isoformat(timespec="seconds")

    def _snapshot(self) -> Snapshot:
        catalog = self._shelf.recall_all()
        # First: it is then that the ledger and the tally try again what they could not write.
        drives = tuple(self._seen(drive, catalog) for drive in self._drives.values())
        troubles = [
            self._config_trouble,
            *self._shelf.troubles.values(),
            self._ledger.trouble,
            self._tally.trouble,
            *self._bulletin.troubles,
        ]
        return Snapshot(
            version=__version__,
            pid=os.getpid(),
            since=self._since,
            config=self._config,
            swept=self._swept,
            drives=drives,
            troubles=tuple(trouble for trouble in troubles if trouble),
        )

    def _seen(self, drive: _Drive, catalog: tuple[Profile, ...]) -> DriveSnapshot:
        device, shown = drive.device, drive.shown
        if self._swept != device.sys_name or not drive.written_bytes:
            # During a sweep the ledger counts what is about to be written, and takes back what then was not: a counter
            # that goes down counts for Prometheus as one that began anew.
            drive.written_bytes = self._ledger.total(device.id)
        return DriveSnapshot(
            device=device,
            life=drive.life,
            since=drive.since,
            next_try=drive.next_try,
            shown=shown,
            published=self._shelf.as_read(shown) if shown else None,
            overridden=device.name in self._shelf.overridden,
            sweeping=drive.sweeping,
            siblings=find_siblings(device, catalog),
            written_today_bytes=self._ledger.written_today(device.id),
            written_bytes=drive.written_bytes,
            sweeps=self._tally.of(device.id),
        )


def _who(device: Device) -> tuple[str, str, int | None]:
    """What another disk, or a volume of another name, would have differently."""
    return device.id, device.name, device.diskseq


def _forget(job: Job) -> None:
    """Remove what a later worker would go on from."""
    with contextlib.suppress(OSError):
        job.checkpoint.unlink(missing_ok=True)


def _disk_of(partition: str) -> str:
    """The name of the disk that a partition is on, by its own: it may have gone from /sys already."""
    disk = partition.rstrip("0123456789")
    # nvme0n1p1, md0p1, loop0p1; but sda1.
    return disk[:-1] if disk[-1:] == "p" and disk[-2:-1].isdigit() else disk


def _outcome(measured: Profile, job: Job) -> str:
    how = f"checked against {job.against.device.name}" if job.against else "swept"
    return f"{how}: {measured.evidence.points_measured} points in {formatting.duration(measured.evidence.seconds)}"
