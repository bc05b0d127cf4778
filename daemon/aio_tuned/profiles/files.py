"""The files of profiles."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from aio_tuned.errors import MissingProfileError, ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.profile import Profile

# Ours have 4 KiB.
_MAX_BYTES = 1 << 20
# What to do about a file that is no profile.
_REPLACE = "remove it and run aio-tuned tune"

# What a file held when it had that device, inode, size and times.
_Version = tuple[int, int, int, int, int]

_cache: dict[str, tuple[_Version, Profile]] = {}


def profile_files(folder: Path) -> list[Path]:
    """The files of profiles in the folder; half-written ones have a dot. OSError if it cannot be read."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.name[0] != ".")


def load_profile(path: Path, check: Callable[[os.stat_result], None] | None = None) -> Profile:
    """Return the profile in a file, which is parsed once for each version of it.

    `check` may refuse the open file by a ProfileError, each time. ProfileError names the file, and is a
    MissingProfileError if there is none.
    """
    try:
        # Opening a named pipe must not wait for its writer, nor a terminal become ours.
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


def _load_from(descriptor: int, path: Path, check: Callable[[os.stat_result], None] | None) -> Profile:
    """As load_profile(). OSError if it cannot be read."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
        raise ProfileError(f"{path}: not a profile of aio-tuned: no file, or {status.st_size} bytes long; {_REPLACE}")
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
    # With its dataclasses and its TOML parser it takes longer to import than all else that the reader loads.
    from aio_tuned.profiles import codec

    try:
        return codec.parse(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProfileError(f"{path}: not valid TOML: not UTF-8; {_REPLACE}") from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}; {_REPLACE}") from None
