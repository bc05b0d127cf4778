"""The device that TARGET names, and its current use."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import arrays, blkid, boot, copy_on_write, host, identity, mountinfo, stack, sysfs, trim
from aio_tuned.devices.eligibility import on_filesystem
from aio_tuned.devices.mount_table import MountTable, find_device_number
from aio_tuned.devices.names import device_node
from aio_tuned.errors import MeasurementError, TargetError
from aio_tuned.model.device import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.devices.arrays import Array
    from aio_tuned.model.device import Device, Mount
    from aio_tuned.model.target import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The whole disk or volume of a target, the node that was named, and the mount and folder for scratch files.

    `mount_number` is the number of that mount's device ("" without one), which may be a partition of the named disk.
    `boot` has the mount points of boot partitions, if nothing else of the device is mounted.
    """

    disk_number: str
    node_number: str
    mount_number: str
    mount: Mount | None
    directory: Path | None
    boot: tuple[Path, ...] = ()


def _space(point: Path) -> tuple[int, int]:
    """Return the free bytes and the size of a filesystem in bytes, both 0 if it does not report them."""
    try:
        status = os.statvfs(point)
    except OSError:
        return 0, 0
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def _btrfs_over(numbers: Iterable[str], sys: Path) -> tuple[str, ...]:
    """Return the btrfs over several devices that one of these devices belongs to, as a holder; () without one."""
    for number in sorted(numbers):
        if len(members := mountinfo.btrfs_members(number, sys)) > 1:
            return (f"a btrfs over {len(members)} devices ({', '.join(members)})",)
    return ()


def _best_mount(candidates: Sequence[Mount]) -> Mount | None:
    """Return the mount for a scratch file: writable before read-only ones, then that with the most free space."""
    return max(candidates, key=lambda mount: (not mount.read_only, _space(mount.point)[0]), default=None)


def resolve(target: Path, sys: Path = sysfs.SYS, proc: Path = Path("/proc")) -> Location:
    """Find the device of a directory, a file or a block device node.

    Raise TargetError if the path does not exist, is none of these, or has no block device.
    """
    try:
        status = target.stat()
    except FileNotFoundError:
        raise TargetError(f"{target}: no such file or directory; pass a directory or a drive in /dev") from None
    except OSError as error:
        raise TargetError(f"{target}: {error.strerror}") from None
    table = mountinfo.read(proc)
    if stat.S_ISBLK(status.st_mode):
        number = sysfs.device_number(target)
        disk = sysfs.whole_disk(number, sys)
        numbers = {number}
        if number == disk:
            numbers.update(sysfs.partitions(disk, sys).values())
        mounted = [mount for mount in MountTable(table).on(numbers) if mountinfo.leads_to(mount, proc)]
        if _btrfs_over(numbers, sys):
            mounted = []
        passed = [mount for mount in mounted if boot.is_boot(mount.point, find_device_number(mount), sys)]
        mount = _best_mount([mount for mount in mounted if mount not in passed])
        return Location(
            disk_number=disk,
            node_number=number,
            mount_number=find_device_number(mount) if mount else "",
            mount=mount,
            directory=None,
            boot=() if mount else tuple(one.point for one in passed),
        )
    if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
        found = target.resolve()  # the directory of the file, not that of a link to it
        directory = found if stat.S_ISDIR(status.st_mode) else found.parent
        number, mount = mountinfo.block_device_number(directory, table, sys, proc)
        if found != directory and mountinfo.block_device_number(found, table, sys, proc)[0] != number:
            raise TargetError(
                f"{target}: not on the drive that gets new files of its directory, which is on an overlay; pass a"
                " directory on the drive to tune"
            )
        return Location(
            disk_number=sysfs.whole_disk(number, sys),
            node_number=number,
            mount_number=number,
            mount=mount,
            directory=directory,
        )
    raise TargetError(f"{target}: not a directory, file or block device; pass a directory or a drive in /dev")


def device(location: Location, sys: Path = sysfs.SYS, proc: Path = Path("/proc")) -> Device:
    """Read the facts of the disk or volume and return it; raise TargetError if it was removed."""
    return read_device(location.disk_number, sys, proc)


