"""The operator's requests over the control socket: stop or repeat the sweep of a drive, or forget the drive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import BusyError, Exit, TargetError, UsageError
from aio_tuned.service.drive import Publication
from aio_tuned.service.state_machine import Appeared, Stage, Stopped
from aio_tuned.service.worker.messages import Failed
from aio_tuned.storage.forget import removed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.service.drive import Drive
    from aio_tuned.service.inventory import Inventory
    from aio_tuned.service.scheduler import Scheduler
    from aio_tuned.service.state_machine import Event


class Operator:
    """The handler of requests, which calls `emit` with the drive and the event of each request."""

    def __init__(
        self,
        inventory: Inventory,
        scheduler: Scheduler,
        emit: Callable[[Drive, Event], None],
        remove_files: Callable[[str], int],
    ) -> None:
        self._inventory = inventory
        self._scheduler = scheduler
        self._emit = emit
        self._remove_files = remove_files

    async def answer(self, request: Mapping[str, Any]) -> str:
        """Carry out the request and return a sentence for the operator.

        Raise TargetError if the drive is unknown, UsageError if the request is impossible, BusyError if a sweep cannot
        be ended or must be stopped first, and PublishError if a file cannot be removed.
        """
        name = request.get("name")
        drive = self._inventory.find(name) if isinstance(name, str) else None
        if request.get("do") == "forget" and isinstance(name, str):
            return self._forget(name, drive)
        if drive is None:
            raise TargetError(f"{name}: unknown drive; aio-tuned status lists all that the daemon manages")
        match request.get("do"):
            case "stop":
                return await self._stop(drive)
            case "retune":
                return self._retune(drive, force=bool(request.get("force")))
            case unknown:
                raise UsageError(f"unknown request {unknown!r}; restart the daemon if it is of another version")

    async def _stop(self, drive: Drive) -> str:
        name = drive.device.name
        sweep = self._scheduler.sweep_of(drive)
        self._emit(drive, Stopped(reason=f"stopped by the operator; to resume: aio-tuned retune {name}"))
        if sweep is None:
            return f"{name}: stopped until aio-tuned retune, a new plug-in, or a restart of the daemon"
        # The operator may want to unmount the filesystem, so the scratch file must be removed before the answer.
        await asyncio.wait({sweep})
        final = sweep.result()
        if isinstance(final, Failed) and final.exit_code == Exit.IO:
            raise BusyError(f"{name}: {final.reason}")
        return f"{name}: sweep stopped; it left no scratch file and no data on the drive"

    def _forget(self, name: str, drive: Drive | None) -> str:
        """Remove the files of a drive, present or not; a present one is not swept again until the operator asks."""
        if drive is None:
            return f"{name}: {removed(self._remove_files(name))}"
        if drive.is_swept or self._scheduler.sweep_of(drive):
            raise BusyError(f"{name}: sweep running; stop it first: aio-tuned stop {name}")
        count = self._remove_files(name)
        drive.publication = Publication.NONE
        drive.full_sweep_reason = ""
        self._emit(drive, Stopped(reason=f"forgotten by the operator; to sweep it: aio-tuned retune {name}"))
        return f"{name}: {removed(count)}; to sweep it again: aio-tuned retune {name}"

    def _retune(self, drive: Drive, *, force: bool) -> str:
        name = drive.device.name
        if drive.state.stage is Stage.SWEEPING and not force:
            return f"{name}: sweep already running"
        if drive.state.stage is Stage.PUBLISHED and not force:
            raise UsageError(f"{name}: {drive.state.reason}; to sweep it again, use --force")
        if force:
            drive.full_sweep_reason = "requested by the operator"
            self._scheduler.forget(drive)
        drive.asked = True
        self._emit(drive, Appeared(reason="requested by the operator", asked=True))
        return f"{name}: sweep requested; to follow it: aio-tuned status"
