"""The facts of a device that identify it, and those whose changes affect its sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.model.device import Device


def identity(device: Device) -> tuple[str, str, int | None]:
    """Return the facts that distinguish a disk, or a volume, from any other."""
    return device.id, device.name, device.diskseq


def is_complete(device: Device) -> bool:
    """Return whether the device is set up.

    A volume that is not assembled yet, an empty card reader and a loop device without a file have a size of 0. An NVMe
    namespace can have this size too, but it is complete: no later event sets it up.
    """
    return device.size_bytes > 0 or device.sys_name.startswith("nvme")


def differences(before: Device, after: Device) -> tuple[str, ...]:
    """Return the names of the facts that differ, of those that affect a sweep."""
    facts = (
        ("size", before.size_bytes, after.size_bytes),
        ("block format", _block_format(before), _block_format(after)),
        ("read-only flag", before.read_only, after.read_only),
        ("firmware", before.firmware, after.firmware),
        ("members", before.members, after.members),
        ("array state", before.array, after.array),
        ("request queue limits", before.queue, after.queue),
        ("host", before.host, after.host),
    )
    return tuple(name for name, old, new in facts if old != new)


def _block_format(device: Device) -> tuple[int, str, int | None]:
    return device.logical_block_bytes, device.integrity_format, device.metadata_bytes


def disk_of_partition(partition: str) -> str:
    """Return the name of a partition's disk, from the partition's name only: /sys may have lost the partition."""
    disk = partition.rstrip("0123456789")
    # A "p" separates the numbers if the disk's name ends with a digit: nvme0n1p1, md0p1 and loop0p1, but sda1.
    return disk[:-1] if disk[-1:] == "p" and disk[-2:-1].isdigit() else disk
