"""The inventory of drives and their uses, which turns kernel events, mounts and configuration into drive events."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from aio_tuned.config import device_rules
from aio_tuned.devices import host, resolve, stack, sysfs
from aio_tuned.devices.clones import are_clones, find_clones
from aio_tuned.devices.mount_table import MountTable
from aio_tuned.devices.probe import NO_ANSWER, PROBE_LIMIT_S, probe
from aio_tuned.devices.udev_monitor import DeviceEvent
from aio_tuned.errors import AioTunedError, TargetError
from aio_tuned.journald.events import EventId, fields
from aio_tuned.model.device import Stack
from aio_tuned.model.target import Skip
from aio_tuned.service.device_facts import differences, disk_of_partition, identity, is_complete
from aio_tuned.service.drive import Drive, Publication
from aio_tuned.service.presence import Presence
from aio_tuned.service.state_machine import Appeared, DriveState, Failed, Ineligible, Removed, Stage
from aio_tuned.service.uses import concerns_sweep, uses
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.devices.probe import ProbeResult
    from aio_tuned.devices.udev_monitor import EventSource
    from aio_tuned.model.device import Device
    from aio_tuned.service.state_machine import Event
    from aio_tuned.storage.name_register import NameRegister

    Change = tuple[Drive, Event]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A pending examination of the device `sys_name`; each of its changes is determined when the caller takes it."""

    sys_name: str
    changes: Iterable[Change]


