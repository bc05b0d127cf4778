"""Adapter: the finished sweeps of every drive, below `<state>/history/<drive's name>/`.

Of each there are `<stamp>.toml`, its profile as it was measured, and `<stamp>.samples.jsonl.gz`, every visit; the stamp
is when it was measured, in UTC: 20260131T235959Z. The catalog's profile counts as one of them: it may be older than the
archive.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import time
import zlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import location, profile, publish, record, shelf
from aio_tuned.errors import HelperError, NoProfileError, ProfileError, PublishError, TargetError

if TYPE_CHECKING:
    from aio_tuned.config import Config
    from aio_tuned.model import Profile, Sample

# The samples of a full sweep, 1978 visits, take 67 KB compressed: 1.4 MB a drive.
MOST_KEPT = 20
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_SAMPLES = ".samples.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A finished sweep; `samples` are () where they are missing, or are another sweep's."""

    profile: Profile
    samples: tuple[Sample, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
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


def _stamp_of(path: Path) -> str:
    """The stamp of a listed file: the catalog's has the drive's name instead. ProfileError."""
    return path.stem if _STAMP.fullmatch(path.stem) else stamp(shelf.load(path))


def _archived(state: Path, name: str) -> list[Path]:
    return sorted(path for path in _folder(state, name).glob("*.toml") if _STAMP.fullmatch(path.stem))


def _catalogued(state: Path, name: str) -> Path | None:
    """The catalog's profile, if it is a sweep that the archive does not have."""
    path = shelf.catalog_folder(state) / f"{name}.toml"
    try:
        known = (_folder(state, name) / f"{_stamp_of(path)}.toml").is_file()
    except ProfileError:
        return None
    return None if known else path


def list_of(state: Path, name: str) -> tuple[Path, ...]:
    """The profiles' files of a drive's sweeps, oldest first."""
    found = _archived(state, name)
    if catalogued := _catalogued(state, name):
        found.append(catalogued)
    return tuple(sorted(found, key=_stamp_of))


def names(state: Path) -> tuple[str, ...]:
    """The drives that have sweeps, sorted."""
    folders = {path.name for path in (state / "history").glob("*")}
    catalogued = {path.stem for path in shelf.catalog_folder(state).glob("*.toml")}
    return tuple(sorted(name for name in folders | catalogued if list_of(state, name)))


def _read_samples(path: Path) -> tuple[Sample, ...]:
    """OSError, or ValueError if they are not samples."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        return tuple(record.taken(json.loads(line)) for line in text.splitlines())
    except (EOFError, zlib.error, KeyError, TypeError, HelperError) as error:
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


def load(path: Path) -> Stored:
    """The sweep whose profile is in that file. ProfileError."""
    found = shelf.load(path)
    return Stored(profile=found, samples=_samples(path, found), path=path)


def _put(state: Path, measured: Profile, samples_text: str) -> None:
    folder, name = _folder(state, measured.device.name), stamp(measured)
    for directory in (folder.parent, folder):
        publish.make_folder(directory)
    if samples_text:
        # Without a time in it, the same samples make the same file.
        publish.publish(folder, f"{name}{_SAMPLES}.gz", gzip.compress(samples_text.encode(), mtime=0))
    publish.publish(folder, f"{name}.toml", profile.render(measured))


def _forget_oldest(state: Path, name: str) -> None:
    kept = {path.stem for path in _archived(state, name)[-MOST_KEPT:]}
    folder = _folder(state, name)
    publish.remove_leftovers(folder, time.time())
    for path in folder.glob("[!.]*"):
        word = path.name.partition(".")[0]
        if _STAMP.fullmatch(word) and word not in kept:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise PublishError(f"{path}: cannot be removed: {error.strerror}") from None


def keep(state: Path, measured: Profile, samples_text: str) -> None:
    """Add a finished sweep to its drive's, of which the last twenty are kept. PublishError.

    `samples_text` is what the file of its samples has, or is to have: to be called before that replaces what a sweep
    from before the archive has left, which is taken in first.
    """
    name = measured.device.name
    if catalogued := _catalogued(state, name):
        earlier = load(catalogued)
        _put(state, earlier.profile, record.lines(earlier.samples))
    _put(state, measured, samples_text)
    _forget_oldest(state, name)


def _state_of(file: Path, name: str, config: Config) -> Path:
    """The state folder whose history speaks of a profile's file: that of the file itself, or the configured one."""
    for state in (file.parent, *file.absolute().parents[2:3]):
        if _folder(state, name).is_dir():
            return state
    return config.state


def drive(config: Config, target: str) -> Drive:
    """Whose sweeps a TARGET names: the file of a profile, a drive's name, a directory, a file, or a block device.

    TargetError, ProfileError.
    """
    given = Path(target)
    if given.suffix == ".toml" and given.is_file():
        name = shelf.load(given).device.name
        return Drive(state=_state_of(given, name, config), name=name, file=given)
    if "/" not in target and list_of(config.state, target):
        return Drive(state=config.state, name=target)
    # Not Path.exists(), which raises where the current folder may not be searched.
    if not os.path.exists(given):  # noqa: PTH110
        raise TargetError(
            f"{target} is neither a drive with a finished sweep in {config.state} nor a path: see aio-tuned history"
        )
    return Drive(state=config.state, name=location.device(location.resolve(given)).name)


def sweeps(found: Drive) -> tuple[Path, ...]:
    """As list_of, but NoProfileError if there are none."""
    if paths := list_of(found.state, found.name):
        return paths
    raise NoProfileError(f"{found.name} has no finished sweep in {found.state}: run aio-tuned tune TARGET")


def _split(config: Config, target: str) -> tuple[str, str]:
    """TARGET and TIME; names and paths may have an @ of their own."""
    head, mark, at = target.rpartition("@")
    if not mark or os.path.exists(target) or list_of(config.state, target):  # noqa: PTH110 - as in drive()
        return target, ""
    return head, at


def find(config: Config, target: str) -> Stored:
    """The sweep that TARGET[@TIME] names; TIME is the beginning of a stamp, and of several sweeps the last is meant.

    TargetError, ProfileError.
    """
    named, at = _split(config, target)
    found = drive(config, named)
    if found.file and not at:
        # The archive has it without what the administrator has overridden, and with its samples.
        try:
            archived = _folder(found.state, found.name) / f"{_stamp_of(found.file)}.toml"
        except ProfileError:
            archived = found.file
        return load(archived if archived.is_file() else found.file)
    paths = [path for path in sweeps(found) if _stamp_of(path).startswith(at)]
    if not paths:
        raise NoProfileError(f"{found.name} has no sweep of {at} in {found.state}: see aio-tuned history {found.name}")
    return load(paths[-1])
