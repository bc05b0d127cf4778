"""The file behind a loop device, and whether all of its blocks are allocated."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

_SECTOR = 512
_MIB = 1 << 20
# linux/loop.h: the ioctl, the size of its answer, and the first fields: device, inode and, for a node, its own number.
_GET_STATUS64 = 0x4C05
_STATUS_BYTES = 232
_STATUS = struct.Struct("=3Q")
# linux/fiemap.h: the ioctl, its header and its extents, and the flags in use here.
_FIEMAP = 0xC020660B
_FIEMAP_HEADER = struct.Struct("=QQIIII")
_FIEMAP_EXTENT = struct.Struct("=QQQQQIIII")
_EXTENTS = 512
_LAST, _ENCODED, _SHARED = 0x1, 0x8, 0x2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopFile:
    """The file behind a loop device; `number` is set if that is a block device, and is its device number.

    `thin` is the reason why a write may allocate space, or "".
    """

    path: Path
    number: str = ""
    thin: str = ""


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _copies_on_write(descriptor: int) -> bool:
    """Return whether an extent of the file is shared with another file, or is compressed; raise OSError if unknown."""
    start = 0
    while True:
        header = _FIEMAP_HEADER.pack(start, (1 << 64) - 1 - start, 0, 0, _EXTENTS, 0)
        buffer = bytearray(header.ljust(_FIEMAP_HEADER.size + _EXTENTS * _FIEMAP_EXTENT.size, b"\0"))
        fcntl.ioctl(descriptor, _FIEMAP, buffer)
        count = _FIEMAP_HEADER.unpack_from(buffer)[3]
        flags = 0
        for place in range(count):
            logical, _, length, _, _, flags, *_ = _FIEMAP_EXTENT.unpack_from(
                buffer, _FIEMAP_HEADER.size + place * _FIEMAP_EXTENT.size
            )
            if flags & (_SHARED | _ENCODED):
                return True
            start = logical + length
        if not count or flags & _LAST:
            return False


def read(node: Path, name: str, *, in_memory: bool) -> LoopFile:
    """Return the file behind the loop device `node`, which sysfs calls `name`.

    Raise OSError if it is not visible here, or if another file has that name, which may be of another mount namespace.
    Files on a filesystem in memory share no blocks.
    """
    path = Path(name)
    descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        answer = bytearray(_STATUS_BYTES)
        fcntl.ioctl(descriptor, _GET_STATUS64, answer)
    finally:
        os.close(descriptor)
    device, inode, own = _STATUS.unpack_from(answer)
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if (status.st_dev, status.st_ino) != (device, inode):
            raise OSError(0, "another file has this name here")
        if stat.S_ISBLK(status.st_mode):
            if status.st_rdev != own:
                raise OSError(0, "another device has this name here")
            return LoopFile(path=path, number=_number(status.st_rdev))
        allocated = status.st_blocks * _SECTOR
        if allocated < status.st_size:
            thin = f"is sparse: {allocated // _MIB} of {status.st_size // _MIB} MiB are allocated"
        elif not in_memory and _copies_on_write(file):
            thin = "shares blocks with another file or is compressed, so writes allocate new space"
        else:
            thin = ""
    finally:
        os.close(file)
    return LoopFile(path=path, thin=thin)
