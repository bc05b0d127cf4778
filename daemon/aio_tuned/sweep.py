"""Mover: runs one sweep, plan and race <-> helper. It knows no clock: all time is what the helper reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import plan, race, stats
from aio_tuned.errors import MeasurementError, TargetError, UsageError
from aio_tuned.model import DEFAULT_SETTING, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.helper import Hello, Helper
    from aio_tuned.model import Direction, Grid, Phase, Request, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to sweep, and what it may cost: both budgets are for all directions together.

    `device_number`, if given, is where the helper must find itself; `may_drop_caches` allows to ask for a drop when
    a visit turns out to have been served from a cache.
    """

    directions: tuple[Direction, ...]
    grid: Grid
    most_transfer_bytes: int
    time_budget_ns: int
    write_budget_bytes: int
    tolerance: float
    seed: int
    may_drop_caches: bool = True
    device_number: str = ""
    reference: Setting = DEFAULT_SETTING


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a phase is, after each visit. `left_ns` is the most that the sweep may still take."""

    direction: Direction
    points_done: int
    points_planned: int
    visits: int
    repeating: bool
    best_bytes_per_s: float
    written_bytes: int
    left_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOutcome:
    """One direction's plan, all its samples in the order in which they were taken, and why it ended."""

    phase: Phase
    samples: tuple[Sample, ...]
    ended: str
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that a sweep found out."""

    hello: Hello
    phases: tuple[PhaseOutcome, ...]
    written_bytes: int

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of all phases."""
        return tuple(sample for phase in self.phases for sample in phase.samples)


class _Tally:
    """What a phase has so far, for the progress report."""

    def __init__(self, phase: Phase) -> None:
        self.planned = {plan.program(point.setting, phase.transfer_bytes) for point in phase.points}
        self.done: set[object] = set()
        self.visits = 0
        self.repeating = False
        self.best_bytes_per_s = 0.0

    def add(self, sample: Sample) -> None:
        self.visits += 1
        self.repeating = self.repeating or sample.request.purpose == "repeat"
        done = plan.program(sample.request.setting, sample.request.transfer_bytes)
        if done in self.planned and not stats.taint(sample):
            self.done.add(done)
            self.best_bytes_per_s = max(self.best_bytes_per_s, sample.bytes_per_s)


class _Run:
    """The running sums of one sweep."""

    def __init__(self, helper: Helper, order: Order, report: Callable[[Progress], None]) -> None:
        self.helper = helper
        self.order = order
        self.report = report
        self.spent_ns = 0
        self.written_bytes = 0
        self.next_id = 1

    async def measure(self, request: Request) -> Sample:
        sample = await self.helper.measure(request)
        self.spent_ns += sample.wall_ns
        self.next_id = request.id + 1
        if request.direction == "write":
            self.written_bytes += sample.bytes
        return sample

    async def phase(self, direction: Direction, hello: Hello) -> PhaseOutcome:
        order = self.order
        # What one phase leaves, the next may use.
        phases_left = len(order.directions) - order.directions.index(direction)
        least_transfer = plan.least_transfer(order.grid, hello.dio_alignment_bytes, order.most_transfer_bytes)
        samples = [
            await self.measure(request)
            for request in plan.calibration(direction, order.grid, order.reference, least_transfer, self.next_id)
        ]
        phase = plan.phase(
            direction,
            grid=order.grid,
            reference=order.reference,
            calibrated=stats.clean(samples) or samples,
            alignment_bytes=hello.dio_alignment_bytes,
            most_transfer_bytes=order.most_transfer_bytes,
            time_budget_ns=max(0, order.time_budget_ns - self.spent_ns) // phases_left,
            write_budget_bytes=order.write_budget_bytes - self.written_bytes,
            tolerance=order.tolerance,
            seed=order.seed,
            may_drop_caches=order.may_drop_caches,
        )
        tally = _Tally(phase)
        while isinstance(step := race.next_round(phase, samples), race.Round):
            for request in step.requests:
                samples.append(await self.measure(race.fit(phase, samples, request)))
                tally.add(samples[-1])
                self.report(self._progress(tally, request))
                if race.exhausted(phase, samples):
                    break
        if not tally.done:
            reasons = ", ".join(sorted({stats.taint(sample) for sample in samples} - {""}))
            failed = f"no {direction} could be trusted: {reasons}" if reasons else f"no {direction} was measured"
            raise MeasurementError(f"{failed}; {step.reason}" if step.reason else failed)
        return PhaseOutcome(phase=phase, samples=tuple(samples), ended=step.reason, settled=step.settled)

    def _progress(self, tally: _Tally, request: Request) -> Progress:
        return Progress(
            direction=request.direction,
            points_done=len(tally.done),
            points_planned=len(tally.planned),
            visits=tally.visits,
            repeating=tally.repeating,
            best_bytes_per_s=tally.best_bytes_per_s,
            written_bytes=self.written_bytes,
            left_ns=max(0, self.order.time_budget_ns - self.spent_ns),
        )


def check_write_budget(order: Order, fill_bytes: int, alignment_bytes: int) -> None:
    """UsageError if the write budget cannot pay for what is sure to be written: known before any I/O."""
    least = fill_bytes + plan.least_write_bytes(order.grid, alignment_bytes, order.most_transfer_bytes)
    if least > order.write_budget_bytes:
        raise UsageError(
            f"the write budget of {order.write_budget_bytes >> 20} MiB is too small: the scratch file and one visit to"
            f" each point take {-(-least >> 20)} MiB; pass --write-budget {-(-least >> 20)}M or more, a smaller --grid,"
            " or --read-only"
        )


def _check_place(order: Order, hello: Hello) -> None:
    """TargetError if the helper is on another device: something has been mounted over the path meanwhile.

    Numbers with major 0 are anonymous (btrfs, overlay) and say nothing.
    """
    if order.device_number and not hello.device_number.startswith("0:") and hello.device_number != order.device_number:
        raise TargetError(
            f"the target was on device {order.device_number} and is on {hello.device_number} now: something has been"
            " mounted over it; try again"
        )


async def sweep(helper: Helper, order: Order, report: Callable[[Progress], None] = lambda _: None) -> Outcome:
    """Run the whole experiment. HelperError and MeasurementError end it; nothing of it may be published then."""
    hello = await helper.hello()
    _check_place(order, hello)
    plan.check_grid(order.grid, hello.dio_alignment_bytes)
    run = _Run(helper, order, report)
    run.written_bytes = hello.fill_bytes
    if "write" in order.directions:
        check_write_budget(order, hello.fill_bytes, hello.dio_alignment_bytes)
    phases = [await run.phase(direction, hello) for direction in order.directions]
    written_bytes = await helper.finish()
    return Outcome(hello=hello, phases=tuple(phases), written_bytes=max(written_bytes, run.written_bytes))
