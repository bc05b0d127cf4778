"""The daemon's status file, which every user may read, and the text that `aio-tuned status` prints."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aio_tuned import formatting
from aio_tuned.errors import BusyError, NotRunningError, ProfileError
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1

# What the file of an [[export]] rule has: settings of a drive, none, or not what it must have.
ExportState = Literal["settings", "defaults", "failed"]


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
    """One drive's status; `published` is the state of its published profile, or "" without one.

    `confidence` is the lowest confidence of the profile's measured sections, or "" if it is unknown. `namesake` is a
    sentence about the drive that owns this one's name without the digits, or "".
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
class ExportStatus:
    """The file of one [[export]] rule; `device` is the drive whose settings it has, `reason` is why it has none."""

    consumer: str
    path: str
    file: str
    state: ExportState
    device: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The daemon's status; `troubles` are the problems that need the operator's attention, one sentence each."""

    version: str
    pid: int
    since: str
    drives: tuple[DriveStatus, ...] = ()
    exports: tuple[ExportStatus, ...] = ()
    troubles: tuple[str, ...] = ()
    schema: int = field(default=SCHEMA)


def status_path(runtime: Path) -> Path:
    """Return the path of the status file."""
    return runtime / "status.json"


def _is_running(pid: int) -> bool:
    """Return whether the process exists, even if the user may not signal it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write(runtime: Path, status: Status) -> None:
    """Replace the status file, without fsync, because it need not survive a power cut; raise OSError on failure."""
    atomic_file.write(status_path(runtime), json.dumps(asdict(status)), sync=False)


def read(runtime: Path) -> Status:
    """Return the daemon's last status.

    Raise NotRunningError if the daemon is not running, ProfileError if the file is of another version of aio-tuned.
    """
    path = status_path(runtime)
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']}")  # noqa: TRY301 - handled below like other unknown content
        drives = [
            DriveStatus(**{**drive, "sweeping": drive["sweeping"] and Sweeping(**drive["sweeping"])})
            for drive in table.pop("drives")
        ]
        exports = tuple(ExportStatus(**each) for each in table.pop("exports"))
        found = Status(**{**table, "drives": tuple(drives), "exports": exports, "troubles": tuple(table["troubles"])})
        running = _is_running(found.pid)
    except FileNotFoundError:
        raise NotRunningError("the daemon is not running; start it with: systemctl start aio-tuned") from None
    except OSError as error:
        raise BusyError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ProfileError(f"{path}: written by another version of aio-tuned ({error}); restart the daemon") from None
    if not running:
        raise NotRunningError("the daemon was terminated unexpectedly; see systemctl status aio-tuned")
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
        words.append("with overrides")
    return ", ".join(words)


def _lines(drive: DriveStatus) -> list[str]:
    words = (drive.model, drive.serial, formatting.size(drive.size_bytes))
    kernel_name = drive.node.rpartition("/")[2]
    lines = [f"{drive.name} ({kernel_name}): {', '.join(word for word in words if word)}"]
    lines.append(f"  {drive.stage}: {drive.reason}")
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


def told(export: ExportStatus) -> str:
    """Return the sentence on the file of one rule."""
    words = {
        "settings": f"settings of {export.device}",
        "defaults": f"no settings: {export.reason}",
        "failed": f"failed: {export.reason}",
    }
    return f"{export.file} ({export.consumer}, {export.path}): {words[export.state]}"


def describe(status: Status) -> str:
    """Return the text that `aio-tuned status` prints."""
    blocks = ["\n".join(_lines(drive)) for drive in status.drives]
    if not blocks:
        blocks.append("No tunable drives found.")
    blocks += [f"export {told(export)}" for export in status.exports]
    blocks += [f"! {trouble}" for trouble in status.troubles]
    return "\n".join(blocks)
