"""Environment variables for the user's own programs and scripts: NAME=VALUE, for every direction and parameter.

AIO_TUNED_READ_…, AIO_TUNED_WRITE_… and AIO_TUNED_COMBINED_… exist with BLOCK_SIZE (bytes), QUEUE_DEPTH (requests per
thread), IO_PARALLELISM (threads), OVERLAP_EVENTS and SINGLE_SUBMIT (true or false), SATURATING_CONCURRENCY (requests
over all threads), STATE, and THROUGHPUT_BYTES_PER_S. AIO_TUNED_STATE (that of the combined settings), AIO_TUNED_SOURCE
(the profile's file) and AIO_TUNED_DEVICE exist once. Unknown values are empty, such as the throughput of parameters
that were not measured together. aio-tuned itself reads none of these variables.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped_drive, release_ignored, size_ignored
from aio_tuned.reader.types import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.reader import DriveSettings, Settings


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return all settings of the drive as variables; raise UsageError for a cap below 4096 bytes."""
    del path  # the variables name the drive, not the path
    given = capped_drive(drive, options)
    source = given.combined.source
    values: dict[tuple[Key, ...], Value] = {
        ("AIO_TUNED_STATE",): source.state,
        # A program may have another working directory.
        ("AIO_TUNED_SOURCE",): os.path.abspath(source.file) if source.file else "",  # noqa: PTH100 - "" is none
        ("AIO_TUNED_DEVICE",): source.device,
    }
    notes: list[str] = []
    for name in DIRECTIONS:
        settings = getattr(given, name)
        prefix = f"AIO_TUNED_{name.upper()}_"
        values |= {(prefix + parameter,): value for parameter, value in _variables(settings)}
        notes += cap_note(prefix + "BLOCK_SIZE", getattr(drive, name), settings)
    ignored = (
        *size_ignored(options, "the five parameters do not depend on it; aio-tuned get has the same option"),
        *release_ignored(options, "env"),
    )
    return Export(format="env", values=values, notes=(*notes, *ignored))


def _variables(settings: Settings) -> Iterator[tuple[str, Value]]:
    yield "BLOCK_SIZE", settings.block_size
    yield "QUEUE_DEPTH", settings.queue_depth
    yield "IO_PARALLELISM", settings.io_parallelism
    yield "OVERLAP_EVENTS", settings.overlap_events
    yield "SINGLE_SUBMIT", settings.single_submit
    yield "SATURATING_CONCURRENCY", settings.saturating_concurrency
    # Unknown figures are empty, not omitted, so that a merge into a file leaves no older figure in it.
    yield "THROUGHPUT_BYTES_PER_S", "" if settings.throughput_bytes_per_s is None else settings.throughput_bytes_per_s
    yield "STATE", settings.source.state
