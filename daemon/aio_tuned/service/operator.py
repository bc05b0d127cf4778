"""The operator's requests over the control socket: to stop or to repeat the sweep of a drive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import BusyError, Exit, TargetError, UsageError
from aio_tuned.service.state_machine import Appeared, Stage, Stopped
from aio_tuned.service.worker.messages import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.service.drive import Drive
    from aio_tuned.service.inventory import Inventory
    from aio_tuned.service.scheduler import Scheduler
    from aio_tuned.service.state_machine import Event


class Operator:
    """The handler of requests; it calls `emit` with each request's drive and event."""

    def __init__(self, inventory: Inventory, scheduler: Scheduler, emit: Callable[[Drive, Event], None]) -> None:
        self._inventory = inventory
        self._scheduler = scheduler
        self._emit = emit

    async def answer(self, request: Mapping[str, Any]) -> str:
        """Carry out the request and return a sentence for the operator.

        Raise TargetError if the drive is unknown, UsageError if the request is not possible, and BusyError if the sweep
        cannot be ended.
        """
        name = request.get("name")
        drive = self._inventory.find(name) if isinstance(name, str) else None
        if drive is None:
            raise TargetError(f"{name} is not a drive that the daemon knows; aio-tuned status lists them")
        match request.get("do"):
            case "stop":
                return await self._stop(drive)
            case "retune":
                return self._retune(drive, force=bool(request.get("force")))
            case unknown:
                raise UsageError(f"the daemon does not know how to {unknown!r}")

    async def _stop(self, drive: Drive) -> str:
        name = drive.device.name
        sweep = self._scheduler.sweep_of(drive)
        self._emit(drive, Stopped(reason=f"stopped by the operator; to go on: aio-tuned retune {name}"))
        if sweep is None:
            return f"{name}: it is not swept until aio-tuned retune, or until it is plugged in again"
        # The operator may want to unmount the filesystem, so the scratch file must be removed before the answer.
        await asyncio.wait({sweep})
        final = sweep.result()
        if isinstance(final, Failed) and final.exit_code == Exit.IO:
            raise BusyError(f"{name}: {final.reason}")
        return f"{name}: the sweep was ended, and nothing of it is left on the drive"

    def _retune(self, drive: Drive, *, force: bool) -> str:
        name = drive.device.name
        if drive.state.stage is Stage.SWEEPING and not force:
            return f"{name}: it is being swept just now"
        if drive.state.stage is Stage.PUBLISHED and not force:
            raise UsageError(f"{name}: {drive.state.reason}; --force sweeps it all the same")
        if force:
            drive.full_sweep_reason = "asked for by the operator"
            self._scheduler.forget(drive)
        self._emit(drive, Appeared(reason="asked for by the operator", asked=True))
        return f"{name}: it is looked at again; aio-tuned status shows how it goes on"
