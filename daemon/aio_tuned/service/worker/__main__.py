"""The main program of the worker process, which runs one sweep: `python -m aio_tuned.service.worker`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.devices.sensors import Sensors
from aio_tuned.errors import AioTunedError, BusyDriveError, DeferredError, MeasurementError, PublishError, UsageError
from aio_tuned.helper.process import find
from aio_tuned.helper.protocol import ENDING
from aio_tuned.profiles import codec
from aio_tuned.profiles.siblings import check_agrees
from aio_tuned.service.worker import memory
from aio_tuned.service.worker import messages as wire
from aio_tuned.service.worker.quiet_host import QuietHost
from aio_tuned.service.worker.throttle import DEEP, Throttle
from aio_tuned.service.worker.throttle_rules import ThrottleRules, max_foreign_bytes
from aio_tuned.service.write_ledger import Ledger
from aio_tuned.storage import append_log, atomic_file, layout, sweep_archive
from aio_tuned.storage.append_log import AppendLog
from aio_tuned.storage.name_register import NameRegister
from aio_tuned.sweep import checkpoint, tune
from aio_tuned.sweep.order import Checkpoint
from aio_tuned.sweep.request import TuneRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.helper.protocol import Hello, Tick
    from aio_tuned.model.measurement import Request, Sample, Stage
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.temperature import Heat
    from aio_tuned.service.worker.messages import Final, Job, Message
    from aio_tuned.sweep.order import Budgets
    from aio_tuned.sweep.planning import Preview
    from aio_tuned.sweep.progress import SweepProgress

# The daemon must end within 7 s of its SIGTERM, and gives the worker 4.5 s of these.
_GRACE_S = 3.0
_A_DAY_S = 86400.0
# Requests of other processes wait behind at most one transfer, so a transfer takes at most 50 ms.
_MAX_TRANSFER_NS = 50_000_000
# A sweep whose writes cannot be recorded is tried again after five times the shortest retry, by default 5 minutes.
_LEDGER_PAUSES = 5


def _say(message: Message) -> None:
    """Send a message to the daemon; do nothing if the daemon has ended, since _work() then ends the sweep."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(wire.to_line(message))
        sys.stdout.buffer.flush()


class _WriteAccount:
    """The ledger's account of one drive, in which bytes are reserved before they are written.

    A write may be larger or smaller than its reservation; a correction that cannot be recorded is sent to the daemon.
    `zeroed_bytes` are reserved together with the fill, because the helper always zeroes a raw device at the end.
    """

    def __init__(self, job: Job) -> None:
        self._drive = job.device.id
        self._path = job.ledger
        self._retry_s = _LEDGER_PAUSES * job.config.min_retry
        self._reserved_bytes = 0
        self.zeroed_bytes = 0
        self.ledger = Ledger.open(job.ledger)

    def reserve(self, count: int, *, sync: bool = False) -> None:
        """Record bytes that are about to be written; raise DeferredError if they cannot be recorded."""
        if not self.ledger.reserve(self._drive, count, sync=sync):
            raise self.closed()
        self._reserved_bytes = count

    def closed(self) -> DeferredError:
        """Return the error that defers a sweep because its writes cannot be recorded."""
        why = self.ledger.trouble or f"{self._path}: locked by another process"
        return DeferredError(f"{why}; drives are not written until this is corrected", self._retry_s)

    def settle(self, written: int) -> None:
        """Replace the last reservation by the bytes that were really written; without a reservation do nothing."""
        reserved, self._reserved_bytes = self._reserved_bytes, 0
        if reserved:
            self.ledger.settle(self._drive, reserved, written)
        for hour, count in self.ledger.hand_over():
            _say(wire.Unrecorded(hour=hour, count=count))


