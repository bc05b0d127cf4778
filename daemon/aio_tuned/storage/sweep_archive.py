"""Adapter: the finished sweeps of every drive, below `<state>/history/<drive's name>/`.

Of each there are `<stamp>.toml`, its profile as it was measured, and `<stamp>.samples.jsonl.gz`, every visit; the stamp
is when it was measured, in UTC: 20260131T235959Z. The catalog's profile counts as one of them: it may be older than the
archive.

Sweeps come in the order in which they were written, which the times of the profiles' files tell: a clock that was wrong
once puts no sweep before those that it came after.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import time
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aio_tuned.errors import AioTunedError, HelperError, NoProfileError, ProfileError, PublishError, TargetError
from aio_tuned.helper import samples as helper_samples
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from aio_tuned.storage import atomic_file, profile_store, targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.profile import Profile

# The samples of a full sweep, 2544 visits to a simulated drive, take 100 KB compressed: 2 MB a drive.
MAX_KEPT = 20
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_SAMPLES = ".samples.jsonl"
# As exact as times are kept everywhere: tar has seconds, vfat every other one.
_NEXT_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSweep:
    """A finished sweep; `samples` are () where they are missing, or are another sweep's.

    `torn` says what is wrong with files that came after it, and are no profiles, where the last sweep was asked for.
    """

    profile: Profile
    samples: tuple[Sample, ...]
    path: Path
    torn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedDrive:
    """Whose sweeps are meant, and below which state folder they are; `file` is the profile that was named, if one was.

    The drive need not be there.
    """

    state: Path
    name: str
    file: Path | None = None


def stamp(measured: Profile) -> str:
    """When the profile was measured, as its file's name has it. ProfileError if it was not, or does not say when."""
    at = measured.evidence.measured_at
    try:
        when = datetime.fromisoformat(at or "").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ProfileError(f"measured_at = {at!r} is no time") from None
    return f"{when:%Y%m%dT%H%M%SZ}"


def _folder(state: Path, name: str) -> Path:
    return state / "history" / name


def _read_stamp(path: Path) -> str:
    """The stamp of a listed file: the catalog's has the drive's name instead. ProfileError."""
    return path.stem if _STAMP.fullmatch(path.stem) else stamp(load_profile(path))


def _inside(folder: Path) -> list[Path]:
    """What is in a folder: nothing if there is none, or cannot be one of that name. TargetError if it is not readable.

    Path.glob() raises too where the folder may not be searched, and says less.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return []
        raise TargetError(f"{folder}: {error.strerror}") from None


def _written_ns(path: Path) -> int:
    """When the file was written; 0 if it is not there any more."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _ordered(paths: Iterable[Path]) -> list[Path]:
    """As they were written; of one time, as when a copy has lost it, by their stamps."""
    return sorted(paths, key=lambda path: (_written_ns(path), _read_stamp(path)))


def _archived(state: Path, name: str) -> list[Path]:
    inside = _inside(_folder(state, name))
    return _ordered(path for path in inside if path.suffix == ".toml" and _STAMP.fullmatch(path.stem))


def _catalogued(state: Path, name: str) -> Path | None:
    """The catalog's profile, if it is a sweep that the archive does not have."""
    path = profile_store.catalog_folder(state) / f"{name}.toml"
    try:
        known = _folder(state, name) / f"{_read_stamp(path)}.toml"
    except ProfileError:
        return None
    # Path.is_file() raises where the folder may not be searched: here, and below.
    return None if os.path.isfile(known) else path  # noqa: PTH113


def list_sweeps(state: Path, name: str) -> tuple[Path, ...]:
    """The profiles' files of a drive's sweeps, the one that was written first first. TargetError if unreadable."""
    found = _archived(state, name)
    if catalogued := _catalogued(state, name):
        found.append(catalogued)
    return tuple(_ordered(found))


def names(state: Path) -> tuple[str, ...]:
    """The drives that have sweeps, sorted. TargetError if they cannot be read."""
    folders = {path.name for path in _inside(state / "history")}
    catalogued = {path.stem for path in _inside(profile_store.catalog_folder(state)) if path.suffix == ".toml"}
    return tuple(sorted(name for name in folders | catalogued if list_sweeps(state, name)))


def _read_samples(path: Path) -> tuple[Sample, ...]:
    """OSError, or ValueError if they are not samples."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        return tuple(helper_samples.from_table(json.loads(line)) for line in text.splitlines())
    except (EOFError, zlib.error, KeyError, TypeError, RecursionError, HelperError) as error:
        raise ValueError(str(error)) from None


def _samples(path: Path, measured: Profile) -> tuple[Sample, ...]:
    """The visits of the sweep whose profile is there, from the archive, beside it, or where the catalog has them."""
    beside = path.with_name(path.stem + _SAMPLES)
    for candidate in (beside.with_name(beside.name + ".gz"), beside, path.parent.parent / beside.name):
        try:
            found = _read_samples(candidate)
        except (OSError, ValueError):
            continue
        moved_bytes = sum(sample.bytes for sample in found if sample.request.direction == "read")
        # The last sweep's samples replace those before, whether or not the catalog took its profile.
        if (len(found), moved_bytes) == (measured.evidence.visits, measured.evidence.bytes_read):
            return found
    return ()


def load(path: Path) -> StoredSweep:
    """The sweep whose profile is in that file. ProfileError."""
    found = load_profile(path)
    return StoredSweep(profile=found, samples=_samples(path, found), path=path)


def _taken(path: Path, measured: Profile) -> bool:
    """Whether another sweep has that file: one of the same second, as after a clock was set back."""
    try:
        return path.is_file() and load_profile(path) != measured
    except ProfileError:
        return False  # a torn one


def _put(state: Path, measured: Profile, samples_text: str, written_ns: int) -> None:
    """PublishError, ProfileError, OSError."""
    folder, name = _folder(state, measured.device.name), stamp(measured)
    for directory in (folder.parent, folder):
        # Root writes into the folders of others (tune --out), who must not lead it elsewhere.
        if directory.is_symlink():
            raise PublishError(
                f"{directory}: is a symbolic link: sweeps are kept in a folder of its own; remove the link"
            )
        atomic_file.make_folder(directory)
    path = folder / f"{name}.toml"
    if _taken(path, measured):
        raise PublishError(f"{path}: is another sweep of the same second, and is kept")
    if samples_text:
        # Without a time in it, the same samples make the same file.
        atomic_file.publish(folder / f"{name}{_SAMPLES}.gz", gzip.compress(samples_text.encode(), mtime=0))
    atomic_file.publish(path, codec.render(measured))
    os.utime(path, ns=(written_ns, written_ns), follow_symlinks=False)


def _forget_oldest(state: Path, name: str, newest: str) -> None:
    """All but the last twenty, and never the one with that stamp, whatever has become of the files' times."""
    kept = {newest, *(path.stem for path in _archived(state, name)[-MAX_KEPT:])}
    folder = _folder(state, name)
    atomic_file.remove_leftovers(folder, time.time())
    for path in _inside(folder):
        word = path.name.partition(".")[0]
        if _STAMP.fullmatch(word) and word not in kept:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise PublishError(f"{path}: cannot be removed: {error.strerror}") from None


