"""The mounts of /proc/self/mountinfo, and the filesystem of a path."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.devices import overlay
from aio_tuned.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.device import Mount

_ESCAPE = re.compile(r"\\(?!000)([0-7]{3})")  # no name has a NUL
_ID = re.compile(r"[0-9]{1,10}", re.ASCII)  # an int of the kernel; int() raises on 5,000 digits
_NUMBER = re.compile(r"[0-9]+:[0-9]+", re.ASCII)
# linux/btrfs.h: the ioctl, which needs no privilege, the size of its answer, and the uuid's place in it.
_BTRFS_IOC_FS_INFO = 0x8400941F
_BTRFS_INFO_BYTES = 1024
_BTRFS_UUID = slice(16, 32)
_ANONYMOUS = "0:"  # the major number of filesystems without a device
# Filesystems without a block device on this machine, with the reason. Others with a device number 0:N are refused
# without a reason.
_NO_DEVICE = {
    "tmpfs": "an in-memory filesystem",
    "ramfs": "an in-memory filesystem",
    "nfs": "a network filesystem",
    "nfs4": "a network filesystem",
    "cifs": "a network filesystem",
    "smb3": "a network filesystem",
    "ceph": "a network filesystem",
    "9p": "a filesystem of the host",
    "virtiofs": "a filesystem of the host",
    "zfs": "a filesystem with its own volume manager and cache",
}


def unescape(text: str) -> str:
    """Undo the kernel's octal escapes, which are of ASCII characters only (blank, tab, newline, backslash, #)."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def parse(text: str) -> tuple[Mount, ...]:
    """Return the mounts of a mountinfo text (proc(5)); lines of another format are left out."""
    from aio_tuned.model.device import Mount  # deferred: the reader rarely needs it, and must load fast

    mounts = []
    for line in text.split("\n"):  # not splitlines(): a name may hold any other line end
        left, separator, right = line.partition(" - ")
        head, tail = left.split(" "), right.split(" ", 2)
        if not separator or "\0" in line or len(head) < 6 or len(tail) < 3 or not _ID.fullmatch(head[0]):  # noqa: PLR2004 - proc(5)
            continue
        if not _NUMBER.fullmatch(head[2]):  # it becomes a part of a path
            continue
        options = (*head[5].split(","), *tail[2].split(","))
        mounts.append(
            Mount(
                id=int(head[0]),
                device_number=head[2],
                root=unescape(head[3]),
                point=Path(unescape(head[4])),
                read_only="ro" in options,
                filesystem=tail[0],
                source=unescape(tail[1]),
                options=tuple(unescape(option) for option in options),
            )
        )
    return tuple(mounts)


def read(proc: Path = Path("/proc")) -> tuple[Mount, ...]:
    """Return the mounts of this process's namespace; raise OSError if they cannot be read."""
    return parse(_text(proc))


def read_on_devices(proc: Path = Path("/proc")) -> tuple[Mount, ...]:
    """Return the mounts that may be on block devices, as `read` does.

    Leave out those with an anonymous device number, which are most of a container host's mounts, except for btrfs,
    which has no other.
    """
    lines = (line for line in _text(proc).split("\n") if " - btrfs " in line or not _is_anonymous(line))
    return parse("\n".join(lines))


def _text(proc: Path) -> str:
    # As bytes: reading as text would turn a carriage return in a name into a newline.
    return (proc / "self/mountinfo").read_bytes().decode("utf-8", "surrogateescape")


def _is_anonymous(line: str) -> bool:
    return any(number.startswith(_ANONYMOUS) for number in line.split(" ", 3)[2:3])


