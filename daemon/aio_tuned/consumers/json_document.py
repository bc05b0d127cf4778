"""All settings of a drive as JSON, with native types, for programs that do not read TOML.

{"path": …, "read": {…}, "write": {…}, "combined": {…}}, each with the fields of `aio_tuned.reader.Settings` under their
own names: block_size (bytes), queue_depth (requests per thread), io_parallelism (threads), overlap_events,
single_submit, saturating_concurrency (requests over all threads), throughput_bytes_per_s, direction, and source with
state, file, device, section and note. throughput_bytes_per_s is null if these parameters were not measured together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped_drive, release_ignored, size_ignored
from aio_tuned.reader.types import DIRECTIONS

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.reader import DriveSettings


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return all settings of the drive that `path` is on; raise UsageError for a cap below 4096 bytes."""
    given = capped_drive(drive, options)
    values: dict[tuple[Key, ...], Value] = {("path",): path}
    notes: list[str] = []
    for name in DIRECTIONS:
        settings = getattr(given, name)
        for field, value in settings._asdict().items():
            if field == "source":
                values |= {(name, field, part): text for part, text in value._asdict().items()}
            else:  # null is included, so that a merge into a file leaves no older figure in it
                values[name, field] = value
        notes += cap_note(f"{name}.block_size", getattr(drive, name), settings)
    ignored = (
        *size_ignored(options, "the five parameters do not depend on it; aio-tuned get has the same option"),
        *release_ignored(options, "json"),
    )
    return Export(format="json", values=values, notes=(*notes, *ignored))
