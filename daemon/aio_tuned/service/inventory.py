"""The drives that are present and their uses; it turns kernel events, mounts and configuration into drives' events."""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from aio_tuned.config import device_rules
from aio_tuned.devices import mountinfo, resolve, sysfs
from aio_tuned.devices.clones import are_clones, find_clones
from aio_tuned.devices.mount_table import find_device_number
from aio_tuned.devices.probe import PROBE_LIMIT_S, probe
from aio_tuned.errors import AioTunedError, TargetError
from aio_tuned.journald.events import EventId, fields
from aio_tuned.model.target import Skip
from aio_tuned.service.drive import Drive, Publication
from aio_tuned.service.state_machine import Appeared, DriveState, Failed, Ineligible, Removed, Stage
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.devices.probe import ProbeResult
    from aio_tuned.devices.udev_monitor import DeviceEvent, EventSource
    from aio_tuned.model.device import Device, Mount
    from aio_tuned.service.drive import Uses
    from aio_tuned.service.state_machine import Event
    from aio_tuned.storage.name_register import NameRegister

    Change = tuple[Drive, Event]

_log = logging.getLogger(__name__)


class Inventory:
    """The drives that are present, by the kernel's name.

    Changes are yielded as (drive, event), one at a time. The caller handles each before the next is determined, so that
    a disk which takes the name of another appears after the removal of that one.
    """

    def __init__(
        self, source: EventSource, config: Callable[[], Config], register: NameRegister, sys: Path, proc: Path
    ) -> None:
        self.drives: dict[str, Drive] = {}
        self._source = source
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
        for number in (entry.name for entry in (self._sys / "dev/block").iterdir()):
            with contextlib.suppress(TargetError, ValueError, OSError):
                if sysfs.whole_disk(number, self._sys) == number:
                    present.add(self._read_device(number).name)
        return present

    # --- what may have changed ---------------------------------------------------------------------------------

    def scan(self) -> Iterator[Change]:
        """Read the facts of every disk that is present, and yield the changes."""
        table = mountinfo.read(self._proc)
        for event in self._source.enumerate():
            yield from self._take(event, table)

    def take(self, events: Sequence[DeviceEvent]) -> Iterator[Change]:
        """Process the source's events, and yield the changes."""
        table = mountinfo.read(self._proc)
        if self._source.overrun:
            _log.warning("events of devices were lost: all are looked at again")
            present = {event.sys_name for event in events}
            for sys_name in [name for name in self.drives if name not in present]:
                yield from self._remove(sys_name)
        for event in events:
            yield from self._take(event, table)

    def compare_uses(self) -> Iterator[Change]:
        """Compare the mounts with the last ones, and yield the changes."""
        table = mountinfo.read(self._proc)
        for drive in list(self.drives.values()):
            try:
                uses = self._uses(drive.device, table)
            except TargetError:
                continue  # the drive was removed, and the event of that follows
            if uses != drive.uses:
                drive.uses = uses
                yield drive, Appeared(reason="mounted" if uses else "unmounted")

    def compare_limits(self) -> Iterator[Change]:
        """Compare facts that change without an event, such as a scheduler in /sys or a read-only filesystem."""
        yield from self.compare_uses()
        for drive in list(self.drives.values()):
            if drive.shown and not drive.is_swept:
                with contextlib.suppress(TargetError, ValueError):
                    device = self._read_device(drive.device.device_number)
                    if _identity(device) == _identity(drive.device):  # else the event of its removal follows
                        yield from self._compare(drive, device)

    def reconsider(self) -> Iterator[Change]:
        """Read the facts of every device again, as if it were new; sweeps of drives that are still wanted continue."""
        for drive in list(self.drives.values()):
            if drive.state.stage is not Stage.SWEEPING or self._unwanted(drive):
                yield drive, Appeared(reason="the configuration was read again")
        yield from self.scan()

    async def probe(self, drive: Drive) -> Ineligible | Failed | None:
        """Probe the drive's use in a thread.

        Return None if it may be swept, at `drive.target`; else the event Ineligible, or Failed if the probe fails or
        times out.
        """
        ask = partial(probe, drive.device.node, self._config(), sys=self._sys, proc=self._proc)
        try:
            return self._conclude(drive, await within(PROBE_LIMIT_S, in_thread(ask)))
        except TooLateError:
            return Failed(reason=f"it has not answered for {PROBE_LIMIT_S:.0f} s; see the kernel log")
        except AioTunedError as error:
            return Failed(reason=str(error))
        except OSError as error:
            return Failed(reason=f"it cannot be looked at: {error}")

    def _conclude(self, drive: Drive, found: ProbeResult) -> Ineligible | Failed | None:
        if found.device.diskseq != drive.device.diskseq:
            return Failed(reason="another disk has taken its name")
        drive.device = self._register.named(found.device, self._sys)
        unwanted = self._unwanted(drive)
        decision = unwanted or found.decision
        if not isinstance(decision, Skip):
            drive.target, drive.publication = decision, Publication.ANY
            return Ineligible(reason=f"{found.busy}: it is swept when that ends") if found.busy else None
        drive.target = None
        # A measured profile stays valid while the drive is full, for example, but not while it is a volume's member.
        if found.usage.holders:
            drive.publication = Publication.NONE
        else:
            drive.publication = _publication(drive) if unwanted else Publication.MEASURED
        return Ineligible(reason=decision.reason)

    # --- one event ---------------------------------------------------------------------------------------------

    def _take(self, event: DeviceEvent, table: tuple[Mount, ...]) -> Iterator[Change]:
        """Process one event, and log its error, so that an error of one device does not affect the others."""
        try:
            if event.is_partition:
                yield from self._take_partition(event)
            elif event.action == "remove":
                yield from self._remove(event.sys_name)
            elif event.initialized:
                yield from self._take_disk(event, table)
        except TargetError as error:
            _log.debug("%s: %s", event.sys_name, error)  # the drive was removed, and the event of that follows
        except (AioTunedError, OSError, ValueError) as error:
            _log.warning("%s: %s", event.sys_name, error)

    def _take_partition(self, event: DeviceEvent) -> Iterator[Change]:
        """Yield a change for the partition's disk, whose use may have changed; a running sweep is not affected."""
        if event.action not in ("add", "remove"):
            return
        drive = self.drives.get(_disk_of_partition(event.sys_name))
        if drive and drive.state.stage is not Stage.SWEEPING:
            yield drive, Appeared(reason=f"partition {event.sys_name}: {event.action}")

    def _take_disk(self, event: DeviceEvent, table: tuple[Mount, ...]) -> Iterator[Change]:
        device = self._read_device(event.device_number)
        known = self.drives.get(device.sys_name)
        # A volume that is not assembled yet, an empty card reader and a loop device without a file have a size of 0.
        if known and (device.size_bytes == 0 or _identity(known.device) != _identity(device)):
            yield from self._remove(device.sys_name)
            known = None
        if known:
            yield from self._compare(known, device)
        elif device.size_bytes:
            yield from self._add(device, table)

    def _add(self, device: Device, table: tuple[Mount, ...]) -> Iterator[Change]:
        rules = self._config().match
        members = resolve.members(device, self._sys)
        unwanted = device_rules.wanted(device, members, rules)
        # A volume's members must not be swept while it uses them.
        yield from self._look_again(device.members, f"{device.sys_name} has been built on it")
        yield from self._take_clones(device)
        if device.hidden or (unwanted and not device_rules.is_of_interest(device, rules)):
            return
        device = self._register.claim(device, self._sys)
        extra = fields(EventId.DRIVE_APPEARED, device.name, device.node, size_bytes=device.size_bytes)
        _log.info("%s: %s is there", device.sys_name, device.name, extra=extra)
        reason = "it has just appeared"
        drive = Drive(
            device=device,
            state=DriveState(stage=Stage.SETTLING, reason=reason),
            since=now(),
            uses=self._uses(device, table),
        )
        self.drives[device.sys_name] = drive
        skip = self._unwanted(drive)
        if skip:
            drive.publication = _publication(drive)
        yield drive, Appeared(reason=reason)
        if skip:
            yield drive, Ineligible(reason=skip.reason)

    def _take_clones(self, device: Device) -> Iterator[Change]:
        """Yield the changes for the drives that report the id of a device which has just appeared."""
        if device.hidden:  # a path to a drive, not a second one
            return
        for drive in [each for each in self.drives.values() if are_clones(each.device, device)]:
            if device.sys_name in drive.clones:
                continue  # a later event of a device that is not managed
            drive.clones = tuple(sorted({*drive.clones, device.sys_name}))
            drive.publication = Publication.DOUBTED
            yield drive, Appeared(reason=f"{device.sys_name} reports the same id")
            yield drive, Ineligible(reason=_of_clones(drive).reason)

    def _compare(self, drive: Drive, device: Device) -> Iterator[Change]:
        """Compare the few facts that matter, and yield the changes.

        udev sends a "change" event whenever a process closes a device after writing to it.
        """
        before, drive.device = drive.device, device
        changed = [
            what
            for what, old, new in (
                ("size", before.size_bytes, device.size_bytes),
                ("block format", _block_format(before), _block_format(device)),
                ("read-only flag", before.read_only, device.read_only),
                ("firmware", before.firmware, device.firmware),
                ("members", before.members, device.members),
                ("state of the array", before.array, device.array),
                ("limits of the request queue", before.queue, device.queue),
            )
            if old != new
        ]
        if changed:
            yield drive, Appeared(reason=f"changed: {', '.join(changed)}")
        if before.members != device.members:
            yield from self._look_again((*before.members, *device.members), f"{device.sys_name} has other members now")

    def _remove(self, sys_name: str) -> Iterator[Change]:
        drive = self.drives.pop(sys_name, None)
        for other in [each for each in self.drives.values() if sys_name in each.clones]:
            other.clones = tuple(name for name in other.clones if name != sys_name)
            if not other.clones:
                other.publication = Publication.ANY
            yield other, Appeared(reason=f"{sys_name}, which reported the same id, was removed")
        if drive is None:
            return
        _log.info("%s: %s has gone", sys_name, drive.device.name, extra=drive.fields(EventId.DRIVE_GONE))
        yield drive, Removed()
        yield from self._look_again(drive.device.members, f"{sys_name}, which was built on it, has gone")

    def _look_again(self, sys_names: Iterable[str], reason: str) -> Iterator[Change]:
        for sys_name in sys_names:
            if drive := self.drives.get(sys_name):
                yield drive, Appeared(reason=reason)

    # --- facts -------------------------------------------------------------------------------------------------

    def _read_device(self, number: str) -> Device:
        return self._register.named(resolve.read_device(number, self._sys, self._proc), self._sys)

    def _unwanted(self, drive: Drive) -> Skip | None:
        """Return why the drive is not managed: the configuration excludes it, or another disk reports its id."""
        drive.clones = self._clones(drive.device)
        if drive.clones:
            return _of_clones(drive)
        members = resolve.members(drive.device, self._sys)
        return device_rules.wanted(drive.device, members, self._config().match)

    def _clones(self, device: Device) -> tuple[str, ...]:
        """Return the kernel's names of the other disks that report the device's id."""
        if device.sys_name.startswith("nvme"):  # all of these are managed
            same = (each.device.sys_name for each in self.drives.values() if are_clones(each.device, device))
            return tuple(sorted(set(same) - {device.sys_name}))
        return find_clones(device, self._sys)

    def _uses(self, device: Device, table: tuple[Mount, ...]) -> Uses:
        """Return the mounts of the device and its partitions; a bind mount of the same filesystem changes nothing."""
        numbers = {device.device_number, *sysfs.partitions(device.device_number, self._sys).values()}
        return frozenset(
            (number, mount.read_only, mount.filesystem)
            for mount in table
            if (number := find_device_number(mount)) in numbers
        )


def now() -> str:
    """Return the time as the status has it: ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _identity(device: Device) -> tuple[str, str, int | None]:
    """Return the facts that tell disks, and volumes of different names, apart."""
    return device.id, device.name, device.diskseq


def _block_format(device: Device) -> tuple[int, str, int | None]:
    return device.logical_block_bytes, device.integrity_format, device.metadata_bytes


def _of_clones(drive: Drive) -> Skip:
    return Skip(
        reason=f"{' and '.join(drive.clones)} reports the same id ({drive.device.id}): none of them is trusted; remove"
        " all but one, or give each a serial number of its own"
    )


def _publication(drive: Drive) -> Publication:
    """Return what readers may find of a drive that must not be swept."""
    return Publication.DOUBTED if drive.clones else Publication.NONE


def _disk_of_partition(partition: str) -> str:
    """Return the name of the disk that a partition is on, from its name only: /sys may not have it any more."""
    disk = partition.rstrip("0123456789")
    # A disk's name that ends with a digit gets a "p": nvme0n1p1, md0p1 and loop0p1, but sda1.
    return disk[:-1] if disk[-1:] == "p" and disk[-2:-1].isdigit() else disk