class _ProgressReporter:
    """A ProgressObserver that sends progress to the daemon, and reserves the bytes with which the target is filled."""

    def __init__(self, account: _WriteAccount) -> None:
        self._account = account

    def begin(self, preview: Preview) -> None:
        target = preview.target
        where = f"scratch file in {target.path} ({target.filesystem})" if target.kind == "scratch" else "raw device"
        if target.kind == "scratch" or not target.no_write:
            self._account.zeroed_bytes = target.span_bytes if target.kind == "device" else 0
            self._account.reserve(target.span_bytes + self._account.zeroed_bytes, sync=True)
        folder = str(target.path) if target.kind == "scratch" else ""
        where = where if not target.no_write else f"{where}, reads only: {target.no_write}"
        _say(wire.Started(where=where, folder=folder))

    def note(self, text: str) -> None:
        _say(wire.Noted(text=text))

    def tick(self, tick: Tick) -> None:
        if tick.phase in ENDING:
            _say(wire.Zeroing())
        elif tick.phase != "point":
            share = tick.bytes / tick.total_bytes if tick.total_bytes else 0.0
            doing = "writing test data" if tick.phase == "fill" else tick.phase
            _say(wire.Progress(doing=doing, share=share, left_s=0, best_bytes_per_s=0, written_bytes=tick.bytes))

    def update(self, progress: SweepProgress) -> None:
        done = f"{progress.points_done}/{progress.points_planned} settings"
        doing = f"{done}, comparing the finalists" if progress.repeating else done
        if progress.after_choice:
            doing = progress.activity
        _say(
            wire.Progress(
                doing=f"{progress.direction}: {doing}",
                share=progress.points_done / progress.points_planned,
                left_s=progress.left_ns / 1e9,
                best_bytes_per_s=progress.best_bytes_per_s,
                written_bytes=progress.written_bytes,
            )
        )


class _CheckpointKeeper:
    """A SweepObserver that keeps the checkpoint, applies the throttle, and counts written bytes in the ledger."""

    def __init__(self, job: Job, throttle: Throttle, host: QuietHost, account: _WriteAccount) -> None:
        self._job = job
        self._throttle = throttle
        self._host = host
        self._account = account
        self._log: AppendLog | None = None

    @property
    def celsius(self) -> float | None:
        return self._throttle.thermometer.celsius

    @property
    def peak_celsius(self) -> float | None:
        return self._throttle.thermometer.peak_celsius

    @property
    def heat(self) -> Heat:
        return self._throttle.heat

    @property
    def paused_s(self) -> float | None:
        return self._throttle.paused_s + self._host.paused_s

    def load_checkpoint(self, hello: Hello, header: Mapping[str, Any]) -> Checkpoint:
        self._account.settle(hello.fill_bytes + self._account.zeroed_bytes)
        if hello.fill_bytes:
            self._throttle.wrote()
        path = self._job.checkpoint
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            entries, opened = AppendLog.open(path)
            earlier = checkpoint.read(entries, header, time.time())
            if not earlier.resumed:
                opened.close()
                append_log.rewrite(path, [checkpoint.first_entry(header, time.time())])
                _, opened = AppendLog.open(path)
            self._log = opened
        except OSError as error:
            self._give_up_checkpoint(error)
            return Checkpoint()
        if earlier.resumed:
            self._note(checkpoint.resumed_entry())
        return earlier

    def planned(self, direction: Direction, stage: Stage, budgets: Budgets) -> None:
        self._note(checkpoint.phase_entry(direction, stage, budgets))

    async def before(self, request: Request, previous: Sample | None) -> None:
        await self._throttle.before(previous, deep=request.setting.concurrency * request.groups > DEEP)
        if request.direction == "write":
            self._account.reserve(request.max_bytes or request.transfer_bytes)

    async def before_drop(self) -> None:
        # The scratch file exists by now, and is kept no longer than in any other pause.
        await self._host.wait(self._job.config.max_hold)

    def after(self, sample: Sample) -> None:
        if sample.request.direction == "write":
            self._account.settle(sample.written_bytes)
            self._throttle.wrote()
        if sample.cache_dropped:
            _say(wire.Dropped())
        self._note(checkpoint.sample_entry(sample))

    def reserve(self, write_bytes: int) -> None:
        self._account.reserve(write_bytes, sync=True)

    def _note(self, entry: Mapping[str, object]) -> None:
        if self._log is None:
            return
        try:
            self._log.append(entry)
        except OSError as error:
            self._give_up_checkpoint(error)

    def _give_up_checkpoint(self, error: OSError) -> None:
        """Print a warning and continue the sweep without a checkpoint, from which it could be resumed."""
        where = self._job.checkpoint
        said = f"{where}: cannot be written: {error.strerror}; the sweep starts over if it is interrupted"
        print(f"<4>{said}", file=sys.stderr)
        if self._log:
            self._log.close()
            self._log = None


