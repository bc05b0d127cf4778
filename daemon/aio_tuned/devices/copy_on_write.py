"""Whether a filesystem copies on write, which implies checksums and allows compression."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import Mount

# linux/fs.h; the kernel writes 32 bits, although the ioctl number encodes a long.
_FS_IOC_GETFLAGS = 0x80086601
_FS_NOCOW_FL = 0x00800000


def is_off(mount: Mount, directory: Path) -> bool:
    """Return whether new files in the directory are without copy-on-write, by `chattr +C` or by a mount option.

    Only btrfs offers this choice. Flags that cannot be read count as the default, with copy-on-write.
    """
    if mount.filesystem != "btrfs":
        return False
    return "nodatacow" in mount.options or bool(_flags(directory) & _FS_NOCOW_FL)


def _flags(directory: Path) -> int:
    """Return the directory's attributes as lsattr(1) shows them, which new files inherit; 0 if unknown."""
    flags = array.array("l", [0])
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
        finally:
            os.close(descriptor)
    return flags[0]
