"""Mover: runs one sweep, plan and race <-> helper. It knows no clock: all time is what the helper reports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, get_args

from aio_tuned import plan, race, record, stats
from aio_tuned.errors import MeasurementError, TargetError, UsageError
from aio_tuned.manners import Heat
from aio_tuned.model import DEFAULT_SETTING, Direction, Setting
from aio_tuned.record import Budgets, Past

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.helper import Hello, Helper
    from aio_tuned.model import Phase, Request, Sample
    from aio_tuned.thermometer import Thermometer


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to sweep, and what it may cost: both budgets are for all directions together.

    `device_number`, if given, is where the helper must find itself; `may_drop_caches` allows to ask for a drop when
    a visit turns out to have been served from a cache. `zeroed_bytes` are written as the helper leaves. A `resumable`
    sweep keeps back what a second process writes besides its visits. `write_cap_bytes` is what this process may write,
    whatever the budget has left. One of `fraction` points is visited, and then the neighbours of the best;
    `sustain_share` of the write budget is for writing on with the setting that was found. `about` is what else must be
    the same for a resuming (see record.header).
    """

    settings: Mapping[Direction, tuple[Setting, ...]]
    most_transfer_bytes: int
    time_budget_ns: int
    write_budget_bytes: int
    tolerance: float
    seed: int
    write_cap_bytes: int | None = None
    zeroed_bytes: int = 0
    fraction: int = 1
    sustain_share: float = 0.0
    resumable: bool = False
    may_drop_caches: bool = True
    device_number: str = ""
    reference: Setting = DEFAULT_SETTING
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that have settings, in the order in which they are swept."""
        return tuple(direction for direction in get_args(Direction) if self.settings.get(direction))


class Attendant(Protocol):
    """Who keeps a sweep's record and manners."""

    @property
    def celsius(self) -> float | None:
        """The temperature that was seen last; None if none was."""

    @property
    def peak_celsius(self) -> float | None:
        """The highest temperature that was seen; None if none was."""

    @property
    def heat(self) -> Heat:
        """Whether the drive was too hot."""

    @property
    def paused_s(self) -> float | None:
        """How long the sweep has been held up in all; None if nobody would have."""

    def past(self, hello: Hello, header: Mapping[str, Any]) -> Past:
        """What is known already of the sweep with that header; asked once, when the target is ready."""

    def planned(self, direction: Direction, budgets: Budgets) -> None:
        """A phase is calibrated and planned."""

    async def before(self, request: Request, previous: Sample | None) -> None:
        """A visit is about to be made: it may be held up here, or the sweep ended by DeferredError.

        `previous` is the visit before it, if this process has made one.
        """

    def after(self, sample: Sample) -> None:
        """A visit has been made."""


class Alone:
    """Nobody attends: nothing is kept, and nothing waits. A thermometer is read, if there is one."""

    paused_s: float | None = None

    def __init__(self, thermometer: Thermometer | None = None) -> None:
        self._thermometer = thermometer

    @property
    def celsius(self) -> float | None:
        return self._thermometer.celsius if self._thermometer else None

    @property
    def peak_celsius(self) -> float | None:
        return self._thermometer.peak_celsius if self._thermometer else None

    @property
    def heat(self) -> Heat:
        return Heat(warned=self._thermometer.warned if self._thermometer else None)

    def past(self, hello: Hello, header: Mapping[str, Any]) -> Past:  # noqa: ARG002 - as Attendant
        return Past()

    def planned(self, direction: Direction, budgets: Budgets) -> None:
        pass

    async def before(self, request: Request, previous: Sample | None) -> None:  # noqa: ARG002 - as Attendant
        if self._thermometer:
            await self._thermometer.read()

    def after(self, sample: Sample) -> None:
        pass


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
    resumed: int = 0

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


def _write_budget(order: Order, earlier_bytes: int) -> int:
    """What the sweep may have written at its end, `earlier_bytes` of it by the processes before this one."""
    if order.write_cap_bytes is None:
        return order.write_budget_bytes
    return min(order.write_budget_bytes, earlier_bytes + order.write_cap_bytes)


