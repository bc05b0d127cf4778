"""The setting as text to paste: TOML, and the section "aio" of DeepSpeed's JSON configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.consumers import deepspeed, rendering
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import NoProfileError
from aio_tuned.model.setting import Setting
from aio_tuned.reader.section import section
from aio_tuned.reader.types import DIRECTIONS, Disk, DriveSettings, FoundProfile

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile

KEYS = tuple(item.name for item in fields(Setting))

_OF = {"combined": "both", "read": "reads", "write": "writes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyBlock:
    """A text to paste, with its heading and the command that prints it."""

    heading: str
    command: str
    text: str


def value(setting: object, key: str) -> str:
    """Return the parameter as TOML and JSON write it: "1048576", "true"."""
    found = getattr(setting, key)
    return str(found).lower() if isinstance(found, bool) else str(found)


def blocks(profile: Profile) -> tuple[CopyBlock, ...]:
    """Return the combined setting in each format, as `aio-tuned get` and `aio-tuned export` print it.

    Without a combined setting these are the settings of the measured direction; return nothing without any.
    """
    device = profile.device
    disk = Disk(device.id, device.name, device.model, device.serial, device.size_bytes, node="", number="")
    found = FoundProfile(disk, Path(device.name), profile)
    try:
        drive = DriveSettings(*(section(found, direction, lenient=True) for direction in DIRECTIONS))
    except NoProfileError:
        return ()
    of = _OF[drive.combined.source.section]
    lines = [f"{key} = {value(drive.combined, key)}" for key in KEYS]
    exported = deepspeed.export(drive, "", ExportOptions())
    return (
        CopyBlock(heading=f"TOML for {of}", command="aio-tuned get PATH", text="\n".join(lines)),
        CopyBlock(
            heading=f"DeepSpeed JSON for {of}",
            command="aio-tuned export deepspeed PATH",
            text=rendering.render(exported).rstrip("\n"),
        ),
    )