def read_device(number: str, sys: Path = sysfs.SYS, proc: Path = Path("/proc")) -> Device:
    """Read the facts of the disk or volume of that number and return it.

    Raise TargetError if it does not exist, or if its attributes are invalid.
    """
    try:
        found = identity.device(sysfs.facts(number, sys, sysfs.udev_properties(number), proc), sysfs.queue(number, sys))
    except (KeyError, ValueError) as error:
        raise TargetError(f"device {number}: invalid attributes in /sys ({error}); see dmesg") from None
    return replace(
        found,
        member_names=tuple(sorted(member.name for member in members(found, sys))),
        neighbours=sysfs.neighbours(number, sys),
        array=arrays.state(arrays_below(number, sys)),
        host=host.read(number, sys, proc),
    )


def arrays_below(number: str, sys: Path = sysfs.SYS) -> tuple[Array, ...]:
    """Return the RAID arrays that a device is or is built on; raise TargetError if the device does not exist."""
    return arrays.below(number, sys, Path("/dev") if sys == sysfs.SYS else None)


def members(volume: Device, sys: Path = sysfs.SYS) -> tuple[Device, ...]:
    """Return the disks below a volume that are present; () for a disk."""
    found = []
    for name in volume.members:
        with contextlib.suppress(TargetError, ValueError):
            found.append(read_device(sysfs.attribute(sys / "class/block" / name, "dev"), sys))
    return tuple(found)


def missing_members(volume: Device, sys: Path = sysfs.SYS) -> tuple[str, ...]:
    """Return the kernel names of a volume's disks that were removed."""
    return tuple(name for name in volume.members if not (sys / "class/block" / name).exists())


def usage(
    location: Location,
    disk: Device,
    policy: Policy,
    sys: Path = sysfs.SYS,
    proc: Path = Path("/proc"),
) -> Usage:
    """Return the current use of the device.

    Read the device's bytes only if the policy leads to a raw sweep. Raise TargetError without permission to read it,
    MeasurementError if reading fails.
    """
    partitions = sysfs.partitions(location.disk_number, sys)
    numbers = {location.disk_number, location.node_number, *partitions.values()}
    mounted_at = tuple(str(mount.point) for mount in mountinfo.read(proc) if find_device_number(mount) in numbers)
    # A named partition counts with its own use only, a disk with that of all its partitions.
    named = numbers if location.node_number == location.disk_number else {location.node_number}
    holders = (
        *dict.fromkeys(name for number in sorted(named) for name in sysfs.holders(number, sys)),
        *_btrfs_over(named, sys),
    )
    directory = location.directory or (location.mount.point if location.mount else None)
    below = stack.read(location.mount_number or location.node_number, sys, proc)
    free_bytes, filesystem_bytes = _space(directory) if directory else (0, 0)
    common = Usage(
        mount=location.mount,
        mounted_at=mounted_at,
        boot=tuple(str(point) for point in location.boot),
        free_bytes=free_bytes,
        filesystem_bytes=filesystem_bytes,
        nocow=bool(directory and location.mount and copy_on_write.is_off(location.mount, directory)),
        partitions=tuple(partitions),
        holders=holders,
        swap=sysfs.in_swap(named, proc),
        stack=below,
        zoned=sysfs.zoned(location.disk_number, sys),
        no_trim=trim.obstacle(directory) if directory and below.thin else "",
    )
    if on_filesystem(common, policy, location.directory):
        return common
    node = device_node(sysfs.directory(location.node_number, sys).name)
    size = sysfs.size_bytes(location.node_number, sys)
    try:
        offset, zero_share, all_zero = blkid.sample(node, size, policy.span_bytes) if size else (0, 0.0, False)
    except PermissionError as error:
        if os.geteuid() == 0:  # a device cgroup or a security module
            raise TargetError(
                f"{node}: cannot be read: {error.strerror}; allow this unit or container to read it"
            ) from None
        raise TargetError(f"{node}: cannot be read: {error.strerror}; run as root") from None
    except OSError as error:
        raise MeasurementError(f"{node}: cannot be read: {error.strerror}; see the kernel log") from None
    signatures = blkid.signatures(disk.node)
    used = bool(mounted_at or holders or partitions or signatures or common.swap)
    return replace(
        common,
        signatures=signatures,
        raw_node=node,
        raw_size_bytes=size,
        raw_offset_bytes=offset,
        zero_share=zero_share,
        blank=all_zero and not used,
    )
