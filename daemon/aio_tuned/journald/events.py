"""The kinds of log messages about drives, each with a fixed MESSAGE_ID, and the fields of their records.

docs/reference/journal.md explains them, and systemd/aio-tuned.catalog tells the operator what to do.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from aio_tuned.model.profile import Profile, Result

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "AIO_TUNED_"


class EventId(Enum):
    """The kinds of messages, each with its MESSAGE_ID, which never changes because users' filters depend on it."""

    DRIVE_APPEARED = "9033f7e6d7ff4391bcdf5091b2312562"
    DRIVE_GONE = "334b3f954da7429e96c9a4229434f3dd"
    SWEEP_STARTED = "549ef364eb7b451082a85c1311f0bf78"
    SWEEP_FINISHED = "4b11e24272464b5dbb898b3f0b3236b9"
    SWEEP_SKIPPED = "200fe33d8f19468187af2737022916fa"
    SWEEP_FAILED = "02a835c1e2ca4032becf5c18c853b9bd"
    SWEEP_PAUSED = "7814db38c6df4fc3871d7fc32a3c4c5b"
    SWEEP_RESUMED = "d863f10b413c434bb7a8f96c55f9fa4f"
    SWEEP_DEFERRED = "2ddb518f797c4b01b4f12ab712ad546e"
    SWEEP_STOPPED = "57618b6069cf41f49f3f4e08fe699109"
    PROFILE_PUBLISHED = "5c5fe693d86949d396246c4e50e5292e"
    PROFILE_WITHDRAWN = "3e178152867f4d5981b75e192baea2fa"


def fields(event_id: EventId | None, name: str, node: Path | None = None, **known: object) -> dict[str, str]:
    """Return the `extra` of a record about the drive of that name.

    Each keyword becomes an AIO_TUNED_ field; leave out values that are None or "".
    """
    words = {"event": event_id and event_id.name.lower().replace("_", "-"), "device": name, "node": node, **known}
    found = {f"{PREFIX}{key.upper()}": str(value) for key, value in words.items() if value not in (None, "")}
    return found | ({"MESSAGE_ID": event_id.value} if event_id else {})


def figures(measured: Profile) -> dict[str, object]:
    """Return the profile's figures for SWEEP_FINISHED; a direction that was not measured is None."""

    def rate(part: object) -> int | None:
        return part.throughput_bytes_per_s if isinstance(part, Result) else None

    return {
        "read_bytes_per_s": rate(measured.read),
        "write_bytes_per_s": rate(measured.write),
        "points": measured.evidence.points_measured,
        "seconds": round(measured.evidence.seconds, 3),
        "written_bytes": measured.evidence.bytes_written,
    }
