"""The archive of finished sweeps, in `<state>/history/<drive's name>/`.

Each sweep has two files: `<stamp>.toml` is its profile as measured, and `<stamp>.samples.jsonl.gz` has every
measurement. The stamp is the time of the sweep in UTC, such as 20260131T235959Z. The catalog's profile counts as a
sweep too, because it may be older than the archive.

Sweeps are ordered by the modification times of their profiles' files. A new file's time is always later than the last
one's, so that a clock that was wrong once does not change the order.
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
from aio_tuned.storage import atomic_file, layout, targets
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.profile import Profile

# The samples of a full sweep, 2544 measurements of a simulated drive, take 100 KB compressed: 2 MB a drive.
MAX_KEPT = 20
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_SAMPLES = ".samples.jsonl"
# Times must differ by 2 s to stay ordered everywhere: tar keeps whole seconds, and vfat only even ones.
_NEXT_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSweep:
    """A finished sweep; `samples` are () if they are missing or belong to another sweep.

    `torn` has the errors of later files that cannot be read, if this is the last readable sweep.
    """

    profile: Profile
    samples: tuple[Sample, ...]
    path: Path
    torn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedDrive:
    """A drive with sweeps in the archive, present or not, and the state folder of the archive.

    `file` is the profile's file if TARGET was such a file.
    """

    state: Path
    name: str
    file: Path | None = None


def stamp(measured: Profile) -> str:
    """Return the time at which the profile was measured, as a stamp; raise ProfileError without such a time."""
    at = measured.evidence.measured_at
    try:
        when = datetime.fromisoformat(at or "").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ProfileError(f"measured_at = {at!r} is not a time") from None
    return f"{when:%Y%m%dT%H%M%SZ}"


def _folder(state: Path, name: str) -> Path:
    return layout.history_folder(state) / name


def _read_stamp(path: Path) -> str:
    """Return the stamp of a profile's file, from its name or, in the catalog, its content; raise ProfileError."""
    return path.stem if _STAMP.fullmatch(path.stem) else stamp(load_profile(path))


def _inside(folder: Path) -> list[Path]:
    """Return the paths in a folder, none if it is missing; raise TargetError with the reason if it is unreadable."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return []
        raise TargetError(f"{folder}: {error.strerror}") from None


def _written_ns(path: Path) -> int:
    """Return the file's time of modification in ns; 0 if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _ordered(paths: Iterable[Path]) -> list[Path]:
    """Sort the files by time of modification, and by stamp where a copy has made the times equal."""
    return sorted(paths, key=lambda path: (_written_ns(path), _read_stamp(path)))


def _archived(state: Path, name: str) -> list[Path]:
    inside = _inside(_folder(state, name))
    return _ordered(path for path in inside if path.suffix == ".toml" and _STAMP.fullmatch(path.stem))


def _catalogued(state: Path, name: str) -> Path | None:
    """Return the file of the catalog's profile if its sweep is not in the archive, else None."""
    path = layout.catalog_folder(state) / f"{name}.toml"
    try:
        known = _folder(state, name) / f"{_read_stamp(path)}.toml"
    except ProfileError:
        return None
    # os.path is used here and below because Path.is_file() raises if the folder may not be searched.
    return None if os.path.isfile(known) else path  # noqa: PTH113


def list_sweeps(state: Path, name: str) -> tuple[Path, ...]:
    """Return the profiles' files of a drive's sweeps, oldest first; raise TargetError if they cannot be read."""
    found = _archived(state, name)
    if catalogued := _catalogued(state, name):
        found.append(catalogued)
    return tuple(_ordered(found))


def names(state: Path) -> tuple[str, ...]:
    """Return the names of the drives that have sweeps, sorted; raise TargetError if they cannot be read."""
    folders = {path.name for path in _inside(layout.history_folder(state))}
    catalogued = {path.stem for path in _inside(layout.catalog_folder(state)) if path.suffix == ".toml"}
    return tuple(sorted(name for name in folders | catalogued if list_sweeps(state, name)))


def _read_samples(path: Path) -> tuple[Sample, ...]:
    """Read a file of samples; raise OSError if it cannot be read, ValueError if it has no valid samples."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        return tuple(helper_samples.from_table(json.loads(line)) for line in text.splitlines())
    except (EOFError, zlib.error, KeyError, TypeError, RecursionError, HelperError) as error:
        raise ValueError(str(error)) from None


def _samples(path: Path, measured: Profile) -> tuple[Sample, ...]:
    """Return the samples of the sweep whose profile is `path`; () without any.

    They are beside the profile, compressed in the archive, or in the folder above the catalog.
    """
    beside = path.with_name(path.stem + _SAMPLES)
    for candidate in (beside.with_name(beside.name + ".gz"), beside, path.parent.parent / beside.name):
        try:
            found = _read_samples(candidate)
        except (OSError, ValueError):
            continue
        moved_bytes = sum(sample.read_bytes for sample in found)
        # Each sweep replaces the samples of the one before even if its profile could not be saved in the catalog.
        if (len(found), moved_bytes) == (measured.evidence.visits, measured.evidence.bytes_read):
            return found
    return ()


def load(path: Path) -> StoredSweep:
    """Return the sweep whose profile is in that file; raise ProfileError if the file is not a profile."""
    found = load_profile(path)
    return StoredSweep(profile=found, samples=_samples(path, found), path=path)


def _taken(path: Path, measured: Profile) -> bool:
    """Return whether the file belongs to another sweep of the same second, as after a clock was set back."""
    try:
        return path.is_file() and load_profile(path) != measured
    except ProfileError:
        return False  # a damaged file may be replaced


def _put(state: Path, measured: Profile, samples_text: str, written_ns: int) -> None:
    """Write a sweep's files to the archive; raise PublishError, ProfileError or OSError."""
    folder, name = _folder(state, measured.device.name), stamp(measured)
    for directory in (folder.parent, folder):
        # With tune --out root writes into folders of other users, who must not redirect it by a symbolic link.
        if directory.is_symlink():
            raise PublishError(f"{directory}: is a symbolic link, which is not followed here; replace it by a folder")
        atomic_file.make_folder(directory)
    path = folder / f"{name}.toml"
    if _taken(path, measured):
        raise PublishError(f"{path}: already has another sweep of the same second, which is kept")
    if samples_text:
        # Without a time in the gzip header, the same samples make the same file.
        atomic_file.publish(folder / f"{name}{_SAMPLES}.gz", gzip.compress(samples_text.encode(), mtime=0))
    atomic_file.publish(path, codec.render(measured))
    os.utime(path, ns=(written_ns, written_ns), follow_symlinks=False)


