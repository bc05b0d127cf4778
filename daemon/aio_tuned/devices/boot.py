"""Boot partitions: they are small, and a machine whose boot partition is full may not boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.devices import blkid, sysfs
from aio_tuned.devices.names import device_node

if TYPE_CHECKING:
    from pathlib import Path

# EFI system partition and extended boot loader partition, in a GPT and in an MBR.
_TYPES = frozenset(
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "bc13c2ff-59e6-4262-a352-b275fd6f7172", "0xef", "0xea"),
)
_POINTS = frozenset(("boot", "efi", "esp"))


def is_boot_point(point: Path) -> bool:
    """Return whether the mount point is that of a boot partition: /boot, /efi, /boot/firmware, /mnt/boot/efi."""
    return point.name.lower() in _POINTS or point.parent.name.lower() == "boot"


def is_boot_type(partition_type: str) -> bool:
    """Return whether a partition type, as udev and blkid write it, is that of a boot partition."""
    return partition_type.lower() in _TYPES


def is_boot(point: Path, number: str, sys: Path = sysfs.SYS) -> bool:
    """Return whether the device that is mounted at `point` is a boot partition, by its mount point or its type."""
    if is_boot_point(point):
        return True
    found = sysfs.directory(number, sys)
    if not (found / "partition").exists():
        return False
    known = sysfs.udev_properties(number).get("ID_PART_ENTRY_TYPE", "")
    return is_boot_type(known or blkid.partition_type(device_node(found.name)))