class _Run:
    """The running sums of one sweep, with what earlier processes of it have spent."""

    def __init__(
        self,
        helper: Helper,
        order: Order,
        hello: Hello,
        past: Past,
        report: Callable[[Progress], None],
        attendant: Attendant,
    ) -> None:
        self.helper = helper
        self.order = order
        self.hello = hello
        self.past = past
        self.report = report
        self.attendant = attendant
        self.previous: Sample | None = None
        self.next_id = max((sample.request.id for sample in past.samples), default=0) + 1
        self.spent_ns = sum(sample.wall_ns for sample in past.samples)
        each_bytes = hello.fill_bytes + order.zeroed_bytes
        self.earlier_bytes = past.resumed * each_bytes + sum(
            sample.bytes for sample in past.samples if sample.request.direction == "write"
        )
        self.written_bytes = self.earlier_bytes + hello.fill_bytes
        kept_back = each_bytes if order.resumable and not past.resumed else 0
        self._most_written_bytes = _write_budget(order, self.earlier_bytes) - order.zeroed_bytes - kept_back

    @property
    def write_left_bytes(self) -> int:
        """What visits may still write."""
        return self._most_written_bytes - self.written_bytes

    async def measure(self, request: Request) -> Sample:
        await self.attendant.before(request, self.previous)
        sample = replace(await self.helper.measure(request), celsius=self.attendant.celsius)
        self.spent_ns += sample.wall_ns
        self.next_id = request.id + 1
        if request.direction == "write":
            self.written_bytes += sample.bytes
        self.previous = sample
        self.attendant.after(sample)
        return sample

    async def _planned(self, direction: Direction, samples: list[Sample]) -> Phase:
        """The phase's plan, as its calibration gives it: a resumed one's is the same as it was."""
        order, alignment = self.order, self.hello.dio_alignment_bytes
        chosen = order.settings[direction]
        calibrated = [sample for sample in samples if sample.request.purpose == "calibrate"]
        least_transfer = plan.least_transfer(chosen, alignment, order.most_transfer_bytes)
        first_id = self.next_id - len(calibrated)
        visits = plan.calibration(direction, chosen, order.reference, least_transfer, first_id)
        for request in visits[len(calibrated) :]:
            calibrated.append(await self.measure(request))
            samples.append(calibrated[-1])
        # What one phase leaves, the next may use.
        phases_left = len(order.directions) - order.directions.index(direction)
        known = self.past.budgets.get(direction)
        budgets = known or Budgets(
            time_budget_ns=max(0, order.time_budget_ns - self.spent_ns) // phases_left,
            write_budget_bytes=self.write_left_bytes,
        )
        phase = plan.phase(
            direction,
            chosen=chosen,
            reference=order.reference,
            calibrated=stats.clean(calibrated) or calibrated,
            alignment_bytes=alignment,
            most_transfer_bytes=order.most_transfer_bytes,
            time_budget_ns=budgets.time_budget_ns,
            write_budget_bytes=budgets.write_budget_bytes,
            tolerance=order.tolerance,
            seed=order.seed,
            may_drop_caches=order.may_drop_caches,
            fraction=order.fraction,
            sustain_bytes=self._sustain_bytes(direction, budgets.write_budget_bytes),
        )
        if known is None:
            self.attendant.planned(direction, budgets)
        if direction == "read":
            return phase
        # The scratch file has been filled once more for a resumed phase, which had not reckoned with it.
        left_bytes = self.write_left_bytes + stats.moved_bytes(samples)
        return replace(phase, write_budget_bytes=min(phase.write_budget_bytes, left_bytes))

    def _sustain_bytes(self, direction: Direction, budget_bytes: int) -> int:
        """What of the budget is for writing on: nothing that the race could not spare."""
        if direction == "read" or not self.order.sustain_share:
            return 0
        least = least_write_bytes(self.order, self.hello.dio_alignment_bytes)
        return max(0, min(int(budget_bytes * self.order.sustain_share), budget_bytes - 2 * least))

    async def phase(self, direction: Direction) -> PhaseOutcome:
        samples = [sample for sample in self.past.samples if sample.request.direction == direction]
        phase = await self._planned(direction, samples)
        tally = _Tally(phase)
        cost = race.spent(samples)
        for sample in samples:
            if sample.request.purpose != "calibrate":
                tally.add(sample)
        while isinstance(step := race.next_round(phase, samples), race.Round):
            for request in step.requests:
                samples.append(await self.measure(race.fit(phase, cost, request)))
                cost = cost.plus(samples[-1])
                tally.add(samples[-1])
                self.report(self._progress(tally, request))
                if race.exhausted(phase, cost):
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


def least_write_bytes(order: Order, alignment_bytes: int) -> int:
    """What the visits of a write phase write at the very least."""
    return plan.least_write_bytes(order.settings["write"], alignment_bytes, order.most_transfer_bytes, order.fraction)


def check_write_budget(order: Order, fill_bytes: int, alignment_bytes: int, earlier_bytes: int = 0) -> None:
    """UsageError if the write budget cannot pay for what is sure to be written: known before any I/O."""
    sure = fill_bytes + order.zeroed_bytes
    # What is kept back for a second process is not needed any more by that.
    kept_back = sure if order.resumable and not earlier_bytes else 0
    visits = least_write_bytes(order, alignment_bytes)
    least, budget = earlier_bytes + sure + kept_back + visits, _write_budget(order, earlier_bytes)
    if least > budget:
        raise UsageError(
            f"the write budget of {budget >> 20} MiB is too small: the scratch file and one visit to"
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


async def sweep(
    helper: Helper,
    order: Order,
    report: Callable[[Progress], None] = lambda _: None,
    attendant: Attendant = Alone(),  # noqa: B008 - without a thermometer it has no state
) -> Outcome:
    """Run the whole experiment, or what is left of it.

    HelperError and MeasurementError end it; nothing of it may be published then.
    """
    hello = await helper.hello()
    _check_place(order, hello)
    for direction in order.directions:
        plan.check_grid(order.settings[direction], hello.dio_alignment_bytes)
    past = attendant.past(hello, record.header(order, hello))
    run = _Run(helper, order, hello, past, report, attendant)
    if "write" in order.directions and "write" not in past.budgets:
        check_write_budget(order, hello.fill_bytes, hello.dio_alignment_bytes, run.earlier_bytes)
    phases = [await run.phase(direction) for direction in order.directions]
    written_bytes = run.earlier_bytes + await helper.finish()
    return Outcome(
        hello=hello,
        phases=tuple(phases),
        written_bytes=max(written_bytes, run.written_bytes),
        resumed=past.resumed,
    )
