"""The size of a sweep's transfers, by the memory that is available."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.service.state_machine import Deferred
from aio_tuned.service.worker import memory

if TYPE_CHECKING:
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.worker.memory import AvailableMemory
    from aio_tuned.service.worker.messages import Job

_log = logging.getLogger(__name__)

# A sweep that lacks memory is tried again after five times the shortest retry, by default 5 minutes.
_MEMORY_PAUSES = 5


def fitted(drive: Drive, job: Job, available: AvailableMemory | None) -> Job | Deferred:
    """Return the job with a transfer whose buffer fits into memory, or Deferred if the smallest does not fit."""
    config = job.config
    fits = memory.fitting_transfer(available, config.transfer_bytes)
    if available is None or fits == config.transfer_bytes:
        drive.short_of_memory = ""
        return job
    needed = memory.needed_bytes(config.transfer_bytes)
    drive.short_of_memory = memory.describe(available, needed)
    if not fits:
        return Deferred(reason=drive.short_of_memory, seconds=_MEMORY_PAUSES * config.min_retry)
    drive.short_of_memory += f"; until then the sweep uses transfers of {formatting.size(fits)}"
    _log.warning("%s: %s", drive.device.sys_name, drive.short_of_memory, extra=drive.fields())
    return replace(job, config=replace(config, transfer_bytes=fits))
