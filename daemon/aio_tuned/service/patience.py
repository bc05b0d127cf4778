"""The end of the daemon's patience with other processes: a drive that is never quiet is swept beside their I/O."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aio_tuned.service.worker import messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config
    from aio_tuned.service.busy_wait import BusyWait
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.waits import Waits
    from aio_tuned.service.worker.messages import Final, Job

_log = logging.getLogger(__name__)


class Patience:
    """The waits of drives for other processes, and their limit."""

    def __init__(self, config: Callable[[], Config], waits: Waits) -> None:
        self._config = config
        self._waits = waits

    def note(self, drive: Drive, job: Job, final: Final) -> None:
        """Record whether the drive's sweep waits for other processes."""
        if isinstance(final, messages.Done):
            self._waits.end_busy(drive.device.id)
            drive.never_quiet = ""
        elif job.never_quiet:  # the wait for the next sweep begins
            self._waits.end_busy(drive.device.id)
        elif isinstance(final, messages.Deferred) and final.busy and not job.keeps_own:
            self.report(drive, self._waits.add_deferral(drive.device.id, final.reason))

    def exceeded(self, drive: Drive) -> BusyWait | None:
        """Return the drive's wait for other processes if it is over; None if it is not, or without one."""
        wait = self._waits.busy(drive.device.id)
        return wait if wait and wait.is_over(self._config().patience, self._waits.monotonic()) else None

    def report(self, drive: Drive, wait: BusyWait) -> None:
        """Log a wait that is too long, once; the status shows it until a sweep finishes."""
        found = wait.never_quiet(self._config().patience, self._waits.monotonic())
        if found and not drive.never_quiet:
            _log.warning("%s: %s", drive.device.sys_name, found, extra=drive.fields())
        drive.never_quiet = found or drive.never_quiet
