"""For frameworks: the settings of the drive that a path is on, from /etc/aio-tuned. docs/reading.md has examples.

It needs no root, no daemon and, in a container, nothing but /etc/aio-tuned and /sys, read-only. A drive is known by
its wwid (or a volume's uuid), never by the kernel's name for it, which is another drive's tomorrow.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aio_tuned import mounts, naming, sysfs
from aio_tuned.errors import AioTunedError, NoProfileError, ProfileError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aio_tuned.model import CombinedResult, Profile, Result, Setting, Skipped, Unmeasured

Direction = Literal["read", "write", "combined"]
Missing = Literal["error", "default"]

PROFILES = Path("/etc/aio-tuned")
DIRECTIONS: tuple[Direction, ...] = ("read", "write", "combined")
# Ours have 4 KiB.
_LARGEST_FILE = 1 << 20
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Source(NamedTuple):
    """Where settings come from.

    `state` is the profile's, or "default" where there is none; `file` the profile's ("" without one), `device` its
    drive's name, `section` the one that was taken. `note` says what a person should know of that, else it is "".
    """

    state: Literal["measured", "provisional", "stale", "default"]
    file: str = ""
    device: str = ""
    section: str = ""
    note: str = ""


class Settings(NamedTuple):
    """The five parameters for one direction, with DeepSpeed's meaning, and what they give.

    `block_size` is in bytes; `queue_depth` counts requests in flight per thread, `io_parallelism` threads.
    `throughput_bytes_per_s` is None where these very parameters were not measured on this drive, and for "combined".
    `saturating_concurrency` is the number of requests of that size in flight, over all threads, that it takes to get
    all of that: what a consumer needs that only has threads of synchronous I/O. Where that is not known it is
    queue_depth times io_parallelism.
    """

    block_size: int
    queue_depth: int
    io_parallelism: int
    overlap_events: bool
    single_submit: bool
    direction: Direction
    throughput_bytes_per_s: int | None
    saturating_concurrency: int
    source: Source


class DriveSettings(NamedTuple):
    """A drive's settings for reads, for writes, and for consumers that take only one setting."""

    read: Settings
    write: Settings
    combined: Settings


class Disk(NamedTuple):
    """The whole disk or volume that a path is on: what stays with it, and what the kernel calls it now."""

    id: str
    name: str
    model: str
    serial: str
    size_bytes: int
    node: str
    number: str


class Found(NamedTuple):
    """A drive's profile, and the file that it is in."""

    disk: Disk
    path: Path
    profile: Profile


def settings_for(
    path: str | os.PathLike[str],
    direction: Direction = "read",
    *,
    missing: Missing = "error",
    profiles: str | os.PathLike[str] = PROFILES,
) -> Settings:
    """The settings for I/O on that path: a directory, a file, or a block device.

    "combined" is for consumers that take one setting for both directions; where only one of them was measured, it is
    that one's, and `source.note` says so.

    Without a sound profile of the drive: TargetError (there is no such path, or no drive below it), NoProfileError (a
    TargetError: nothing is known of the drive, or of that direction), ProfileError (the profile is torn, foreign, of an
    unknown schema, or others than root and you may write it). With missing="default" those become DeepSpeed's own
    defaults (1 MiB, depth 8, one thread, overlap, batch), with the error's text in `source.note`.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is {direction!r}, which is none of {', '.join(DIRECTIONS)}")
    return _settings(path, (direction,), missing, profiles)[0]


def drive_settings_for(
    path: str | os.PathLike[str],
    *,
    missing: Missing = "error",
    profiles: str | os.PathLike[str] = PROFILES,
) -> DriveSettings:
    """All of a drive's settings at once; arguments and errors as `settings_for`.

    One direction that was not measured is no error here: it has the other one's settings, and `source.note` says so.
    """
    return DriveSettings(*_settings(path, DIRECTIONS, missing, profiles))


def profile_for(
    path: str | os.PathLike[str], *, profiles: str | os.PathLike[str] = PROFILES
) -> dict[str, dict[str, Any]]:
    """The whole profile, as nested dictionaries of docs/profile.schema.json. Errors as `settings_for`."""
    from aio_tuned.profile import to_table

    return to_table(find(path, Path(profiles)).profile)


def _settings(
    path: str | os.PathLike[str], directions: tuple[Direction, ...], missing: Missing, profiles: str | os.PathLike[str]
) -> list[Settings]:
    if missing not in ("error", "default"):
        raise ValueError(f'missing is {missing!r}, which is neither "error" nor "default"')
    try:
        found = find(path, Path(profiles))
        return [section(found, direction, lenient=len(directions) > 1) for direction in directions]
    except AioTunedError as error:
        if missing == "error":
            raise
        return [defaults(direction, str(error)) for direction in directions]


def defaults(direction: Direction, note: str) -> Settings:
    """DeepSpeed's own defaults, and why there is nothing better."""
    from aio_tuned.model import DEFAULT_SETTING

    return _made(DEFAULT_SETTING, direction, None, DEFAULT_SETTING.concurrency, Source("default", note=note))


