"""The settings of the drive that a framework's folder is on, or will be on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import reader

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings


def drive_of_folder(folder: str | os.PathLike[str]) -> DriveSettings:
    """Return the settings of the drive below a folder; frameworks make theirs, so it may not exist yet.

    The profiles may be elsewhere, such as in a container. Raise the errors of `reader.drive_settings_for`.
    """
    profiles = os.environ.get("AIO_TUNED_PROFILES") or reader.PROFILES
    return reader.drive_settings_for(_nearest(Path(folder).absolute()), profiles=profiles)


def _nearest(folder: Path) -> Path:
    """Return the folder, or else the nearest one above it that exists: a new folder is on the same drive."""
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
