"""The reader's public functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.errors import AioTunedError
from aio_tuned.reader.lookup import PROFILES, find_profile
from aio_tuned.reader.section import drive_settings, make_settings, section
from aio_tuned.reader.types import DIRECTIONS, Direction, DriveSettings, Missing, Settings, Source

if TYPE_CHECKING:
    import os

    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp
    from aio_tuned.reader.types import FoundProfile, RequestSettings


def settings_for(
    path: str | os.PathLike[str],
    direction: Direction = "read",
    *,
    missing: Missing = "error",
    profiles: str | os.PathLike[str] = PROFILES,
) -> Settings:
    """Return the settings for I/O on a path: a directory, a file, or a block device.

    "combined" is for consumers that take one setting for both directions. If only one direction was measured, its
    settings are returned, and `source.note` has a remark.

    Raise TargetError if the path does not exist or is on no drive, NoProfileError (a TargetError) if the drive has no
    profile or none for that direction, and ProfileError if the profile is damaged, is not a profile, has an unknown
    schema, or may be written by users other than root and you. With missing="default" DeepSpeed's defaults are returned
    in place of these errors (1 MiB, depth 8, one thread, overlap, batch), with the error's text in `source.note`.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}")
    try:
        return section(_find(path, missing, profiles), direction)
    except AioTunedError as error:
        if missing == "error":
            raise
        return defaults(direction, str(error))


def drive_settings_for(
    path: str | os.PathLike[str],
    *,
    missing: Missing = "error",
    profiles: str | os.PathLike[str] = PROFILES,
) -> DriveSettings:
    """Return all settings of a drive at once; arguments and errors are those of `settings_for`.

    A direction that was not measured is no error here: it gets the other direction's settings, and `source.note` has a
    remark.
    """
    try:
        return drive_settings(_find(path, missing, profiles))
    except AioTunedError as error:
        if missing == "error":
            raise
        return drive_defaults(str(error))


def drive_defaults(note: str = "") -> DriveSettings:
    """Return DeepSpeed's defaults for all directions, with a remark in `source.note`."""
    read, write, combined = (defaults(direction, note) for direction in DIRECTIONS)
    return DriveSettings(read, write, combined)


def requests_for(
    path: str | os.PathLike[str],
    request_bytes: int,
    direction: CurveOp = "read",
    engine: Engine = "psync",
    max_p99_us: float | None = None,
    *,
    profiles: str | os.PathLike[str] = PROFILES,
) -> RequestSettings:
    """Return the requests in flight for requests of one fixed size at random places, over all threads.

    They are the fewest that give 95 % of the most throughput with that size; with `max_p99_us` those with the most
    throughput whose p99 is known and at most that. "mixed" is 70 % reads. Engines are "psync" (threads of pread() and
    pwrite()), "io_uring" and "libaio". Between two measured sizes the figures are interpolated, and `source.note` says
    so.

    Raise NoCurveError if the profile has no figures for that engine, direction or size, and LatencyError if no p99 is
    within the bound (both are NoProfileErrors); other errors are those of `settings_for`.
    """
    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp
    from aio_tuned.reader.requests import request_settings

    for name, given, known in (("direction", direction, get_args(CurveOp)), ("engine", engine, get_args(Engine))):
        if given not in known:
            raise ValueError(f"{name} {given!r} is not one of {', '.join(known)}")
    if request_bytes <= 0 or not (max_p99_us is None or max_p99_us > 0):
        raise ValueError(f"request_bytes {request_bytes} and max_p99_us {max_p99_us} must be more than 0")
    return request_settings(find_profile(path, Path(profiles)), request_bytes, direction, engine, max_p99_us)


def profile_for(
    path: str | os.PathLike[str], *, profiles: str | os.PathLike[str] = PROFILES
) -> dict[str, dict[str, Any]]:
    """Return the profile as nested dictionaries (docs/profile.schema.json); errors are those of `settings_for`."""
    from aio_tuned.profiles.codec import to_table

    return to_table(find_profile(path, Path(profiles)).profile)


def _find(path: str | os.PathLike[str], missing: Missing, profiles: str | os.PathLike[str]) -> FoundProfile:
    """Return the profile of the path's drive; raise ValueError if `missing` is not valid."""
    if missing not in ("error", "default"):
        raise ValueError(f'missing {missing!r} is neither "error" nor "default"')
    return find_profile(path, Path(profiles))


def defaults(direction: Direction, note: str) -> Settings:
    """Return DeepSpeed's defaults as settings, with the reason for them as the note."""
    from aio_tuned.model.setting import DEFAULT_SETTING

    return make_settings(DEFAULT_SETTING, direction, None, DEFAULT_SETTING.concurrency, Source("default", note=note))
