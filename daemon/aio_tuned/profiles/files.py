"""Reading of profiles from files, with a cache."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from aio_tuned import trust
from aio_tuned.errors import MissingProfileError, ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.profile import Profile

# Profiles have about 4 KiB, so a larger file is not one.
_MAX_BYTES = 1 << 20
# The action in messages about files that are not profiles.
_REPLACE = "remove the file and run aio-tuned tune"

# The device, inode, size, and times of modification and status change (ns) of a file, which change with its content.
_Version = tuple[int, int, int, int, int]

_cache: dict[str, tuple[_Version, Profile]] = {}


def profile_files(folder: Path) -> list[Path]:
    """Return the profile files in the folder, sorted, without temporary files (names that begin with a dot).

    Raise OSError if the folder cannot be read.
    """
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.name[0] != ".")


def load_profile(path: Path, check: Callable[[os.stat_result], None] | None = None) -> Profile:
    """Return the profile in a file; each version of the file is parsed once.

    `check` gets the status of the open file at each call and may raise ProfileError to reject the file. Raise
    MissingProfileError if the file does not exist, ProfileError with its name if it is unreadable or not a profile.
    """
    try:
        # Opening must not block on a named pipe, nor acquire a controlling terminal.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return _load_from(descriptor, path, check)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        _cache.pop(str(path), None)
        raise MissingProfileError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from None


def load_trusted(path: Path) -> Profile:
    """Return the profile in a file that only root or the user of this process may write.

    The caller must check the folder. Raise MissingProfileError if the file does not exist, ProfileError if it is not
    trusted or not a profile.
    """

    def check(status: os.stat_result) -> None:
        try:
            trust.check(status, path, path.parent)
        except trust.UntrustedError as error:
            raise ProfileError(str(error)) from None

    return load_profile(path, check)


def _load_from(descriptor: int, path: Path, check: Callable[[os.stat_result], None] | None) -> Profile:
    """Do the work of load_profile() on an open file; raise OSError if it cannot be read."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
        wrong = f"{status.st_size} bytes long" if stat.S_ISREG(status.st_mode) else "not a regular file"
        raise ProfileError(f"{path}: not a profile of aio-tuned: {wrong}; {_REPLACE}")
    if check:
        check(status)
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    known = _cache.get(str(path))
    if known and known[0] == version:
        return known[1]
    parsed = _parse(os.read(descriptor, _MAX_BYTES), path)
    _cache[str(path)] = (version, parsed)
    return parsed


def _parse(content: bytes, path: Path) -> Profile:
    # Imported only when needed: the codec takes longer to import than everything else that the reader loads.
    from aio_tuned.profiles import codec

    try:
        return codec.parse(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProfileError(f"{path}: not valid TOML: not UTF-8; {_REPLACE}") from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}; {_REPLACE}") from None
