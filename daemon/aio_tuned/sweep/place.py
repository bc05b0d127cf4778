"""The place of a sweep's I/O, as probed just before the sweep."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned.devices.probe import NO_ANSWER, PROBE_LIMIT_S, ProbeResult, probe
from aio_tuned.errors import DeferredError, MeasurementError, TargetError
from aio_tuned.helper.process import NO_SPACE_RETRY_S
from aio_tuned.model.target import Skip, Target
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import Device
    from aio_tuned.sweep.request import TuneRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The whole device and the target on it.

    `number` is the device number of the filesystem or the raw device; `numbers` are those that the opened target may
    have.
    """

    number: str
    numbers: tuple[str, ...]
    device: Device
    target: Target

    @property
    def lasting(self) -> Place:
        """The place without facts that depend on free space and content, which may change during the sweep."""
        target = replace(self.target, span_bytes=0, offset_bytes=0, min_free_bytes=0, spare_bytes=0, provisional="")
        return replace(self, target=target)


def silent(what: Path) -> MeasurementError:
    """Return the error for a drive that does not answer."""
    return MeasurementError(f"{what}: {NO_ANSWER}")


def expected_numbers(found: ProbeResult) -> tuple[str, ...]:
    """Return the device numbers that the opened target may have.

    A file on btrfs or overlay has the anonymous number of its folder or, on some overlays, the number of the drive.
    """
    if not isinstance(found.decision, Target) or found.decision.kind == "device":
        return (found.number,)
    folder = found.decision.path.stat().st_dev
    anonymous = os.major(folder) == 0
    return (found.number, f"0:{os.minor(folder)}") if anonymous else (found.number,)


async def look(request: TuneRequest) -> tuple[ProbeResult, tuple[str, ...]]:
    """Probe the drive and return its facts and the device numbers that the opened target may have.

    Raise MeasurementError if the drive does not answer, TargetError if it is not the requested disk.
    """

    def probed() -> tuple[ProbeResult, tuple[str, ...]]:
        found = probe(
            request.target,
            request.config,
            raw=request.raw,
            read_only=request.read_only,
            thin_writes=request.thin_writes,
        )
        return found, expected_numbers(found)

    try:
        found, numbers = await within(PROBE_LIMIT_S, in_thread(probed))
    except TooLateError:
        raise silent(request.target) from None
    if request.diskseq is not None and found.device.diskseq != request.diskseq:
        raise TargetError(f"{found.device.node}: replaced by another drive since the sweep was planned; try again")
    return found, numbers


async def decide(request: TuneRequest) -> Place:
    """Probe the drive and decide where to sweep it.

    Raise TargetError if the device must not be swept or is not the requested disk, DeferredError if the daemon must
    wait for free space, and MeasurementError if the drive does not answer.
    """
    found, numbers = await look(request)
    if isinstance(found.decision, Skip) and found.decision.for_now and request.resumable:
        raise DeferredError(found.decision.reason, NO_SPACE_RETRY_S)
    if isinstance(found.decision, Skip):
        raise TargetError(f"{request.target}: {found.decision.reason}")
    target = found.decision
    if target.kind == "device" and not target.no_write:
        target = replace(target, no_write=request.no_raw_write)
    device = request.named(found.device) if request.named else found.device
    return Place(number=found.number, numbers=numbers, device=device, target=target)