async def _sweep(job: Job) -> Final:
    account = _WriteAccount(job)
    ledger = account.ledger
    sensors = Sensors(job.device.device_number)
    rules = ThrottleRules.from_config(job.config)
    throttle = Throttle(
        rules,
        sensors,
        notice=lambda reason: _say(wire.Paused(reason=reason)),
        patient=not job.never_quiet,
    )
    host = QuietHost(job.config.min_pause, notice=lambda reason: _say(wire.Paused(reason=reason)))
    # The drive must be quiet before the scratch file is written, which is a load of its own.
    await throttle.before(None)
    keep_cache = await host.before_sweep(job.config.drop_caches, job.checkpoint)
    await throttle.before(None)
    left_today = ledger.left_today(job.device.id, job.config.write_budget_per_day)
    task = TuneRequest(
        target=job.device.node,
        config=job.config,
        seed=job.seed,
        helper=find(job.helper),
        settings=job.settings,
        max_concurrency=DEEP if job.never_quiet else None,
        never_quiet=job.never_quiet,
        max_transfer_ns=_MAX_TRANSFER_NS,
        max_foreign_bytes=0 if job.never_quiet else max_foreign_bytes(rules),
        against=job.against,
        others=job.others,
        write_budget_bytes=left_today,
        diskseq=job.device.diskseq,
        named=NameRegister(job.config.profiles, job.config.state).named,
        resumable=True,
        keep_cache=keep_cache,
        ballast_bytes=memory.ballast(memory.available_memory(), job.config.transfer_bytes),
        grace_s=_GRACE_S,
    )
    try:
        measured = await tune.run(task, _ProgressReporter(account), _CheckpointKeeper(job, throttle, host, account))
    except MeasurementError as error:
        if job.against:  # a full sweep may succeed, because a check has only a fifth of its time
            return wire.Disagreed(reason=f"check against {job.against.device.name} failed: {error}")
        raise
    except UsageError:
        account.settle(0)  # raised before the scratch file is written
        if ledger.trouble or not ledger.is_read:
            raise account.closed() from None
        budget = min(job.config.write_budget_bytes(job.device.size_bytes), job.config.write_budget_per_day)
        if left_today >= budget:
            raise
        # The rest of the day's budget is too small for a sweep, but a whole day's budget would be enough.
        seconds = ledger.frees_at(job.device.id, job.config.write_budget_per_day, budget)
        written = formatting.size(ledger.written_today(job.device.id))
        reason = f"daily write budget spent: {written} written in 24 h; too little of write_budget_per_day is left"
        raise DeferredError(reason, seconds or _A_DAY_S) from None
    built = measured.report.profile
    if job.against:
        unsettled = {one.phase.direction: one.ended for one in measured.outcome.phases if not one.settled}
        disagreement = check_agrees(job.against, built, unsettled)
        if built.state != job.against.state:
            disagreement = "; ".join(built.evidence.findings)
        if disagreement:
            reason = f"check against {job.against.device.name}: {disagreement}"
            return wire.Disagreed(reason=reason, text=codec.render(built), points=_points(job, measured))
    trouble = ledger.trouble
    try:
        atomic_file.make_folder(job.config.state)
        sweep_archive.keep(job.config.state, built, measured.samples_text)
        atomic_file.publish(layout.samples_file(job.config.state, built.device.name), measured.samples_text)
    except PublishError as error:
        trouble = str(error)
    return wire.Done(text=codec.render(built), trouble=trouble, points=_points(job, measured))


def _points(job: Job, measured: tune.TuneResult) -> wire.Points:
    """Return the measured points if the drive reports to a fleet."""
    if not job.config.fleet:
        return {}
    return {
        direction: [
            [*(int(getattr(each.setting, key)) for key in SETTING_KEYS), *map(round, each[1:])] for each in found
        ]
        for direction, found in measured.report.points.items()
    }


async def _work(job: Job) -> Final:
    """Run the sweep and return its final message; a signal or the daemon's end cancels the sweep."""
    loop = asyncio.get_running_loop()
    sweeping = asyncio.ensure_future(_sweep(job))
    ends = 0

    def end() -> None:
        nonlocal ends
        loop.remove_reader(sys.stdin.fileno())
        if not ends:  # a second signal must not interrupt the cleanup
            sweeping.cancel()
        ends += 1

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    loop.add_reader(sys.stdin.fileno(), end)
    try:
        return await sweeping
    except DeferredError as error:
        return wire.Deferred(reason=str(error), seconds=error.seconds, busy=isinstance(error, BusyDriveError))
    except AioTunedError as error:
        return wire.Failed(reason=str(error), exit_code=error.exit_code)
    except asyncio.CancelledError:
        return wire.Failed(reason="sweep stopped", exit_code=128 + signal.SIGTERM)


def main() -> int:
    """Read a job from standard input, run it, and write its messages to standard output."""
    job = wire.receive(sys.stdin.buffer)
    _say(asyncio.run(_work(job)))
    # A thread may be blocked in the kernel by a drive that does not answer; os._exit() does not wait for it.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
