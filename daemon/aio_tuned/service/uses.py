"""The uses of a drive by mounted filesystems, and whether their changes affect a running sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.devices.mount_table import MountTable
    from aio_tuned.model.device import Device
    from aio_tuned.service.drive import Drive, Uses


def numbers(device: Device, sys: Path) -> frozenset[str]:
    """Return the device numbers of a disk and its partitions; raise TargetError if the disk was removed."""
    return frozenset({device.device_number, *sysfs.partitions(device.device_number, sys).values()})


def uses(device: Device, table: MountTable, sys: Path) -> Uses:
    """Return the uses of a disk and its partitions; raise TargetError if the disk was removed."""
    return frozenset(use for number in numbers(device, sys) for use in table.uses(number))


def concerns_sweep(drive: Drive, before: MountTable, after: MountTable, sys: Path) -> bool:
    """Return whether a change of the mounts affects the drive's running sweep.

    It does if the mount with the scratch file has changed, or if the drive of a raw sweep has got or lost a writable
    filesystem. Other mounts of the drive do not matter during its sweep.
    """
    own = numbers(drive.device, sys)
    folder = drive.scratch_folder
    if folder is None:
        writable = [any(not mount.read_only for mount in table.on(own)) for table in (before, after)]
        return writable[0] != writable[1]
    places = [
        {(mount.read_only, mount.filesystem) for mount in table.on(own) if mount.point == folder}
        for table in (before, after)
    ]
    return places[0] != places[1]
