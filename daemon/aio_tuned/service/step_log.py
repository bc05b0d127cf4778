"""The log record of a drive's new state."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aio_tuned.journald.events import EventId, figures
from aio_tuned.service import state_machine
from aio_tuned.service.state_machine import Deferred, Failed, Finished, Ineligible, Postponed, Stage, Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.service.drive import Drive
    from aio_tuned.service.state_machine import DriveState, Effect, Event

_log = logging.getLogger(__name__)

_EVENT_IDS: dict[type, EventId] = {
    Finished: EventId.SWEEP_FINISHED,
    Ineligible: EventId.SWEEP_SKIPPED,
    Failed: EventId.SWEEP_FAILED,
    Deferred: EventId.SWEEP_DEFERRED,
    Postponed: EventId.SWEEP_DEFERRED,
    Stopped: EventId.SWEEP_STOPPED,
}


def log_step(drive: Drive, event: Event, state: DriveState, effects: Iterable[Effect]) -> None:
    """Log the drive's new state, with the journal's fields for the event."""
    known: dict[str, object] = {
        "stage": state.stage.value,
        "reason": state.reason,
        "retry_s": next((round(each.seconds) for each in effects if isinstance(each, state_machine.RetryIn)), None),
    }
    match event:
        case Finished(measured=measured) if measured:
            known |= figures(measured)
        case Failed(exit_code=exit_code):
            known["exit_code"] = exit_code
    level = logging.WARNING if state.stage is Stage.FAILED else logging.INFO
    extra = drive.fields(_EVENT_IDS.get(type(event)), **known)
    _log.log(level, "%s: %s: %s", drive.device.sys_name, state.stage.value, state.reason, extra=extra)