def find_mount(path: Path, mounts: Sequence[Mount], proc: Path = Path("/proc")) -> Mount:
    """Return the mount of `path`, by the kernel's mount id, which is exact for stacked mounts and bind mounts too.

    Raise OSError if the path cannot be opened, TargetError if its mount is not among `mounts`.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = (proc / f"self/fdinfo/{descriptor}").read_text(encoding="ascii")
    finally:
        os.close(descriptor)
    found = re.search(r"^mnt_id:\s*(\d+)$", info, re.MULTILINE)
    for mount in mounts:
        if found and mount.id == int(found[1]):
            return mount
    raise TargetError(f"{path}: its mount is missing in {proc}/self/mountinfo; try again")


def leads_to(mount: Mount, proc: Path = Path("/proc")) -> bool:
    """Return whether the mount point shows a directory of that mount, and not of another one mounted over it."""
    try:
        return mount.point.is_dir() and find_mount(mount.point, (mount,), proc) is mount
    except (OSError, TargetError):
        return False


class Stored(NamedTuple):
    """The place where a path is stored: the path (of an overlay, that in its layer), its mount, and a note."""

    path: Path
    mount: Mount
    note: str


def find_stored(path: Path, mounts: Sequence[Mount], proc: Path = Path("/proc")) -> Stored:
    """Return where a path is stored; raise TargetError if it is on an overlay whose layers are not visible here."""
    mount, note = find_mount(path, mounts, proc), ""
    for _ in range(8):  # the kernel nests two at most
        if mount.filesystem != "overlay":
            break
        path, found = overlay.find_layered(path, mount)
        note = note or found
        mount = find_mount(path, mounts, proc)
    return Stored(path, mount, note)


def block_device_number(
    path: Path, mounts: Sequence[Mount], sys: Path, proc: Path = Path("/proc")
) -> tuple[str, Mount]:
    """Return the device number ("259:1") of the block device below `path`'s filesystem, and its mount.

    Follow an overlay to the layer that has the path, and btrfs, whose own number is anonymous, to its only device.
    Raise TargetError with the reason if there is no such device.
    """
    path, mount, _ = find_stored(path, mounts, proc)
    if (sys / "dev/block" / mount.device_number).exists():
        return mount.device_number, mount
    if mount.filesystem in _NO_DEVICE:
        raise TargetError(
            f"{path}: {mount.filesystem} is {_NO_DEVICE[mount.filesystem]} and has no block device to tune; pass a"
            " directory on a local drive"
        )
    if mount.filesystem == "btrfs":
        return _btrfs_device_number(path, mount, sys), mount
    if not mount.device_number.startswith(_ANONYMOUS):
        raise TargetError(
            f"{path}: block device {mount.device_number} is not in /sys; mount the host's /sys, which containers have"
            " read-only"
        )
    raise TargetError(
        f"{path}: {mount.filesystem} (device {mount.device_number}) has no block device to tune; pass a directory on a"
        " local drive"
    )


def _btrfs_uuid(path: Path) -> str:
    """Return the uuid of the btrfs that a path is on; "" if it may not be opened or is no btrfs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    answer = bytearray(_BTRFS_INFO_BYTES)
    try:
        fcntl.ioctl(descriptor, _BTRFS_IOC_FS_INFO, answer)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    digits = answer[_BTRFS_UUID].hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _btrfs_device_number(path: Path, mount: Mount, sys: Path) -> str:
    """Return the number of a btrfs's only device.

    Raise TargetError if it has several, because the counters of no single device prove the I/O.
    """
    # The mount's source is a name in /dev, which a container does not have.
    devices = tuple((sys / "fs/btrfs" / (_btrfs_uuid(path) or "unknown") / "devices").glob("*"))
    if len(devices) == 1:
        return (devices[0] / "dev").read_text(encoding="ascii").strip()
    if len(devices) > 1:
        raise _several(path, sorted(device.name for device in devices))
    try:
        status = Path(mount.source).stat()
    except OSError as error:
        raise TargetError(
            f"{path}: btrfs device {mount.source} is not visible here: {error.strerror}; run on the host, or pass the"
            " drive (with --raw to tune it)"
        ) from None
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if len(members := btrfs_members(number, sys)) > 1:
        raise _several(path, members)
    return number


def _several(path: Path, members: Sequence[str]) -> TargetError:
    return TargetError(
        f"{path}: btrfs over {len(members)} devices ({', '.join(members)}) cannot be tuned as one drive; pass one of"
        " them (with --raw to tune it)"
    )


def btrfs_members(number: str, sys: Path) -> tuple[str, ...]:
    """Return the names of all devices of the mounted btrfs that a device is part of; () if it is of none."""
    name = (sys / "dev/block" / number).resolve().name
    for devices in (sys / "fs/btrfs").glob("*/devices"):
        members = tuple(sorted(entry.name for entry in devices.iterdir()))
        if name in members:
            return members
    return ()