def _made(
    setting: Setting, direction: Direction, throughput_bytes_per_s: int | None, concurrency: int, source: Source
) -> Settings:
    return Settings(
        block_size=setting.block_size,
        queue_depth=setting.queue_depth,
        io_parallelism=setting.io_parallelism,
        overlap_events=setting.overlap_events,
        single_submit=setting.single_submit,
        direction=direction,
        throughput_bytes_per_s=throughput_bytes_per_s,
        saturating_concurrency=concurrency,
        source=source,
    )


# --- which section ---------------------------------------------------------------------------------------


def section(found: Found, direction: Direction, *, lenient: bool = False) -> Settings:
    """A direction's settings from a profile. NoProfileError if it has none; `lenient`: then the other direction's."""
    others: Iterable[Direction] = ()
    if direction == "combined" or lenient:
        others = [other for other in ("read", "write") if other != direction]
    part = _part(found.profile, direction)
    taken: Direction = direction
    for other in others:
        if isinstance(part, str) and not isinstance(_part(found.profile, other), str):
            taken = other
            break
    why = part if isinstance(part, str) else ""
    part = _part(found.profile, taken)
    if isinstance(part, str):
        raise NoProfileError(f"{found.path}: there are no settings for {direction}: {part}")
    note = f"the settings are those of [{taken}], since [{direction}] has none: {why}" if why else ""
    return _of_part(found, part, direction, taken, note)


def _part(profile: Profile, direction: Direction) -> Result | CombinedResult | Unmeasured | str:
    """A section of the profile; the reason if it was skipped."""
    part: Result | CombinedResult | Unmeasured | Skipped = getattr(profile, direction)
    skipped: str | None = getattr(part, "skipped", None)
    return part if skipped is None else skipped  # type: ignore[return-value]  # Skipped alone has that field


def _of_part(
    found: Found, part: Result | CombinedResult | Unmeasured, direction: Direction, taken: Direction, note: str
) -> Settings:
    if overridden := getattr(part, "overridden", ()):
        set_by = f"{', '.join(overridden)} set by the administrator of this machine"
        note = f"{note}; {set_by}" if note else set_by
    throughput: int | None = getattr(part, "throughput_bytes_per_s", None)
    source = Source(found.profile.state, str(found.path), found.disk.name, taken, note)
    return _made(part.setting, direction, throughput, _saturating(found.profile, part), source)


def _saturating(profile: Profile, part: Result | CombinedResult | Unmeasured) -> int:
    """Requests in flight that it takes; for both directions what the more demanding one does, at blocks as large."""
    setting = part.setting
    measured: int | None = getattr(part, "saturating_concurrency", None)
    if measured or not hasattr(part, "read_share"):
        return measured or setting.concurrency
    needed = 0
    for each in (profile.read, profile.write):
        of_each = getattr(each, "saturating_concurrency", None)
        if not of_each or each.setting.block_size > setting.block_size:  # type: ignore[union-attr]  # a Result
            return setting.concurrency
        needed = max(needed, of_each)
    return min(setting.concurrency, needed)


# --- which drive -----------------------------------------------------------------------------------------


def _udev(number: str, run: Path) -> dict[str, str]:
    """What udev's database says of the device, where it can be seen; disks that are not NVMe have their names of it."""
    try:
        lines = (run / "udev/data" / f"b{number}").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}
    return {
        f"udev.{key}": value for key, mark, value in (line[2:].partition("=") for line in lines if line[:2] == "E:")
    }


