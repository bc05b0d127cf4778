"""The drive that is meant without a path: the only mounted one that has a profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import mountinfo
from aio_tuned.devices.mount_table import is_served_by_program
from aio_tuned.errors import AioTunedError, ProfileError, TargetError
from aio_tuned.reader.lookup import find_profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aio_tuned.reader.types import Disk


def find(profiles: Path, proc: Path = Path("/proc")) -> Path:
    """Return a mount point of the only mounted drive with a profile in that folder.

    Raise TargetError if there is none or more than one, and ProfileError if a mounted drive's profile is not usable.
    """
    found = only(_mounted(profiles, proc))
    if found is None:
        raise TargetError(f"no path: no mounted drive has a profile in {profiles}; pass --path FOLDER")
    return found


def only(drives: Iterable[tuple[Disk, Path]]) -> Path | None:
    """Return the first mount point if all are of one drive, None without any; raise TargetError for several drives."""
    points: dict[str, Path] = {}
    names: dict[str, str] = {}
    for disk, point in drives:
        points.setdefault(disk.id, point)
        names[disk.id] = disk.name
    if len(points) > 1:
        listed = ", ".join(names.values())
        raise TargetError(f"no path: {len(points)} mounted drives have a profile ({listed}); pass --path FOLDER")
    return next(iter(points.values()), None)


def _mounted(profiles: Path, proc: Path) -> Iterator[tuple[Disk, Path]]:
    """Yield the drives with a profile, each with a mount point; raise ProfileError if a profile is not usable."""
    seen = set()
    for mount in mountinfo.read_on_devices(proc):
        # A container has single files of the host's drive, such as /etc/hosts, as mounts.
        if mount.device_number in seen or is_served_by_program(mount) or not os.path.isdir(mount.point):  # noqa: PTH112 - as find_disk
            continue
        seen.add(mount.device_number)
        try:
            yield find_profile(mount.point, profiles).disk, mount.point
        except ProfileError:
            raise
        except AioTunedError:
            continue
