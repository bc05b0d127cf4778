"""The tables and status of device-mapper volumes, from ioctls if permitted, else from their uuids."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["plain", "thin", "origin", "snapshot", "unseen"]

# linux/dm-ioctl.h: struct dm_ioctl, struct dm_target_spec, the command and its flags.
_HEADER = struct.Struct("=3I4I1I2IQ128s129s7x")
_TARGET = struct.Struct("=QQiI16s")
_TABLE_STATUS = (3 << 30) | (_HEADER.size << 16) | (0xFD << 8) | 12
_WANT_TABLE = 1 << 4
_BUFFER_FULL = 1 << 8
_BUFFER_BYTES = 64 << 10
_LARGEST_BUFFER_BYTES = 16 << 20
_SECTOR = 512

_THIN = frozenset({"thin", "thin-pool", "vdo"})
_SNAPSHOT = frozenset({"snapshot", "snapshot-merge"})
# Targets whose writes allocate no shared space. Any other target counts as unseen.
_PLAIN = frozenset(
    {"cache", "clone", "crypt", "delay", "dust", "ebs", "era", "error", "flakey", "integrity", "linear", "log-writes"}
) | {"mirror", "multipath", "raid", "striped", "switch", "unstriped", "verity", "writecache", "zero", "zoned"}
# LVM appends the role of a hidden subvolume to its uuid; visible volumes have no role.
_LVM = re.compile(r"LVM-[A-Za-z0-9]{64}(?:-([a-z]+))?", re.ASCII)
_LVM_ROLES: dict[str, Kind] = {
    **dict.fromkeys(("tpool", "pool", "tdata", "tmeta", "vpool", "vdata"), "thin"),
    **dict.fromkeys(("", "cdata", "cmeta", "cvol", "cpool", "corig", "imeta", "iorig"), "plain"),
    "cow": "snapshot",
    "real": "origin",
}
# dm-crypt and its relatives, multipath, partitions of such volumes, and BIOS RAID.
_PLAIN_UUID = re.compile(r"(?:CRYPT|mpath|part[0-9]+|DMRAID)-", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DmTarget:
    """A line of a volume's table or status: the type of a target and its text."""

    type: str
    text: str


def targets(number: str, dev: Path, *, status: bool = False) -> tuple[DmTarget, ...]:
    """Return the lines of a volume's live table, or of its status; raise OSError without permission."""
    major, minor = (int(part) for part in number.split(":"))
    encoded = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
    size = _BUFFER_BYTES
    descriptor = os.open(dev / "mapper/control", os.O_RDWR | os.O_CLOEXEC)
    try:
        while True:
            flags = 0 if status else _WANT_TABLE
            header = _HEADER.pack(4, 0, 0, size, _HEADER.size, 0, 0, flags, 0, 0, encoded, b"", b"")
            buffer = bytearray(header.ljust(size, b"\0"))
            fcntl.ioctl(descriptor, _TABLE_STATUS, buffer)
            _, _, _, _, start, count, _, flags, *_ = _HEADER.unpack_from(buffer)
            if not flags & _BUFFER_FULL:
                return _parse(buffer, start, count)
            size *= 4
            if size > _LARGEST_BUFFER_BYTES:
                raise OSError(f"device {number}: table is larger than {_LARGEST_BUFFER_BYTES} bytes")
    finally:
        os.close(descriptor)


def _parse(buffer: bytearray, start: int, count: int) -> tuple[DmTarget, ...]:
    """Return the targets of an answer; each has its text behind it and gives the offset of the next one."""
    found, place = [], start
    for _ in range(count):
        _, _, _, following, name = _TARGET.unpack_from(buffer, place)
        text = bytes(buffer[place + _TARGET.size :]).split(b"\0", 1)[0]
        found.append(
            DmTarget(type=name.split(b"\0", 1)[0].decode("ascii", "replace"), text=text.decode("utf-8", "replace"))
        )
        place = start + following
    return tuple(found)


def kind_of_types(types: frozenset[str]) -> Kind:
    """Return the kind of a volume with these target types; "unseen" without any, or with an unknown one."""
    if types & _SNAPSHOT:
        return "snapshot"
    if "snapshot-origin" in types:
        return "origin"
    if not types or types - _PLAIN - _THIN:
        return "unseen"
    return "thin" if types & _THIN else "plain"


def kind_of_uuid(uuid: str) -> Kind:
    """Return the kind of a volume according to its uuid; "unseen" if the uuid has no known form.

    The uuid of an LVM thin or snapshot volume itself gives "plain"; those of the hidden volumes below it give the kind.
    """
    if match := _LVM.fullmatch(uuid):
        return _LVM_ROLES.get(match[1] or "", "unseen")
    return "plain" if _PLAIN_UUID.match(uuid) else "unseen"


def kind(number: str, uuid: str, dev: Path) -> Kind:
    """Return the kind of a volume by its table, or by its uuid if the table may not be read."""
    try:
        found = targets(number, dev)
    except OSError:
        return kind_of_uuid(uuid)
    return kind_of_types(frozenset(target.type for target in found))


def used_bytes(number: str, dev: Path) -> int | None:
    """Return the bytes in use of a thin pool or a VDO volume; None for other volumes, or if the status is unknown.

    Raise OSError without permission.
    """
    for target, status in zip(targets(number, dev), targets(number, dev, status=True), strict=False):
        words = status.text.split()
        try:
            if target.type == "thin-pool":  # metadata device, data device, block sectors; transaction, metadata, data
                return int(words[2].split("/")[0]) * int(target.text.split()[2]) * _SECTOR
            if status.type == "vdo":  # device, mode, recovery, index, compression, blocks of 4 KiB in use, blocks
                return int(words[5]) * 4096
        except (ValueError, IndexError):
            return None
    return None
