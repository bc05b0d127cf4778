"""The facts of a device that tell it from another, and those that matter when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.model.device import Device


def identity(device: Device) -> tuple[str, str, int | None]:
    """Return the facts that tell disks, and volumes of different names, apart."""
    return device.id, device.name, device.diskseq


def is_complete(device: Device) -> bool:
    """Return whether the device is one already.

    A volume that is not assembled yet, an empty card reader and a loop device without a file have a size of 0. So can a
    namespace have, but nothing is to follow there.
    """
    return device.size_bytes > 0 or device.sys_name.startswith("nvme")


def differences(before: Device, after: Device) -> tuple[str, ...]:
    """Return what has changed of the few facts that matter, in words."""
    facts = (
        ("size", before.size_bytes, after.size_bytes),
        ("block format", _block_format(before), _block_format(after)),
        ("read-only flag", before.read_only, after.read_only),
        ("firmware", before.firmware, after.firmware),
        ("members", before.members, after.members),
        ("state of the array", before.array, after.array),
        ("limits of the request queue", before.queue, after.queue),
    )
    return tuple(what for what, old, new in facts if old != new)


def _block_format(device: Device) -> tuple[int, str, int | None]:
    return device.logical_block_bytes, device.integrity_format, device.metadata_bytes


def disk_of_partition(partition: str) -> str:
    """Return the name of the disk that a partition is on, from its name only: /sys may not have it any more."""
    disk = partition.rstrip("0123456789")
    # A disk's name that ends with a digit gets a "p": nvme0n1p1, md0p1 and loop0p1, but sda1.
    return disk[:-1] if disk[-1:] == "p" and disk[-2:-1].isdigit() else disk
