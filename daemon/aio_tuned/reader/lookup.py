"""The drive below a path, and its profile."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import mountinfo, sysfs
from aio_tuned.devices.names import clean_text, device_node, holds_after_boot, id_and_name, is_of_this_boot
from aio_tuned.errors import MissingProfileError, NoProfileError, ProfileError, TargetError
from aio_tuned.profiles.files import load_trusted, profile_files
from aio_tuned.reader.trusted_file import check_folder
from aio_tuned.reader.types import Disk, FoundProfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aio_tuned.model.profile import Profile

PROFILES = Path("/etc/aio-tuned")


def find_disk(
    path: str | os.PathLike[str], sys: Path = sysfs.SYS, proc: Path = Path("/proc"), run: Path = Path("/run")
) -> Disk:
    """Return the whole disk or volume below a directory, a file or a block device; raise TargetError if there is none.

    The other arguments are the roots of /sys, /proc and /run.
    """
    shown, note = os.fspath(path), ""
    try:
        status = os.stat(path)  # noqa: PTH116 - many times faster, and this is called at every start
        if stat.S_ISBLK(status.st_mode):
            number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        elif stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
            if not (sys / "dev/block" / number).exists():  # an overlay, or btrfs, or no device at all
                table = mountinfo.read(proc)
                stored, _, note = mountinfo.find_stored(Path(path), table, proc)
                number, _ = mountinfo.block_device_number(stored, table, sys, proc)
        else:
            raise TargetError(f"{shown}: not a directory, file or block device")
        number = sysfs.whole_disk(number, sys)
        facts: Mapping[str, str] = sysfs.who(number, sys)
    except OSError as error:
        raise TargetError(f"{shown}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path
        raise TargetError(f"{shown!r}: {error}") from None
    if not facts["sys_name"].startswith("nvme"):
        facts = {**facts, **{f"udev.{key}": value for key, value in sysfs.udev_properties(number, run).items()}}
    identifier, name = id_and_name(facts)
    return Disk(
        id=identifier,
        name=name,
        model=clean_text(facts.get("model", "")),
        serial=clean_text(facts.get("serial", "")),
        size_bytes=int(facts.get("size", "0")) * 512,
        node=str(device_node(facts["sys_name"])),
        number=number,
        boot_id=sysfs.boot_id(proc) if is_of_this_boot(identifier) else "",
        note=note,
    )


def found_in(disk: Disk, path: Path, profile: Profile) -> FoundProfile | None:
    """Return a profile, of the file `path`, as find_disk_profile() would find it; None if it is not the disk's own."""
    return _found(disk, path, profile) if _belongs_to(profile, disk) else None


def _belongs_to(profile: Profile, disk: Disk) -> bool:
    """Return whether the profile is the disk's own.

    Model and serial number are compared too, because all drives of some models have the same wwid. The id of a virtual
    disk without an identity is the kernel's name, so its size must match as well.
    """
    device = profile.device
    if is_of_this_boot(disk.id) and device.size_bytes != disk.size_bytes:
        return False
    return (device.id, device.model, device.serial) == (disk.id, disk.model, disk.serial)


def _doubt(profile: Profile, disk: Disk, path: Path) -> str:
    """Return the reason why a profile with the disk's id may be of another disk; "" without one."""
    device = profile.device
    if device.size_bytes != disk.size_bytes:
        return (
            f"{path}: measured on a drive of {device.size_bytes} bytes, but {disk.node} has {disk.size_bytes or 'no'}"
            f" bytes; run aio-tuned tune {disk.node}"
        )
    if not holds_after_boot(disk.id, device.boot_id, disk.boot_id):
        return (
            f"{path}: {disk.node} has neither a serial number nor a wwid, so before the last boot its name may have"
            f" belonged to another drive; run aio-tuned tune {disk.node}"
        )
    return ""


def _found(disk: Disk, path: Path, profile: Profile) -> FoundProfile:
    """Return the disk's profile; it is stale if it may be of another disk with the same id."""
    doubt = _doubt(profile, disk, path)
    if not doubt:
        return FoundProfile(disk, path, profile, disk.note)
    note = f"{disk.note}; {doubt}" if disk.note else doubt
    return FoundProfile(disk, path, profile.doubted(doubt), note)


def find_profile(path: str | os.PathLike[str], profiles: Path = PROFILES) -> FoundProfile:
    """Return the profile of the drive that a path is on; errors are those of `settings_for`."""
    return find_disk_profile(find_disk(path), profiles)


def find_disk_profile(disk: Disk, profiles: Path = PROFILES) -> FoundProfile:
    """Return the profile of that disk; raise NoProfileError or ProfileError."""
    check_folder(profiles, disk)
    own = profiles / f"{disk.name}.toml"
    try:
        known = load_trusted(own)
    except MissingProfileError:
        known = None
    if known and _belongs_to(known, disk):
        return _found(disk, own, known)
    # In a container without udev, the disk's name may differ from the one in its profile.
    if others := [each for each in _others(profiles, own) if _belongs_to(each[1], disk)]:
        return _found(disk, *others[0])
    if known:
        raise NoProfileError(
            f"{own}: the profile of another drive ({known.device.id}), not of {disk.node} ({disk.id}); run aio-tuned"
            f" tune {disk.node}, which keeps the other profile"
        )
    raise NoProfileError(
        f"{disk.node} ({disk.name}): no profile in {profiles}; see aio-tuned status, or run aio-tuned tune {disk.node}"
    )


def _others(profiles: Path, own: Path) -> Iterable[tuple[Path, Profile]]:
    """Yield the valid profiles of all other names, with their files; ignore invalid ones."""
    try:
        paths = profile_files(profiles)
    except OSError:  # a folder may be searchable but not readable
        return
    for path in paths:
        if path != own:
            try:
                yield path, load_trusted(path)
            except ProfileError:
                continue
