"""For frameworks: the settings of the drive that a path is on, from /etc/aio-tuned. docs/reading.md has examples.

It needs no root, no daemon and, in a container, nothing but /etc/aio-tuned and /sys, read-only. A drive is known by
its wwid (or a volume's uuid), never by the kernel's name for it, which is another drive's tomorrow.
"""

from aio_tuned.reader.api import defaults, drive_settings_for, profile_for, settings_for
from aio_tuned.reader.lookup import PROFILES
from aio_tuned.reader.types import DIRECTIONS, Direction, DriveSettings, Missing, Settings, Source

__all__ = [
    "DIRECTIONS",
    "PROFILES",
    "Direction",
    "DriveSettings",
    "Missing",
    "Settings",
    "Source",
    "defaults",
    "drive_settings_for",
    "profile_for",
    "settings_for",
]