def disk_of(
    path: str | os.PathLike[str], sys: Path = sysfs.SYS, proc: Path = Path("/proc"), run: Path = Path("/run")
) -> Disk:
    """The whole disk or volume below a directory, a file or a block device. TargetError if there is none."""
    shown = os.fspath(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - many times faster, and this is called at every start
        if stat.S_ISBLK(status.st_mode):
            number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        elif stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
            if not (sys / "dev/block" / number).exists():  # an overlay, or btrfs, or no device at all
                number, _ = mounts.block_device_number(Path(path), mounts.read(proc), sys, proc)
        else:
            raise TargetError(f"{shown} is neither a directory, nor a file, nor a block device")
        number = sysfs.whole_disk(number, sys)
        facts: Mapping[str, str] = sysfs.who(number, sys)
    except OSError as error:
        raise TargetError(f"{shown}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path
        raise TargetError(f"{shown!r}: {error}") from None
    if not facts["sys_name"].startswith("nvme"):
        facts = {**facts, **_udev(number, run)}
    identifier, name = naming.names(facts)
    return Disk(
        id=identifier,
        name=name,
        model=naming.clean(facts.get("model", "")),
        serial=naming.clean(facts.get("serial", "")),
        size_bytes=int(facts.get("size", "0")) * 512,
        node=str(naming.node(facts["sys_name"])),
        number=number,
    )


def _is_of(profile: Profile, disk: Disk) -> bool:
    """Whether it is the drive's own. There are models whose every drive has the same wwid.

    Of a virtual disk without any identity the kernel's name is the id: then its size must be the same, at least.
    """
    device = profile.device
    if disk.id.startswith("block:") and device.size_bytes != disk.size_bytes:
        return False
    return (device.id, device.model, device.serial) == (disk.id, disk.model, disk.serial)


def find(path: str | os.PathLike[str], profiles: Path = PROFILES) -> Found:
    """The profile of the drive that a path is on; errors as `settings_for`."""
    return find_of(disk_of(path), profiles)


def find_of(disk: Disk, profiles: Path = PROFILES) -> Found:
    """The profile of that drive; NoProfileError, ProfileError."""
    _check_folder(profiles, disk)
    own = profiles / f"{disk.name}.toml"
    try:
        known = _load(own)
    except FileNotFoundError:
        known = None
    if known and _is_of(known, disk):
        return Found(disk, own, known)
    # Its name may be another where less can be seen of the drive: a container has no udev.
    if others := [each for each in _others(profiles, own) if _is_of(each[1], disk)]:
        return Found(disk, *others[0])
    if known:
        raise NoProfileError(f"{own} is of another drive ({known.device.id}) than {disk.node} ({disk.id})")
    raise NoProfileError(
        f"{disk.node} ({disk.name}) has no profile in {profiles}: see aio-tuned status, or run aio-tuned tune"
    )


def files(folder: Path) -> list[Path]:
    """The files of profiles in the folder; half-written ones have a dot. OSError if it cannot be read."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.name[0] != ".")


def _others(profiles: Path, own: Path) -> Iterable[tuple[Path, Profile]]:
    """The sound profiles of all other names; what is wrong with another drive's is not this one's business."""
    try:
        paths = files(profiles)
    except OSError:  # it may be searched and not read
        return
    for path in paths:
        if path != own:
            try:
                yield path, _load(path)
            except (OSError, ProfileError):
                continue


# --- which files -----------------------------------------------------------------------------------------


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


def _check_folder(folder: Path, disk: Disk) -> None:
    try:
        _check(folder.stat(), folder, folder)
    except FileNotFoundError:
        raise NoProfileError(f"{folder} does not exist, and so no profile of {disk.node} ({disk.name})") from None
    except OSError as error:
        raise ProfileError(f"{folder}: {error.strerror}") from None


# What a file held when it had that inode, size and times.
_Version = tuple[int, int, int, int, int]
_cache: dict[str, tuple[_Version, Profile]] = {}


def _load(path: Path) -> Profile:
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
        raise ProfileError(f"{path}: not a profile of aio-tuned: no file, or {status.st_size} bytes long")
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
    from aio_tuned import profile

    try:
        return profile.parse(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProfileError(f"{path}: not valid TOML: not UTF-8") from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
