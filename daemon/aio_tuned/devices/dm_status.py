"""The status of a device-mapper device's targets, by the ioctl that dmsetup(8) uses; it needs CAP_SYS_ADMIN."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

CONTROL = Path("/dev/mapper/control")
# linux/dm-ioctl.h: struct dm_ioctl up to the device's number, its size, struct dm_target_spec, and the command.
_HEADER = struct.Struct("=3I 2I Ii 3I Q")
_HEADER_BYTES = 312
_TARGET = struct.Struct("=2Q i I 16s")
_DM_TABLE_STATUS = 0xC138FD0C
_ANSWER_BYTES = 16384
_BUFFER_FULL = 1 << 8


def targets(number: str, control: Path = CONTROL) -> tuple[tuple[str, str], ...] | None:
    """Return the type and the status line of each target of the device ("253:0"); None if they cannot be read."""
    major, minor = (int(part) for part in number.split(":"))
    # The kernel's encoding of a device number in 64 bits.
    device = (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12
    request = bytearray(_ANSWER_BYTES)
    _HEADER.pack_into(request, 0, 4, 0, 0, _ANSWER_BYTES, _HEADER_BYTES, 0, 0, 0, 0, 0, device)
    try:
        descriptor = os.open(control, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, _DM_TABLE_STATUS, request)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return parse(bytes(request))


def parse(answer: bytes) -> tuple[tuple[str, str], ...] | None:
    """Return the targets in the kernel's answer; None if it is not one, or was too long."""
    found = []
    try:
        *_, start, count, _, flags, _, _, _ = _HEADER.unpack_from(answer)
        if flags & _BUFFER_FULL:
            return None
        at = start
        for _ in range(count):
            _, _, _, following, kind = _TARGET.unpack_from(answer, at)
            text = answer[at + _TARGET.size :].partition(b"\0")[0]
            found.append((_text(kind), _text(text)))
            at = start + following
    except struct.error:
        return None
    return tuple(found) if found else None


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
