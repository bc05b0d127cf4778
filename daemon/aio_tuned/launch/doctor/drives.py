"""The drives to examine: that of a path, or every NVMe drive and the volumes on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import boot, mountinfo, resolve, sysfs
from aio_tuned.devices.mount_table import MountTable
from aio_tuned.devices.names import id_and_name
from aio_tuned.errors import TargetError
from aio_tuned.reader.lookup import find_disk
from aio_tuned.reader.types import Disk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aio_tuned.model.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A disk or volume, with the folder or file for direct I/O, None without one, and its filesystem's name."""

    disk: Disk
    device: Device
    place: Path | None = None
    filesystem: str = ""

    @property
    def node(self) -> str:
        """Return the node of the disk or volume."""
        return str(self.device.node)


def of_path(path: Path, sys: Path = sysfs.SYS, proc: Path = Path("/proc")) -> Examined:
    """Return the drive of a directory, file or block device; raise TargetError if there is none."""
    found = find_disk(path, sys, proc)
    if path.is_block_device():
        return _with_mount(found.number, MountTable.read(proc), sys, proc, found.note)
    device = resolve.read_device(found.number, sys, proc)
    return Examined(disk=_disk(device, found.note), device=device, place=path, filesystem=_filesystem(path, proc))


def every(profiled: Collection[str], sys: Path = sysfs.SYS, proc: Path = Path("/proc")) -> Iterator[Examined]:
    """Yield each NVMe drive that is not only a part of a volume, each volume on one, and others with such a name."""
    try:
        table = MountTable.read(proc)
    except OSError:
        table = MountTable()
    numbers: dict[str, None] = {}
    for name in sysfs.names(sys / "class/block"):
        number = sysfs.attribute(sys / "class/block" / name, "dev")
        if number and sysfs.NAMESPACE.fullmatch(name):
            numbers.update(dict.fromkeys(_tops(number, table, sys)))
        elif number and _name(number, sys) in profiled:
            numbers[number] = None
    for number in numbers:
        try:
            yield _with_mount(number, table, sys, proc, "")
        except TargetError:
            continue  # removed since the listing


def _name(number: str, sys: Path) -> str:
    """Return the name of a whole disk or volume; "" for a partition."""
    if (sysfs.directory(number, sys) / "partition").exists():
        return ""
    udev = {f"udev.{key}": value for key, value in sysfs.udev_properties(number).items()}
    return id_and_name({**sysfs.who(number, sys), **udev})[1]


def _tops(number: str, table: MountTable, sys: Path) -> Iterator[str]:
    """Yield the device if it is mounted itself or free, and the volumes above it that nothing is built on."""
    own = {number, *sysfs.partitions(number, sys).values()}
    holders = {name for each in own for name in sysfs.holders(each, sys)}
    if not holders or table.on(own):
        yield number
    for name in sorted(holders):
        above = sysfs.attribute(sys / "class/block" / name, "dev")
        if above:
            yield from _tops(above, table, sys)


def _with_mount(number: str, table: MountTable, sys: Path, proc: Path, note: str) -> Examined:
    device = resolve.read_device(number, sys, proc)
    mounted = table.on({number, *sysfs.partitions(number, sys).values()})
    own = [mount for mount in mounted if not boot.is_boot_point(mount.point) and mountinfo.leads_to(mount, proc)]
    best = min(own, key=lambda mount: (mount.read_only, len(str(mount.point))), default=None)
    return Examined(
        disk=_disk(device, note),
        device=device,
        place=best.point if best else None,
        filesystem=best.filesystem if best else "",
    )


def _filesystem(path: Path, proc: Path) -> str:
    """Return the name of the path's own filesystem, such as "overlay"."""
    try:
        return mountinfo.find_mount(path, mountinfo.read(proc), proc).filesystem
    except (OSError, TargetError):
        return "this filesystem"


def _disk(device: Device, note: str) -> Disk:
    return Disk(
        id=device.id,
        name=device.name,
        model=device.model,
        serial=device.serial,
        size_bytes=device.size_bytes,
        node=str(device.node),
        number=device.device_number,
        boot_id=device.boot_id,
        note=note,
    )
