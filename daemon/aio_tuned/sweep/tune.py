"""The sweep of one target, from probing to the profile, which the caller publishes."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING

from aio_tuned import __version__
from aio_tuned.devices import resolve, space, sysfs
from aio_tuned.devices.lock import check_same, lock_device
from aio_tuned.devices.probe import PROBE_LIMIT_S
from aio_tuned.devices.sensors import Sensors
from aio_tuned.devices.thermometer import Thermometer
from aio_tuned.errors import AioTunedError, Exit, HelperError, TargetError
from aio_tuned.helper import samples
from aio_tuned.helper.process import RAW_END_S, Helper, RawWriteRefusedError
from aio_tuned.helper.protocol import arguments
from aio_tuned.profiles.kept_settings import kept_settings
from aio_tuned.storage import raw_write_record
from aio_tuned.sweep import leftover, nocow, planning, profile_builder
from aio_tuned.sweep.budget import check_write_budget
from aio_tuned.sweep.findings import Facts
from aio_tuned.sweep.observer import NullObserver, ProgressObserver, SweepObserver
from aio_tuned.sweep.place import Place, decide, look, silent
from aio_tuned.sweep.run import run_sweep
from aio_tuned.sweep.stack_watch import end_at_snapshot
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from aio_tuned.model.device import Device
    from aio_tuned.model.target import Target
    from aio_tuned.storage.raw_write_record import RawWriteRecord
    from aio_tuned.sweep.order import Order, SweepOutcome
    from aio_tuned.sweep.profile_builder import BuiltProfile
    from aio_tuned.sweep.request import TuneRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """The result of a sweep; `samples_text` holds every measurement as a line of JSON."""

    device: Device
    target: Target
    report: BuiltProfile
    outcome: SweepOutcome
    samples_text: str


@asynccontextmanager
async def _locked(device: Device, *, itself: bool = True) -> AsyncIterator[None]:
    """Hold lock_device() while the context is open; raise MeasurementError if the drive does not answer.

    Locking may block on a drive that does not answer, so it happens in a thread. After a timeout the thread releases
    the lock as soon as it gets it.
    """
    handing_over, given_up = Lock(), Event()
    with ExitStack() as held:

        def take() -> None:
            with ExitStack() as taken:
                taken.enter_context(lock_device(device, itself=itself))
                with handing_over:
                    if not given_up.is_set():
                        held.push(taken.pop_all())

        try:
            await within(PROBE_LIMIT_S, in_thread(take))
            yield
        except TooLateError:
            raise silent(device.node) from None
        finally:
            with handing_over:
                given_up.set()


def _counters(device: Device) -> tuple[Path, ...]:
    return tuple(path / "stat" for path in sysfs.counting(sysfs.directory(device.device_number)))


async def _measure(
    request: TuneRequest,
    order: Order,
    place: Place,
    watcher: ProgressObserver,
    observer: SweepObserver,
) -> SweepOutcome:
    state, device, target = request.config.state, place.device, place.target
    writes_raw = target.kind == "device" and "write" in order.directions
    record = raw_write_record.new(device, target) if writes_raw else None
    words = arguments(
        target,
        # A scratch file is filled before it is read, whether or not writes are then measured.
        allow_write=target.kind == "scratch" or "write" in order.directions,
        max_transfer_bytes=order.max_transfer_bytes,
        drop_caches=request.drop_caches,
        counters=_counters(device),
        expect_devices=place.numbers,
        expect_diskseq=device.diskseq,
        key=record.key if record else "",
        buffer=request.config.buffer,
        ballast_bytes=request.ballast_bytes,
    )
    if "write" in order.directions:
        check_write_budget(order, target.span_bytes, device.logical_block_bytes)
    if record:
        # The record precedes the helper, so that a power cut cannot leave bytes of unknown origin.
        record = raw_write_record.claim(state, record)
    grace_s = RAW_END_S if writes_raw else request.grace_s
    helper = await Helper.start(request.helper, words, watcher.tick, grace_s=grace_s, writes_raw=writes_raw)
    try:
        async with helper:
            if record:
                raw_write_record.save(state, record.written_by(helper.pid))
            neighbours = Sensors(device.device_number).neighbours_moved_bytes
            return await run_sweep(helper, order, watcher.update, observer, neighbours)
    except (AioTunedError, asyncio.CancelledError) as error:
        if helper.stuck:
            raise HelperError(_why_stuck(str(error) or "sweep cancelled", helper, record), Exit.IO) from None
        raise
    finally:
        if record and helper.span == "clean":
            raw_write_record.drop(state, record)


def _why_stuck(why: str, helper: Helper, record: RawWriteRecord | None) -> str:
    """Return the message of an error after which the helper is still running."""
    if record:
        return (
            f"{why}; aio-sweep (process {helper.pid}) is still running and has not zeroed the bytes that it wrote; the"
            " drive is not swept until that process exits"
        )
    return f"{why}; aio-sweep is stuck in the kernel (D state) until the drive responds or the machine restarts"


async def _clear_leftover(request: TuneRequest, watcher: ProgressObserver) -> None:
    """Zero the bytes that a killed sweep left on the raw drive, if permitted, and report the result to `watcher`."""
    looking = in_thread(lambda: leftover.is_recorded(request.target, request.config.state))
    try:
        recorded = await within(PROBE_LIMIT_S, looking)
    except TooLateError:
        raise silent(request.target) from None
    if not recorded or request.read_only:
        return
    found, _ = await look(request)
    if note := await leftover.clear(found, request.config, request.helper):
        watcher.note(f"{found.device.node}: {note}")


async def _measure_with_nocow(
    request: TuneRequest,
    order: Order,
    place: Place,
    watcher: ProgressObserver,
    observer: SweepObserver,
) -> tuple[SweepOutcome, nocow.NocowWrites]:
    outcome = await _measure(request, order, place, watcher, observer)
    start = partial(
        arguments,
        counters=_counters(place.device),
        expect_devices=place.numbers,
        expect_diskseq=place.device.diskseq,
        allow_write=True,
    )
    uncopied = await nocow.measure(request.helper, start, order, place.target, outcome, observer, request.grace_s)
    return replace(outcome, written_bytes=outcome.written_bytes + uncopied.written_bytes), uncopied


def _warn(watcher: ProgressObserver, device: Device, text: str) -> None:
    watcher.note(f"{device.node}: {text}")


async def _space(place: Place) -> Mapping[str, int]:
    """Return the bytes in use below the target's filesystem if its space must be returned, else an empty mapping.

    Raise MeasurementError if the drive does not answer.
    """
    if not place.target.trim:
        return {}
    try:
        return await within(PROBE_LIMIT_S, in_thread(lambda: space.read(place.number)))
    except TooLateError:
        raise silent(place.target.path) from None


async def preview(request: TuneRequest) -> planning.Preview:
    """Return what the sweep would do; nothing is locked, written or dropped.

    Raise TargetError, UsageError, MeasurementError or ConfigError if it could not begin.
    """
    place = await decide(request)
    device, target = place.device, place.target
    order = planning.make_order(request, device, target, kept_settings(device, request.others, request.against))
    if "write" in order.directions:
        check_write_budget(order, target.span_bytes, device.logical_block_bytes)
    return planning.preview(device, target, order)


async def run(request: TuneRequest, watcher: ProgressObserver, observer: SweepObserver | None = None) -> TuneResult:
    """Sweep one target and return the result without publishing it; raise AioTunedError if the sweep fails.

    The sweep can be cancelled even if the drive does not answer. Without an observer it still reads the temperature.
    """
    await _clear_leftover(request, watcher)
    try:
        return await _sweep(request, watcher, observer)
    except RawWriteRefusedError as refused:
        # Reads can be measured while other processes have the drive open.
        return await _sweep(replace(request, no_raw_write=str(refused)), watcher, observer)


async def _sweep(request: TuneRequest, watcher: ProgressObserver, observer: SweepObserver | None) -> TuneResult:
    was = await decide(request)
    device, target = was.device, was.target
    started = time.monotonic()
    # The helper itself locks a device that it writes.
    helper_locks = target.kind == "device" and "write" in planning.settings(request, target)
    async with _locked(device, itself=not helper_locks):
        place = await decide(request)
        if place.lasting != was.lasting:
            raise TargetError(f"{device.node}: the drive or its use changed just now; try again")
        target = place.target
        kept = kept_settings(device, request.others, request.against)
        order = planning.make_order(request, device, target, kept)
        watcher.begin(planning.preview(device, target, order))
        warn = partial(_warn, watcher, device)
        observer = observer or NullObserver(Thermometer(Sensors(device.device_number)), warn)
        space_before = await _space(place)
        measuring = _measure_with_nocow(request, order, place, watcher, observer)
        outcome, uncopied = await (end_at_snapshot(measuring, place.number) if target.kind == "scratch" else measuring)
        space_after = await _space(place)
        unreturned = space.finding(space_before, space_after, target.span_bytes, target.path) if target.trim else ""
        check_same(device)
        after = resolve.read_device(device.device_number).array
        built = profile_builder.build_profile(
            replace(device, array=after or device.array),
            target,
            request.config,
            outcome,
            profile_builder.Circumstances(
                measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                seconds=time.monotonic() - started,
                kernel=os.uname().release,
                tool_version=__version__,
                seed=request.seed,
                temperature_peak_c=observer.peak_celsius,
                paused_seconds=observer.paused_s,
                kept=kept,
                facts=Facts(
                    attachment=sysfs.attachment(device.device_number),
                    others=request.others,
                    heat=observer.heat,
                    nocow_bytes_per_s=uncopied.bytes_per_s,
                    array_became=after if after != device.array else None,
                    space=unreturned,
                    keep_cache=request.keep_cache,
                    never_quiet=request.never_quiet,
                    max_concurrency=request.max_concurrency,
                    max_transfer_ns=request.max_transfer_ns,
                ),
            ),
            request.drop_caches,
        )
    return TuneResult(
        device=device, target=target, report=built, outcome=outcome, samples_text=samples.to_lines(outcome.samples)
    )
