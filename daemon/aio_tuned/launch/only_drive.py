"""The drive that is meant without a path: the only mounted one that has a profile."""

from __future__ import annotations

import os
from pathlib import Path

from aio_tuned.devices import mountinfo
from aio_tuned.devices.mount_table import is_served_by_program
from aio_tuned.errors import AioTunedError, ProfileError, TargetError
from aio_tuned.reader.lookup import find_profile

_REMEDY = "pass --path FOLDER"


def find(profiles: Path, proc: Path = Path("/proc")) -> Path:
    """Return a mount point of the only mounted drive with a profile in that folder.

    Raise TargetError if there is none or more than one, and ProfileError if a mounted drive's profile is not usable.
    """
    points: dict[str, Path] = {}
    names: list[str] = []
    seen = set()
    for mount in mountinfo.read_on_devices(proc):
        # A container has single files of the host's drive, such as /etc/hosts, as mounts.
        if mount.device_number in seen or is_served_by_program(mount) or not os.path.isdir(mount.point):  # noqa: PTH112 - as find_disk
            continue
        seen.add(mount.device_number)
        try:
            found = find_profile(mount.point, profiles)
        except ProfileError:
            raise
        except AioTunedError:
            continue
        if found.disk.id not in points:
            names.append(found.disk.name)
        points.setdefault(found.disk.id, mount.point)
    if len(points) > 1:
        raise TargetError(f"no path: {len(points)} mounted drives have a profile ({', '.join(names)}); {_REMEDY}")
    if not points:
        raise TargetError(f"no path: no mounted drive has a profile in {profiles}; {_REMEDY}")
    return next(iter(points.values()))
