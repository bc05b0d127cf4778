"""The mounts on block devices, by device number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import mountinfo, sysfs
from aio_tuned.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.device import Mount


def find_device_number(mount: Mount) -> str:
    """Return the number of a mount's block device, or its anonymous number if it has none.

    Do not trust the source of a mount: the mounting user chooses it, for FUSE any user. The exception is btrfs, which
    has anonymous numbers only, and whose source is written by the kernel.
    """
    if mount.filesystem == "btrfs" and mount.source.startswith("/dev/"):
        try:
            return sysfs.device_number(Path(mount.source))
        except TargetError:
            pass
    return mount.device_number


def is_served_by_program(mount: Mount) -> bool:
    """Return whether a program in user space serves the filesystem (FUSE); it may never answer."""
    return mount.filesystem.partition(".")[0] in ("fuse", "fuseblk")


class MountTable:
    """The mounts on block devices at one moment, without those of FUSE, which the kernel does not do itself."""

    def __init__(self, mounts: Iterable[Mount] = ()) -> None:
        self._mounts: dict[str, list[Mount]] = {}
        for mount in mounts:
            if not is_served_by_program(mount):
                self._mounts.setdefault(find_device_number(mount), []).append(mount)

    @classmethod
    def read(cls, proc: Path = Path("/proc")) -> MountTable:
        """Return the mounts of this process's namespace; raise OSError if they cannot be read."""
        return cls(mountinfo.read_on_devices(proc))

    def on(self, numbers: Iterable[str]) -> tuple[Mount, ...]:
        """Return the mounts on these devices."""
        return tuple(mount for number in sorted(set(numbers)) for mount in self._mounts.get(number, ()))

    def uses(self, number: str) -> frozenset[tuple[str, bool, str]]:
        """Return each use of a device: its number, if it is read-only, and its filesystem; bind mounts add none."""
        return frozenset((number, mount.read_only, mount.filesystem) for mount in self._mounts.get(number, ()))

    def differences(self, other: MountTable) -> tuple[str, ...]:
        """Return the numbers of the devices whose use differs from that in the other table."""
        numbers = sorted(self._mounts.keys() | other._mounts.keys())
        return tuple(number for number in numbers if self.uses(number) != other.uses(number))
