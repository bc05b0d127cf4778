"""Whether a filesystem can return freed space to the device below it."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# linux/fs.h: the ioctl, and its range: start, length, and the least extent.
_FITRIM = 0xC0185879
_RANGE = struct.Struct("=3Q")


def obstacle(directory: Path) -> str:
    """Return the reason why the directory's filesystem cannot return freed space, or "".

    The request has an empty range, for which no filesystem trims anything.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return f"{directory}: {error.strerror}"
    try:
        fcntl.ioctl(descriptor, _FITRIM, bytearray(_RANGE.pack(0, 0, 0)))
    except OSError as error:
        if error.errno == errno.EINVAL:  # the range is empty; permission and device were checked before
            return ""
        if error.errno == errno.EPERM:
            return "FITRIM needs CAP_SYS_ADMIN; run as root, or add the unit's drop-in for thin volumes"
        return f"{directory} does not support FITRIM: {error.strerror}"
    finally:
        os.close(descriptor)
    return ""