class Inventory:
    """The drives that are present, by the kernel's name.

    Each look at a device yields its changes as (drive, event). The caller handles each before it takes the next, so a
    disk that takes the name of another appears after the removal of that one. A look raises any error of its device.
    """

    def __init__(
        self, source: EventSource, config: Callable[[], Config], register: NameRegister, sys: Path, proc: Path
    ) -> None:
        self.drives: dict[str, Drive] = {}
        self._source = source
        self._presence = Presence(source, sys)
        self._mounts = MountTable()
        self._config = config
        self._register = register
        self._sys = sys
        self._proc = proc

    def find(self, name: str) -> Drive | None:
        """Return the drive whose profile has this name, if one has."""
        return next((drive for drive in self.drives.values() if drive.device.name == name), None)

    def names_present(self) -> set[str]:
        """Return the profile names of all disks of this machine, managed or not."""
        present = {drive.device.name for drive in self.drives.values()}
        for number in sysfs.names(self._sys / "dev/block"):
            with contextlib.suppress(Exception):  # the status reports the error
                if sysfs.whole_disk(number, self._sys) == number:
                    present.add(self._read_device(number).name)
        return present

    # --- looks at devices --------------------------------------------------------------------------------------

    def scan(self) -> Iterator[Look]:
        """Look at every disk that is present."""
        yield from self.compare_uses()
        for event in self._source.enumerate():
            yield self.take((event,))

    def take(self, events: Sequence[DeviceEvent]) -> Look:
        """Look at the device of these events, which are all of one device."""
        return Look(sys_name=events[0].sys_name, changes=self._take(events))

    def lost(self, present: Iterable[DeviceEvent]) -> tuple[DeviceEvent, ...]:
        """Return substitutes for lost events, given the events `present` of all disks that are present."""
        present = tuple(present)
        names = {event.sys_name for event in present}
        removals = (DeviceEvent(action="remove", sys_name=name, device_number="0:0") for name in self.drives)
        return (*(event for event in removals if event.sys_name not in names), *present)

    def missed(self) -> tuple[DeviceEvent, ...]:
        """Return events for the disks that were added, removed or changed without one."""
        return self._presence.missed()

    def compare_uses(self) -> Iterator[Look]:
        """Read the mounts again, and look at the drives whose use has changed."""
        before, self._mounts = self._mounts, MountTable.read(self._proc)
        disks = set()
        for number in self._mounts.differences(before):
            with contextlib.suppress(TargetError):  # the device was removed, and its event follows
                disks.add(sysfs.whole_disk(number, self._sys))
        for drive in [each for each in self.drives.values() if each.device.device_number in disks]:
            yield self._look(drive, self._compare_uses(drive, before))

    def compare_facts(self) -> Iterator[Look]:
        """Compare facts that change without an event: attributes in /sys, snapshots below, mounts during a sweep."""
        of_host = host.changeable(self._sys)
        for drive in list(self.drives.values()):
            if not drive.is_swept and not drive.removed:
                yield self._look(drive, self._compare_facts(drive, of_host))

    def reconsider(self) -> Iterator[Look]:
        """Read the facts of every device again, as if it were new; sweeps of drives that are still wanted continue."""
        for drive in list(self.drives.values()):
            if not drive.removed:
                yield self._look(drive, self._reconsider(drive))
        yield from self.scan()

    async def probe(self, drive: Drive) -> Ineligible | Failed | None:
        """Probe the drive's use in a thread.

        Return None if the drive may be swept, at `drive.target`; else Ineligible, or Failed if the probe fails or
        times out.
        """
        ask = partial(probe, drive.device.node, self._config(), sys=self._sys, proc=self._proc)
        try:
            return self._conclude(drive, await within(PROBE_LIMIT_S, in_thread(ask)))
        except TooLateError:
            return Failed(reason=NO_ANSWER)
        except AioTunedError as error:
            return Failed(reason=str(error))
        except OSError as error:
            return Failed(reason=f"cannot be read: {error}")

    def _conclude(self, drive: Drive, found: ProbeResult) -> Ineligible | Failed | None:
        if found.device.diskseq != drive.device.diskseq:
            return Failed(reason="replaced by another drive of the same kernel name")
        drive.device = self._register.named(found.device, self._sys)
        below = stack.shape(drive.device.device_number, self._sys)
        drive.shape_below = below if found.usage.stack != Stack() else None
        decision = (unwanted := self._unwanted(drive)) or found.decision
        if not isinstance(decision, Skip):
            drive.target, drive.publication = decision, Publication.ANY
            return Ineligible(reason=f"{found.busy}; the sweep starts when the array is idle") if found.busy else None
        drive.target = None
        # A measured profile stays valid while the drive is full, for example, but not while it belongs to a volume.
        if found.usage.holders:
            drive.publication = Publication.NONE
        else:
            drive.publication = _publication(drive) if unwanted else Publication.MEASURED
        return Ineligible(reason=decision.reason)

    # --- one event ---------------------------------------------------------------------------------------------

    def _take(self, events: Sequence[DeviceEvent]) -> Iterator[Change]:
        for event in events:
            if event.is_partition:
                yield from self._take_partition(event)
            elif event.action == "remove":
                self._presence.forget(event.sys_name)
                yield from self._remove(event.sys_name)
            elif event.initialized:
                self._presence.forget(event.sys_name)
                yield from self._unless_removed(event.device_number, self._take_disk(event))
                self._presence.handled(event.sys_name)

    def _look(self, drive: Drive, changes: Iterator[Change]) -> Look:
        return Look(sys_name=drive.device.sys_name, changes=self._unless_removed(drive.device.device_number, changes))

    def _unless_removed(self, number: str, changes: Iterator[Change]) -> Iterator[Change]:
        """Yield the changes; ignore a TargetError if the device was removed, as the event of its removal follows."""
        try:
            yield from changes
        except TargetError:
            if (self._sys / "dev/block" / number).exists():
                raise

    def _take_partition(self, event: DeviceEvent) -> Iterator[Change]:
        """Yield a change for the partition's disk, whose use may have changed; a running sweep is not affected."""
        change = {"add": "added", "remove": "removed"}.get(event.action)
        drive = self.drives.get(disk_of_partition(event.sys_name))
        if change and drive and drive.state.stage is not Stage.SWEEPING:
            yield drive, Appeared(reason=f"partition {event.sys_name} {change}")

    def _take_disk(self, event: DeviceEvent) -> Iterator[Change]:
        device = self._read_device(event.device_number)
        known = self.drives.get(device.sys_name)
        if known and (not is_complete(device) or identity(known.device) != identity(device)):
            yield from self._remove(device.sys_name)
            known = None
        if known:
            yield from self._compare(known, device)
        elif is_complete(device):
            yield from self._add(device)

    def _add(self, device: Device) -> Iterator[Change]:
        rules = self._config().match
        members = resolve.members(device, self._sys)
        unwanted = device_rules.wanted(device, members, rules)
        # A volume's members must not be swept while the volume uses them.
        yield from self._look_again(device.members, f"member of the new volume {device.sys_name}")
        yield from self._take_clones(device)
        if device.hidden or (unwanted and not device_rules.is_of_interest(device, rules)):
            return
        device = self._register.claim(device, self._sys)
        extra = fields(EventId.DRIVE_APPEARED, device.name, device.node, size_bytes=device.size_bytes)
        _log.info("%s: found: %s", device.sys_name, device.name, extra=extra)
        reason = "drive found"
        drive = Drive(
            device=device,
            state=DriveState(stage=Stage.SETTLING, reason=reason),
            since=now(),
            uses=uses(device, self._mounts, self._sys),
        )
        skip = self._unwanted(drive)
        self.drives[device.sys_name] = drive
        yield from _examine(drive, reason, skip)

    def _take_clones(self, device: Device) -> Iterator[Change]:
        """Yield the changes of the drives that report the same id as a new device."""
        if device.hidden:  # a path to a drive, not a second one
            return
        for drive in [each for each in self.drives.values() if are_clones(each.device, device)]:
            if device.sys_name in drive.clones:
                continue  # this is a later event of the device, which is not managed
            drive.clones = tuple(sorted({*drive.clones, device.sys_name}))
            drive.publication = Publication.DOUBTED
            yield drive, Appeared(reason=f"{device.sys_name} reports the same id")
            yield drive, Ineligible(reason=_of_clones(drive).reason)

    def _compare_uses(self, drive: Drive, before: MountTable | None = None) -> Iterator[Change]:
        """Yield a change if the drive's use has changed; during a sweep only if the change affects the sweep."""
        found = uses(drive.device, self._mounts, self._sys)
        if found == drive.uses:
            return
        if drive.is_swept and before and not concerns_sweep(drive, before, self._mounts, self._sys):
            return
        drive.uses = found
        yield from self._read_again(drive, "mounted" if found else "unmounted")

    def _read_again(self, drive: Drive, reason: str) -> Iterator[Change]:
        """Yield the change of a drive whose facts must be read again; skip it at once if it is excluded."""
        yield from _examine(drive, reason, None if drive.state.held else self._unwanted(drive))

    def _compare_facts(self, drive: Drive, of_host: tuple[str, ...]) -> Iterator[Change]:
        yield from self._compare_uses(drive)
        if drive.shape_below is not None:
            below = stack.shape(drive.device.device_number, self._sys)
            if below != drive.shape_below:  # the removal of a snapshot, for example, sends no event for the volume
                drive.shape_below = below
                yield drive, Appeared(reason="underlying device changed")
        attributes = (*sysfs.changeable(drive.device.device_number, self._sys), *of_host)
        if drive.shown and (drive.device.members or attributes != drive.attributes):
            device = self._read_device(drive.device.device_number)
            if identity(device) == identity(drive.device):  # else the event of its removal follows
                yield from self._compare(drive, device)
            drive.attributes = attributes

    def _reconsider(self, drive: Drive) -> Iterator[Change]:
        if drive.state.stage is not Stage.SWEEPING or self._unwanted(drive):
            yield from self._read_again(drive, "configuration reloaded")

    def _compare(self, drive: Drive, device: Device) -> Iterator[Change]:
        """Yield changes if a fact that affects sweeps differs; udev sends "change" at each close of a writer too."""
        before, drive.device = drive.device, device
        changed = differences(before, device)
        if changed:
            yield drive, Appeared(reason=f"changed: {', '.join(changed)}")
        if before.members != device.members:
            yield from self._look_again((*before.members, *device.members), f"members of {device.sys_name} changed")

    def _remove(self, sys_name: str) -> Iterator[Change]:
        drive = self.drives.pop(sys_name, None)
        for other in [each for each in self.drives.values() if sys_name in each.clones]:
            other.clones = tuple(name for name in other.clones if name != sys_name)
            if not other.clones:
                other.publication = Publication.ANY
            yield other, Appeared(reason=f"{sys_name} removed, which reported the same id")
        if drive is None:
            return
        _log.info("%s: removed: %s", sys_name, drive.device.name, extra=drive.fields(EventId.DRIVE_GONE))
        yield drive, Removed()
        yield from self._look_again(drive.device.members, f"volume {sys_name} removed")

    def _look_again(self, sys_names: Iterable[str], reason: str) -> Iterator[Change]:
        for sys_name in sys_names:
            if drive := self.drives.get(sys_name):
                yield drive, Appeared(reason=reason)

    # --- facts -------------------------------------------------------------------------------------------------

    def _read_device(self, number: str) -> Device:
        return self._register.named(resolve.read_device(number, self._sys, self._proc), self._sys)

    def _unwanted(self, drive: Drive) -> Skip | None:
        """Return the reason if the configuration excludes the drive, or if another disk reports the same id."""
        drive.clones = self._clones(drive.device)
        if drive.clones:
            return _of_clones(drive)
        if drive.device.size_bytes == 0:
            return Skip(reason=f"{drive.device.sys_name} has 0 bytes: no space is allocated to this namespace")
        members = resolve.members(drive.device, self._sys)
        return device_rules.wanted(drive.device, members, self._config().match)

    def _clones(self, device: Device) -> tuple[str, ...]:
        """Return the kernel's names of the other disks that report the device's id."""
        if device.sys_name.startswith("nvme"):  # all of these are managed
            same = (each.device.sys_name for each in self.drives.values() if are_clones(each.device, device))
            return tuple(sorted(set(same) - {device.sys_name}))
        return find_clones(device, self._sys)


def now() -> str:
    """Return the present time for the status: ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _of_clones(drive: Drive) -> Skip:
    others_report = f"{' and '.join(drive.clones)} {'reports' if len(drive.clones) == 1 else 'report'}"
    return Skip(
        reason=f"{others_report} the same id ({drive.device.id}), so none of them is swept; remove all but one, or give"
        " each a unique serial number"
    )


def _publication(drive: Drive) -> Publication:
    """Return which profiles may be published for a drive that must not be swept."""
    return Publication.DOUBTED if drive.clones else Publication.NONE


def _examine(drive: Drive, reason: str, skip: Skip | None) -> Iterator[Change]:
    """Yield the change of a drive whose facts must be read; skip it at once if there is a reason."""
    if skip:
        drive.target, drive.publication = None, _publication(drive)
    yield drive, Appeared(reason=reason)
    if skip:
        yield drive, Ineligible(reason=skip.reason)
