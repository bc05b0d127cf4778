"""The daemon's status file, which every user may read, and its text for people."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.errors import BusyError, ProfileError
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeping:
    """A running sweep; `paused` is the reason if it is paused, or ""."""

    doing: str
    share: float
    left_s: float
    best_bytes_per_s: float
    written_bytes: int
    paused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveStatus:
    """One drive's status; `published` is the state of the profile that readers find, "" if they find none.

    `confidence` is the lowest of that profile's measured sections, or "" if it is not known. `namesake` is a sentence
    on the drive that owns the name which this one would have without its digits, or "".
    """

    name: str
    node: str
    model: str
    serial: str
    size_bytes: int
    stage: str
    reason: str
    since: str
    published: str = ""
    confidence: str = ""
    profile: str = ""
    overridden: bool = False
    namesake: str = ""
    measured_at: str = ""
    read_bytes_per_s: int = 0
    write_bytes_per_s: int = 0
    written_today_bytes: int = 0
    next_try: str = ""
    note: str = ""
    never_quiet: str = ""
    short_of_memory: str = ""
    sweeping: Sweeping | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The daemon's status; `troubles` are sentences on what needs the operator's attention."""

    version: str
    pid: int
    since: str
    drives: tuple[DriveStatus, ...] = ()
    troubles: tuple[str, ...] = ()
    schema: int = field(default=SCHEMA)


def status_path(runtime: Path) -> Path:
    """Return the path of the status file."""
    return runtime / "status.json"


def _is_there(pid: int) -> bool:
    """Return whether the process exists, even if the user may not signal it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write(runtime: Path, status: Status) -> None:
    """Replace the status file; raise OSError if it cannot be written.

    There is no fsync, because the file need not survive a power cut.
    """
    atomic_file.write(status_path(runtime), json.dumps(asdict(status)), sync=False)


def read(runtime: Path) -> Status:
    """Return the daemon's last status; raise BusyError if it does not run, ProfileError if the schema is unknown."""
    path = status_path(runtime)
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']}")  # noqa: TRY301 - handled below as any other unknown content
        drives = [
            DriveStatus(**{**drive, "sweeping": drive["sweeping"] and Sweeping(**drive["sweeping"])})
            for drive in table.pop("drives")
        ]
        found = Status(**{**table, "drives": tuple(drives), "troubles": tuple(table["troubles"])})
        there = _is_there(found.pid)
    except OSError as error:
        raise BusyError(f"{path}: {error.strerror}: the daemon does not run: systemctl start aio-tuned") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ProfileError(f"{path}: not of this version of aio-tuned ({error}): restart the daemon") from None
    if not there:
        raise BusyError(f"the daemon has ended without a word ({path} is left): see systemctl status aio-tuned")
    return found


def _figures(drive: DriveStatus) -> str:
    rates = (("read", drive.read_bytes_per_s), ("write", drive.write_bytes_per_s))
    measured = ", ".join(f"{name} {formatting.throughput(rate)}" for name, rate in rates if rate)
    words = [f"profile: {drive.published}" + (f" ({drive.confidence})" if drive.confidence else "")]
    if measured:
        words.append(measured)
    if drive.measured_at:
        words.append(f"measured at {drive.measured_at}")
    if drive.overridden:
        words.append("with the administrator's overrides")
    return ", ".join(words)


def _lines(drive: DriveStatus) -> list[str]:
    who = "  ".join(word for word in (drive.model, drive.serial, formatting.size(drive.size_bytes)) if word)
    lines = [f"{drive.name}  ({drive.node})  {who}", f"  {drive.stage}: {drive.reason}"]
    if at := drive.sweeping:
        left = f"at most {formatting.duration(at.left_s)} left" if at.left_s else ""
        best = f"best {formatting.throughput(at.best_bytes_per_s)}" if at.best_bytes_per_s else ""
        parts = (at.doing, f"{at.share:.0%}", best, f"{formatting.size(at.written_bytes)} written", left)
        lines.append("  " + ", ".join(part for part in parts if part))
        if at.paused:
            lines.append(f"  paused: {at.paused}")
    if drive.namesake:
        lines.append(f"  {drive.namesake}")
    if drive.next_try:
        lines.append(f"  next try: {drive.next_try}")
    lines += [f"  {why}" for why in (drive.never_quiet, drive.short_of_memory) if why and why != drive.reason]
    if drive.note:
        lines.append(f"  note: {drive.note}")
    if drive.published:
        lines.append(f"  {_figures(drive)}")
    return lines


def describe(status: Status) -> str:
    """Return the status as text for people."""
    blocks = ["\n".join(_lines(drive)) for drive in status.drives]
    if not blocks:
        blocks.append("no drive to tune is there")
    blocks += [f"! {trouble}" for trouble in status.troubles]
    return "\n".join(blocks)