def _forget_oldest(state: Path, name: str, newest: str) -> None:
    """Remove all but the last twenty sweeps; always keep that with the stamp `newest`, whatever its file's time."""
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
    """Add a finished sweep, after the catalog's if the archive lacks that one; raise AioTunedError or OSError."""
    name = measured.device.name
    if catalogued := _catalogued(state, name):
        earlier = load(catalogued)
        _put(state, earlier.profile, helper_samples.to_lines(earlier.samples), _written_ns(catalogued))
    # The new sweep is dated after all others even if the clock was set back, or it would be removed before them.
    last_ns = max(map(_written_ns, _archived(state, name)), default=0)
    _put(state, measured, samples_text, max(time.time_ns(), last_ns + _NEXT_NS))
    _forget_oldest(state, name, stamp(measured))


def keep(state: Path, measured: Profile, samples_text: str) -> None:
    """Add a finished sweep to the drive's archive, which keeps the last twenty; raise PublishError if that fails.

    `samples_text` is the content of the sweep's file of samples. Call this before writing that file, which may still
    have the samples of the catalog's sweep: that one is archived first.
    """
    try:
        _add(state, measured, samples_text)
    except AioTunedError as error:
        raise PublishError(str(error)) from None
    except OSError as error:
        folder = _folder(state, measured.device.name)
        raise PublishError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None


def _find_state(file: Path, name: str, config: Config) -> Path:
    """Return the state folder with the history of a profile's file, near that file or else the configured one."""
    for state in (file.parent, *file.absolute().parents[2:3]):
        if os.path.isdir(_folder(state, name)):  # noqa: PTH112 - as in _catalogued()
            return state
    return config.state


def drive(config: Config, target: str) -> ArchivedDrive:
    """Return the drive that a TARGET names.

    TARGET is a profile's file, a drive's name, a directory, a file, or a block device. Raise TargetError if it names no
    drive, ProfileError if it is a damaged profile.
    """
    named = targets.find_drive(
        target,
        lambda name: bool(list_sweeps(config.state, name)),
        f"{target}: neither a path nor a drive with a sweep in {config.state}; aio-tuned history lists the drives",
        NameRegister(config.profiles, config.state),
    )
    state = _find_state(named.file, named.name, config) if named.file else config.state
    return ArchivedDrive(state=state, name=named.name, file=named.file)


def sweeps(found: ArchivedDrive) -> tuple[Path, ...]:
    """Return the profiles' files as list_sweeps() does; raise NoProfileError if there are none."""
    if paths := list_sweeps(found.state, found.name):
        return paths
    raise NoProfileError(f"{found.name}: no finished sweep in {found.state}; run aio-tuned tune TARGET")


def split(config: Config, target: str) -> tuple[str, str]:
    """Split TARGET[@TIME] into TARGET and TIME, "" without one; names and paths may contain an @ too."""
    head, mark, at = target.rpartition("@")
    if not mark or os.path.exists(target) or list_sweeps(config.state, target):  # noqa: PTH110 - as in _catalogued()
        return target, ""
    return head, at


def _beginning(at: str) -> str:
    """Return the beginning of a stamp for a TIME in UTC: 20260131T2359 for 2026-01-31T23:59."""
    return at.removesuffix("+00:00").replace("-", "").replace(":", "").replace(" ", "T")


def _load_named(found: ArchivedDrive, file: Path) -> StoredSweep:
    """Return the sweep of a profile's file, from the archive if possible: without overrides, and with samples."""
    try:
        when = _read_stamp(file)
    except ProfileError:
        return load(file)  # a profile without a measurement; for a damaged file this raises the error
    return load(next((path for path in list_sweeps(found.state, found.name) if _read_stamp(path) == when), file))


def _last(paths: Sequence[Path]) -> StoredSweep:
    """Return the last sweep whose file can be read; raise ProfileError if none can."""
    torn: list[str] = []
    for path in reversed(paths[1:]):
        try:
            return replace(load(path), torn=tuple(torn))
        except ProfileError as error:
            torn.append(str(error))
    return replace(load(paths[0]), torn=tuple(torn))


def find(config: Config, target: str) -> StoredSweep:
    """Return the sweep that TARGET[@TIME] names; TIME is the beginning of a time, and the last match is returned.

    Raise NoProfileError without such a sweep, else TargetError or ProfileError.
    """
    named, at = split(config, target)
    found = drive(config, named)
    if found.file and not at:
        return _load_named(found, found.file)
    paths = [path for path in sweeps(found) if _read_stamp(path).startswith(_beginning(at))]
    if not paths:
        raise NoProfileError(f"{found.name}: no sweep of {at} in {found.state}; see aio-tuned history {found.name}")
    return _last(paths)
