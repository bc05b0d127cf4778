"""The settings of a path's drive, from /etc/aio-tuned, for frameworks (docs/how-to/read-settings.md).

The reader needs neither root nor a daemon; in a container it needs only /etc/aio-tuned and /sys, read-only. A drive is
identified by its wwid (a volume by its uuid), because the kernel's names can change at every boot.
"""

from aio_tuned.reader.api import defaults, drive_settings_for, profile_for, requests_for, settings_for
from aio_tuned.reader.lookup import PROFILES
from aio_tuned.reader.types import DIRECTIONS, Direction, DriveSettings, Missing, RequestSettings, Settings, Source

__all__ = [
    "DIRECTIONS",
    "PROFILES",
    "Direction",
    "DriveSettings",
    "Missing",
    "RequestSettings",
    "Settings",
    "Source",
    "defaults",
    "drive_settings_for",
    "profile_for",
    "requests_for",
    "settings_for",
]
