"""The setting as text to paste: TOML, and the section "aio" of DeepSpeed's JSON configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.consumers import deepspeed, rendering
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import NoProfileError
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile
from aio_tuned.report.parameters import toml_lines

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile

_OF = {"combined": "both", "read": "reads", "write": "writes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyBlock:
    """A text to paste, with its heading and the command that prints it."""

    heading: str
    command: str
    text: str


def blocks(profile: Profile) -> tuple[CopyBlock, ...]:
    """Return the combined setting in each format, as `aio-tuned get` and `aio-tuned export` print it.

    Without a combined setting these are the settings of the measured direction; return nothing without any.
    """
    device = profile.device
    disk = Disk(device.id, device.name, device.model, device.serial, device.size_bytes, node="", number="")
    found = FoundProfile(disk, Path(device.name), profile)
    try:
        drive = drive_settings(found)
    except NoProfileError:
        return ()
    of = _OF[drive.combined.source.section]
    exported = deepspeed.export(drive, "", ExportOptions())
    return (
        CopyBlock(heading=f"TOML for {of}", command="aio-tuned get PATH", text="\n".join(toml_lines(drive.combined))),
        CopyBlock(
            heading=f"DeepSpeed JSON for {of}",
            command="aio-tuned export deepspeed PATH",
            text=rendering.render(exported).rstrip("\n"),
        ),
    )
