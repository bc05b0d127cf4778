"""Whether a verdict is still on what a profile gives to its consumer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.verdicts import setting_text
from aio_tuned.errors import AioTunedError
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.verdict import Verdict

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
        return any(
            setting_text(consumers.load(verdict.consumer).export(drive, _ANY_FOLDER, options)) == verdict.setting
            for options in (ExportOptions(for_version=verdict.version), ExportOptions())
        )
    except AioTunedError:
        return False
