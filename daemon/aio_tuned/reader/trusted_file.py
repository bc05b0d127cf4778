"""Profiles from files that only root, or the reader, may write."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.errors import NoProfileError, ProfileError
from aio_tuned.profiles import codec

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.reader.types import Disk

# Ours have 4 KiB.
_LARGEST_FILE = 1 << 20

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
# What to do about a file that is no profile.
_REPLACE = "remove it and run aio-tuned tune"


def _trusted_owner(status: os.stat_result, folder: Path) -> bool:
    """Whether root, or whoever reads, owns it.

    In a user namespace to which the host's root is nobody known, all strangers have one number; what lies on a
    read-only mount there was put there by whoever made the container.
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
    """Raise ProfileError if others may write to the folder, NoProfileError if there is none."""
    try:
        _check(folder.stat(), folder, folder)
    except FileNotFoundError:
        raise NoProfileError(f"{folder} does not exist, and so no profile of {disk.node} ({disk.name})") from None
    except OSError as error:
        raise ProfileError(f"{folder}: {error.strerror}") from None


# What a file held when it had that inode, size and times.
_Version = tuple[int, int, int, int, int]

_cache: dict[str, tuple[_Version, Profile]] = {}


def load(path: Path) -> Profile:
    """The profile in a file, parsed once for each version of it. FileNotFoundError, ProfileError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return _load_from(descriptor, path)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None


def _load_from(descriptor: int, path: Path) -> Profile:
    """As _load(). OSError if it cannot be read."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
        raise ProfileError(f"{path}: not a profile of aio-tuned: no file, or {status.st_size} bytes long; {_REPLACE}")
    _check(status, path, path.parent)
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    known = _cache.get(str(path))
    if known and known[0] == version:
        return known[1]
    content = os.read(descriptor, _LARGEST_FILE)
    parsed = _parsed(content, path)
    _cache[str(path)] = (version, parsed)
    return parsed


def _parsed(content: bytes, path: Path) -> Profile:

    try:
        return codec.parse(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProfileError(f"{path}: not valid TOML: not UTF-8; {_REPLACE}") from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}; {_REPLACE}") from None
