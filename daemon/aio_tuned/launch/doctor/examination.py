"""What is examined: the question, a drive with its profile and the consumer's need, and a guard for each look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.devices import sysfs
from aio_tuned.errors import AioTunedError, UsageError
from aio_tuned.launch.doctor.finding import Unchecked
from aio_tuned.launch.doctor.need import ALL_PARAMETERS, make_need
from aio_tuned.reader.api import drive_defaults
from aio_tuned.reader.lookup import find_disk_profile
from aio_tuned.reader.section import drive_settings
from aio_tuned.timeouts import TooLateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aio_tuned.launch.doctor.drives import Examined
    from aio_tuned.launch.doctor.finding import Outcome
    from aio_tuned.launch.doctor.need import Need
    from aio_tuned.reader import DriveSettings
    from aio_tuned.reader.types import Disk, FoundProfile

# A drive, or a filesystem on the network or in a program, may never answer.
MAX_S = 5.0
# A folder that every consumer takes; which one it is makes no difference to the need.
_ANY_FOLDER = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What to examine: a consumer, or None for all, the folder of the profiles, and the roots of /sys and /proc.

    `daemon_says` returns the daemon's words on a drive, or "". `kernel_change` is that of the configuration.
    """

    consumer: str | None
    profiles: Path
    kernel_change: str = "minor"
    daemon_says: Callable[[Disk], str] = lambda _: ""
    sys: Path = sysfs.SYS
    proc: Path = Path("/proc")

    def need(self, settings: DriveSettings, node: str | None = None) -> Need:
        """Return the need of the consumer with these settings, in a folder or on the device `node`.

        A consumer that takes no device has its need in a folder.
        """
        name = self.consumer or ALL_PARAMETERS
        try:
            export = consumers.export_for(name, settings, node or _ANY_FOLDER, ExportOptions())
        except UsageError:
            export = consumers.export_for(name, settings, _ANY_FOLDER, ExportOptions())
        return make_need(name, settings, export)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A drive with its profile, or the reader's reason why it has none, and the consumer's need."""

    drive: Examined
    found: FoundProfile | None
    error: str
    settings: DriveSettings
    need: Need


def admit(drive: Examined, asked: Examination) -> Patient:
    """Return the drive with its profile; without one, with DeepSpeed's defaults."""
    found, error = None, ""
    try:
        found = find_disk_profile(drive.disk, asked.profiles)
        settings = drive_settings(found)
    except AioTunedError as reason:
        error = str(reason)
        settings = drive_defaults(error)
    need = asked.need(settings, None if drive.place else drive.node)
    return Patient(drive=drive, found=found, error=error, settings=settings, need=need)


def look(check: str, subject: str, see: Callable[[], Iterable[Outcome]]) -> tuple[Outcome, ...]:
    """Return what a check says, or why its facts cannot be read: a drive was pulled, the process has no file left."""
    try:
        return tuple(see())
    except TooLateError:
        return (Unchecked(check=check, subject=subject, reason=f"no answer within {MAX_S:.0f} s"),)
    except (AioTunedError, OSError, RuntimeError, ValueError) as error:
        return (Unchecked(check=check, subject=subject, reason=str(error) or type(error).__name__),)
