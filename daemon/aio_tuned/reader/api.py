"""For frameworks: the settings of the drive that a path is on, from /etc/aio-tuned. docs/reading.md has examples.

It needs no root, no daemon and, in a container, nothing but /etc/aio-tuned and /sys, read-only. A drive is known by
its wwid (or a volume's uuid), never by the kernel's name for it, which is another drive's tomorrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import AioTunedError
from aio_tuned.reader.lookup import PROFILES, find_profile
from aio_tuned.reader.section import make_settings, section
from aio_tuned.reader.types import DIRECTIONS, Direction, DriveSettings, Missing, Settings, Source

if TYPE_CHECKING:
    import os


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
    from aio_tuned.profiles.codec import to_table

    return to_table(find_profile(path, Path(profiles)).profile)


def _settings(
    path: str | os.PathLike[str], directions: tuple[Direction, ...], missing: Missing, profiles: str | os.PathLike[str]
) -> list[Settings]:
    if missing not in ("error", "default"):
        raise ValueError(f'missing is {missing!r}, which is neither "error" nor "default"')
    try:
        found = find_profile(path, Path(profiles))
        return [section(found, direction, lenient=len(directions) > 1) for direction in directions]
    except AioTunedError as error:
        if missing == "error":
            raise
        return [defaults(direction, str(error)) for direction in directions]


def defaults(direction: Direction, note: str) -> Settings:
    """DeepSpeed's own defaults, and why there is nothing better."""
    from aio_tuned.model.setting import DEFAULT_SETTING

    return make_settings(DEFAULT_SETTING, direction, None, DEFAULT_SETTING.concurrency, Source("default", note=note))
