"""Profiles from files that only root, or the reader, may write."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.errors import NoProfileError, ProfileError
from aio_tuned.profiles.files import load_profile

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.reader.types import Disk

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def _trusted_owner(status: os.stat_result, folder: Path) -> bool:
    """Return whether the owner of a file is root or the reading user.

    In a user namespace without a mapping for the host's root, all unmapped owners appear as one user id. A file with
    that owner is trusted on a read-only mount, which only the creator of the container can have filled.
    """
    if status.st_uid in (0, os.geteuid()):
        return True
    try:
        unknown = int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
        mapped = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
        read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (OSError, ValueError):
        return False
    return status.st_uid == unknown and mapped != ["0", "0", "4294967295"] and read_only


def _check(status: os.stat_result, path: Path, folder: Path) -> None:
    if not _trusted_owner(status, folder):
        raise ProfileError(
            f"{path}: belongs to user {status.st_uid}, not to root: it is not trusted; chown root {path}"
        )
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise ProfileError(
            f"{path}: others than its owner may write it (mode {stat.S_IMODE(status.st_mode):04o}): it is not trusted;"
            f" chmod go-w {path}"
        )


def check_folder(folder: Path, disk: Disk) -> None:
    """Raise ProfileError if other users may write to the folder, NoProfileError if it does not exist."""
    try:
        _check(folder.stat(), folder, folder)
    except FileNotFoundError:
        raise NoProfileError(f"{folder} does not exist, and so no profile of {disk.node} ({disk.name})") from None
    except OSError as error:
        raise ProfileError(f"{folder}: {error.strerror}") from None


def load(path: Path) -> Profile:
    """Return the profile in a file that only root or the reading user may write.

    Raise MissingProfileError if the file does not exist, ProfileError if it is not trusted or not a profile.
    """
    return load_profile(path, lambda status: _check(status, path, path.parent))