def _add(state: Path, measured: Profile, samples_text: str) -> None:
    """AioTunedError, OSError."""
    name = measured.device.name
    if catalogued := _catalogued(state, name):
        earlier = load(catalogued)
        _put(state, earlier.profile, helper_samples.to_lines(earlier.samples), _written_ns(catalogued))
    # After all the others, even if the clock has been set back since they were written: they would outlive it.
    last_ns = max(map(_written_ns, _archived(state, name)), default=0)
    _put(state, measured, samples_text, max(time.time_ns(), last_ns + _NEXT_NS))
    _forget_oldest(state, name, stamp(measured))


def keep(state: Path, measured: Profile, samples_text: str) -> None:
    """Add a finished sweep to its drive's, of which the last twenty are kept. PublishError, and no other.

    `samples_text` is what the file of its samples has, or is to have: to be called before that replaces what a sweep
    from before the archive has left, which is taken in first.
    """
    try:
        _add(state, measured, samples_text)
    except AioTunedError as error:
        raise PublishError(str(error)) from None
    except OSError as error:
        folder = _folder(state, measured.device.name)
        raise PublishError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None


def _find_state(file: Path, name: str, config: Config) -> Path:
    """The state folder whose history speaks of a profile's file: that of the file itself, or the configured one."""
    for state in (file.parent, *file.absolute().parents[2:3]):
        if os.path.isdir(_folder(state, name)):  # noqa: PTH112 - as in _catalogued()
            return state
    return config.state


def drive(config: Config, target: str) -> ArchivedDrive:
    """Whose sweeps a TARGET names: the file of a profile, a drive's name, a directory, a file, or a block device.

    TargetError, ProfileError.
    """
    named = targets.find_drive(
        target,
        lambda name: bool(list_sweeps(config.state, name)),
        f"{target} is neither a drive with a finished sweep in {config.state} nor a path: see aio-tuned history",
    )
    state = _find_state(named.file, named.name, config) if named.file else config.state
    return ArchivedDrive(state=state, name=named.name, file=named.file)


def sweeps(found: ArchivedDrive) -> tuple[Path, ...]:
    """As list_of, but NoProfileError if there are none."""
    if paths := list_sweeps(found.state, found.name):
        return paths
    raise NoProfileError(f"{found.name} has no finished sweep in {found.state}: run aio-tuned tune TARGET")


def split(config: Config, target: str) -> tuple[str, str]:
    """TARGET and TIME, "" without one; names and paths may have an @ of their own."""
    head, mark, at = target.rpartition("@")
    if not mark or os.path.exists(target) or list_sweeps(config.state, target):  # noqa: PTH110 - as in _catalogued()
        return target, ""
    return head, at


def _beginning(at: str) -> str:
    """The beginning of a stamp that TIME means: 2026-01-31T23:59 is 20260131T2359; times are in UTC."""
    return at.removesuffix("+00:00").replace("-", "").replace(":", "").replace(" ", "T")


def _load_named(found: ArchivedDrive, file: Path) -> StoredSweep:
    """The sweep of a profile's file, from the archive: without what was overridden, and with its samples."""
    try:
        when = _read_stamp(file)
    except ProfileError:
        return load(file)  # nothing was measured, or it says what is wrong with the file
    return load(next((path for path in list_sweeps(found.state, found.name) if _read_stamp(path) == when), file))


def _last(paths: Sequence[Path]) -> StoredSweep:
    """The last sweep of these whose file is not torn. ProfileError if all are."""
    torn: list[str] = []
    for path in reversed(paths[1:]):
        try:
            return replace(load(path), torn=tuple(torn))
        except ProfileError as error:
            torn.append(str(error))
    return replace(load(paths[0]), torn=tuple(torn))


def find(config: Config, target: str) -> StoredSweep:
    """The sweep that TARGET[@TIME] names; TIME is the beginning of a stamp, and of several sweeps the last is meant.

    TargetError, ProfileError.
    """
    named, at = split(config, target)
    found = drive(config, named)
    if found.file and not at:
        return _load_named(found, found.file)
    paths = [path for path in sweeps(found) if _read_stamp(path).startswith(_beginning(at))]
    if not paths:
        raise NoProfileError(f"{found.name} has no sweep of {at} in {found.state}: see aio-tuned history {found.name}")
    return _last(paths)
