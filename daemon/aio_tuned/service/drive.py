"""One disk or volume that the daemon manages: its facts, its state and its published profile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from aio_tuned.journald.events import fields
from aio_tuned.service.state_machine import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.journald.events import EventId
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.target import Target
    from aio_tuned.service.state_machine import DriveState
    from aio_tuned.service.status import Sweeping

# The mounted filesystems of a drive, each with its device number, whether it is read-only, and its type.
Uses = frozenset[tuple[str, bool, str]]


class Publication(Enum):
    """The profiles of a drive that may be published."""

    ANY = "the best known, measured on the drive or not"
    MEASURED = "only one measured on this drive"
    DOUBTED = "one measured on this drive or a clone of it, as stale"
    NONE = "none"


@dataclass(slots=True, kw_only=True, eq=False)
class Drive:
    """One drive that the daemon manages.

    `clones` are the kernel's names of other disks that are present and report the same id.
    `removed` is true once its removal was handled; later events have no effect then. `shown` is the profile to publish.
    `target` is the place of a sweep's I/O, None until the drive was probed and found eligible.
    `scratch_folder` is the folder of the running sweep's scratch file, None if it sweeps the device itself.
    `shape_below` is the stack of volumes below it at the last probe if that forbids something, else None, and
    `attributes` are those of changeable() in sysfs and host when its facts were last compared without an event.
    `full_sweep_reason` is the reason why the next sweep must not be a check, or "". `asked` means that the operator has
    requested the next sweep. `written_bytes` are all bytes that sweeps have written to it, kept over restarts. `note`
    tells whether the bytes that a killed sweep left were zeroed.
    `waits_for_fleet` means that its sweep was held back for the fleet when it was last assessed.
    `never_quiet` is a sentence on a wait for other processes that is too long, and `short_of_memory` the reason if
    memory limits or defers its sweep; each is "" if it does not apply.
    """

    device: Device
    state: DriveState
    since: str
    uses: Uses = frozenset()
    publication: Publication = Publication.ANY
    clones: tuple[str, ...] = ()
    target: Target | None = None
    scratch_folder: Path | None = None
    shape_below: frozenset[object] | None = None
    attributes: tuple[str, ...] = ()
    shown: Profile | None = None
    full_sweep_reason: str = ""
    asked: bool = False
    timer: asyncio.TimerHandle | None = None
    probing: asyncio.Task[None] | None = None
    next_try: str = ""
    sweeping: Sweeping | None = None
    written_bytes: int = 0
    note: str = ""
    never_quiet: str = ""
    short_of_memory: str = ""
    waits_for_fleet: bool = False
    removed: bool = False

    @property
    def is_swept(self) -> bool:
        """Return whether the drive is present and its sweep still wanted."""
        return not self.removed and self.state.stage is Stage.SWEEPING

    def stop_waiting(self) -> None:
        """Cancel the timer and the probe that would emit the drive's next event."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.probing and self.probing is not asyncio.current_task():
            self.probing.cancel()
        self.probing = None
        self.next_try = ""

    def fields(self, event_id: EventId | None = None, **known: object) -> dict[str, str]:
        """Return the `extra` of a log record about the drive."""
        return fields(event_id, self.device.name, self.device.node, **known)
