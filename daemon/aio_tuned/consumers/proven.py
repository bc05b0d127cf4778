"""Whether a verdict is still on what a profile gives to its consumer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.verdicts import setting_text
from aio_tuned.errors import NoProfileError, UsageError
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.verdict import Verdict
    from aio_tuned.reader import DriveSettings

# A folder for exports whose values are compared; none of the compared values has it.
_ANY_FOLDER = "/"


def holds(verdict: Verdict, profile: Profile) -> bool:
    """Return whether the verdict is on the settings that this profile gives to the consumer."""
    if profile.state == "stale" or verdict.consumer not in consumers.NAMES:
        return False
    device = profile.device
    disk = Disk(device.id, device.name, device.model, device.serial, device.size_bytes, node="", number="")
    try:
        drive = drive_settings(FoundProfile(disk, Path(device.name), profile))
    except NoProfileError:
        return False
    # The release may be fio's in the consumer's place, or one that the export does not know: the newest is meant then.
    releases = (ExportOptions(for_version=verdict.version), ExportOptions())
    return any(_setting(verdict.consumer, drive, options) == verdict.setting for options in releases)


def _setting(consumer: str, drive: DriveSettings, options: ExportOptions) -> str | None:
    """Return the compared values that the consumer gets, or None if it gets none with these options."""
    try:
        return setting_text(consumers.load(consumer).export(drive, _ANY_FOLDER, options))
    except UsageError:
        return None
