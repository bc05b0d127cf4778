"""The watch for snapshots of a volume that are created while a sweep writes to the volume."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aio_tuned.devices import stack, sysfs
from aio_tuned.errors import TargetError
from aio_tuned.timeouts import in_thread

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

# A snapshot's space may be small, and a drive writes 100 MB in this time.
_INTERVAL_S = 0.05


async def end_at_snapshot(
    work: Coroutine[Any, Any, T],
    number: str,
    sys: Path = sysfs.SYS,
    proc: Path = Path("/proc"),
    dev: Path = Path("/dev"),
) -> T:
    """Return the result of `work`, a sweep on the block device of that number.

    Cancel the work and raise TargetError as soon as a volume below gets a snapshot, or the stack becomes unreadable.
    Without volumes nothing is watched, since a disk in use cannot get a snapshot.
    """
    shape = stack.shape(number, sys)
    if not shape:
        return await work
    sweeping = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_watch(number, shape, sys, proc, dev))
    try:
        await asyncio.wait({sweeping, watching}, return_when=asyncio.FIRST_COMPLETED)
        if sweeping.done():
            return sweeping.result()
        sweeping.cancel()
        await asyncio.wait({sweeping})  # the helper removes its scratch file
        if not sweeping.cancelled() and (error := sweeping.exception()):
            raise error
        raise TargetError(f"{watching.result()}; the sweep was stopped; tune again when this has changed")
    finally:
        watching.cancel()
        sweeping.cancel()
        await asyncio.wait({sweeping, watching})


async def _watch(number: str, shape: frozenset[object], sys: Path, proc: Path, dev: Path) -> str:
    """Wait until the device must no longer be written and return the reason."""
    while True:
        await asyncio.sleep(_INTERVAL_S)
        if (now := stack.shape(number, sys)) == shape:
            continue
        found = await in_thread(partial(stack.read, number, sys, proc, dev))
        if reason := found.snapshot or found.origin or found.unseen:
            return reason
        shape = now
