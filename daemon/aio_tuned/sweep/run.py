"""The run of one sweep, which measures passes, then races, with the helper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.errors import MeasurementError
from aio_tuned.search import check, choose, estimate, first_pass, grid, plan, race, steady_state
from aio_tuned.search.finalists import Passed, finalists
from aio_tuned.search.posterior import posterior
from aio_tuned.search.race import RaceRules
from aio_tuned.search.spells import has_spells
from aio_tuned.search.step import PhaseEnd, Round, cut, exhausted, next_id, spent, unmeasured
from aio_tuned.search.taint import clean_samples, is_of
from aio_tuned.sweep import checkpoint, clock
from aio_tuned.sweep.after_choice import AfterChoice
from aio_tuned.sweep.budget import check_write_budget
from aio_tuned.sweep.measuring import Measuring
from aio_tuned.sweep.observer import NullObserver, SweepObserver
from aio_tuned.sweep.order import Budgets, Checkpoint, Order, PhaseOutcome, SweepOutcome
from aio_tuned.sweep.progress import PhaseProgress, SweepProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aio_tuned.helper.process import Helper
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Phase, Sample, Stage
    from aio_tuned.model.setting import Direction, Setting

# The part of a thorough sweep's time for sustained writes, as a divisor.
_SUSTAIN_TIME_PART = 4
_OF_RACE = ("repeat", "sustain")


@dataclass(slots=True, kw_only=True)
class _Race:
    """A planned or running race or check; `ended` is its end, None before that."""

    phase: Phase
    rules: RaceRules
    ended: PhaseEnd | None = None

    def next_round(self, order: Order, samples: Sequence[Sample], timed: Phase) -> Round | PhaseEnd:
        direction = timed.direction
        if order.check:
            return check.next_round(timed, samples, order.settings[direction][0], order.shares.get(direction, {}))
        return race.next_round(timed, self.rules, samples)


class _Pass(NamedTuple):
    """A finished pass and its end."""

    phase: Phase
    ended: PhaseEnd


class _Run:
    """A running sweep with its passes and races."""

    def __init__(
        self,
        measuring: Measuring,
        order: Order,
        hello: Hello,
        earlier: Checkpoint,
        report: Callable[[SweepProgress], None],
        observer: SweepObserver,
    ) -> None:
        self.measuring = measuring
        self.order = order
        self.hello = hello
        self.earlier = earlier
        self.report = report
        self.observer = observer
        self.progress: dict[Direction, PhaseProgress] = {}
        self.clock = clock.PhaseClock(order.deadline_ns)

    @property
    def samples(self) -> list[Sample]:
        """All samples so far."""
        return self.measuring.samples

    async def _calibrate(self, direction: Direction) -> list[Sample]:
        """Calibrate the direction and return the samples, those of an earlier process first."""
        order, chosen = self.order, self.order.settings[direction]
        done = [sample for sample in self.measuring.of(direction) if sample.request.purpose == "calibrate"]
        transfer = plan.min_transfer(chosen, self.hello.share_alignment_bytes, order.max_transfer_bytes)
        first_id = next_id(self.samples) - len(done)
        requests = plan.calibration(direction, chosen, order.reference, transfer, first_id)
        done.extend([await self.measuring.measure(request) for request in requests[len(done) :]])
        return clean_samples(done) or done

    def _budgets(self, direction: Direction, stage: Stage, usual_ns: int, share: int) -> Budgets:
        """Return the budgets of a phase: those of an earlier process, else a share of the rest.

        `share` is the number of phases that share the remaining time.
        """
        if known := self.earlier.budgets.get((direction, stage)):
            return known
        left_ns, left_bytes = self.measuring.phases_left_ns // share, max(0, self.measuring.write_left_bytes)
        sustain_bytes = int(left_bytes * self.order.sustain_share) if (direction, stage) == ("write", "race") else 0
        budgets = Budgets(
            usual_ns=min(usual_ns, left_ns),
            time_budget_ns=left_ns,
            usual_bytes=max(0, min(self.measuring.usual_left_bytes, left_bytes - sustain_bytes)),
            write_budget_bytes=left_bytes - sustain_bytes,
            sustain_bytes=sustain_bytes,
        )
        self.observer.planned(direction, stage, budgets)
        return budgets

    def _limited(self, phase: Phase) -> Phase:
        """Limit the phase to the bytes that this process may still write, since resuming fills the target again."""
        if phase.direction == "read":
            return phase
        moved = sum(sample.bytes for sample in self.samples if is_of(sample, phase))
        return replace(phase, write_budget_bytes=min(phase.write_budget_bytes, self.measuring.write_left_bytes + moved))

    async def first_pass(self, direction: Direction) -> _Pass:
        """Measure every point of the direction once."""
        order = self.order
        calibrated = await self._calibrate(direction)
        share = len(order.directions) - order.directions.index(direction)
        usual_ns = min(order.pass_ns, self.measuring.phases_left_ns // share // 2)
        budgets = self._budgets(direction, "pass", usual_ns, share)
        phase = self._limited(
            plan.first_pass(
                direction,
                chosen=order.settings[direction],
                reference=order.reference,
                calibrated=calibrated,
                alignment_bytes=self.hello.share_alignment_bytes,
                max_transfer_bytes=order.max_transfer_bytes,
                usual_ns=budgets.usual_ns,
                time_budget_ns=budgets.time_budget_ns,
                usual_bytes=budgets.usual_bytes,
                write_budget_bytes=budgets.write_budget_bytes,
                tolerance=order.tolerance,
                seed=order.seed,
                fraction=order.fraction,
                max_transfer_ns=order.max_transfer_ns,
            )
        )
        self._show(phase)
        self.clock.turn_to(phase)
        while isinstance(step := first_pass.next_round(self._timed(phase), self.samples), Round):
            await self._make(phase, step)
        if not self.progress[direction].done:
            raise self.measuring.why_nothing(direction, step.reason)
        return _Pass(phase, step)

    def _timed(self, phase: Phase) -> Phase:
        return self.clock.bound(phase, spent(phase, self.samples))

    def _show(self, phase: Phase) -> None:
        """Include the samples that the phase has from an earlier process in the progress of the direction."""
        progress = self.progress.setdefault(phase.direction, PhaseProgress(phase, check=self.order.check))
        progress.begin(phase, self.samples)

    async def _make(self, phase: Phase, step: Round, rules: RaceRules | None = None) -> None:
        cost = spent(phase, self.samples)
        self.progress[phase.direction].expect(self.clock.bound(phase, cost), rules, cost, len(step.requests))
        for request in step.requests:
            sample = await self.measuring.measure(cut(phase, cost, request))
            cost = cost.plus(phase, sample)
            self._tell(phase, sample)
            if exhausted(self.clock.bound(phase, cost), cost):
                return

    def races(self, passes: Mapping[Direction, _Pass]) -> dict[Direction, _Race]:
        """Plan the races of all directions; a direction may have none."""
        order = self.order
        passed: dict[Direction, Passed] = {}
        for direction, (phase, _) in passes.items():
            known = posterior(phase, estimate.curve(phase, self.samples))
            if known is not None and not unmeasured(phase, self.samples, phase.points[: phase.sure_points]):
                preferred = self.preferred(direction)
                passed[direction] = Passed(settings=order.settings[direction], known=known, preferred=preferred)
        chosen = finalists(passed, order.reference, order.max_transfer_bytes, order.read_weight)
        spells = any(has_spells(phase, self.samples) for phase, _ in passes.values())
        found: dict[Direction, _Race] = {}
        for direction, one in passed.items():
            level = max(point.bytes_per_s for point in one.known.points)
            # All races are planned before the first begins, so that each gets its share of the budgets.
            planned = self._race(direction, chosen[direction], len(passed), spells=spells, level=level)
            if planned is not None:
                found[direction] = planned
        return found

    async def checks(self) -> dict[Direction, _Race]:
        """Plan the measurements of a check, which has no pass; raise MeasurementError if the budgets are too small."""
        found: dict[Direction, _Race] = {}
        for direction in self.order.directions:
            await self._calibrate(direction)
            chosen, share = self.order.settings[direction], len(self.order.directions)
            planned = self._race(direction, chosen, share, spells=False, level=0.0)
            if planned is None:
                raise MeasurementError(
                    f"{direction}: budgets too small to check the settings; raise time_budget or write_budget"
                )
            found[direction] = planned
        return found

    def preferred(self, direction: Direction) -> tuple[Setting, ...]:
        """Return the settings of the direction that are kept if they are good enough."""
        return tuple(self.order.preferred.get(direction, ()))

    def _race(
        self, direction: Direction, chosen: tuple[Setting, ...], share: int, *, spells: bool, level: float
    ) -> _Race | None:
        order = self.order
        budgets = self._budgets(direction, "race", order.race_ns, share)
        sustain_ns = budgets.time_budget_ns // _SUSTAIN_TIME_PART if budgets.sustain_bytes else 0
        # A resumed race must get the same plan, so samples of the race do not count.
        before = [sample for sample in self.measuring.of(direction) if sample.request.purpose not in _OF_RACE]
        phase = plan.race(
            direction,
            chosen=chosen,
            reference=order.reference,
            samples=clean_samples(before) or before,
            alignment_bytes=self.hello.share_alignment_bytes,
            max_transfer_bytes=order.max_transfer_bytes,
            usual_ns=min(budgets.usual_ns, budgets.time_budget_ns - sustain_ns),
            time_budget_ns=budgets.time_budget_ns - sustain_ns,
            usual_bytes=budgets.usual_bytes,
            write_budget_bytes=budgets.write_budget_bytes,
            tolerance=order.tolerance,
            seed=order.seed,
            sustain_ns=sustain_ns,
            sustain_bytes=budgets.sustain_bytes,
            max_transfer_ns=order.max_transfer_ns,
            rounds=check.MAX_ROUNDS if order.check else plan.RACE_ROUNDS,
        )
        if phase is None:
            return None
        rules = RaceRules(
            usual_ns=budgets.usual_ns,
            usual_bytes=budgets.usual_bytes,
            level_bytes_per_s=level,
            preferred=self.preferred(direction),
            spells=spells,
        )
        phase = self._limited(phase)
        self._show(phase)
        return _Race(phase=phase, rules=rules)

    async def run_races(self, races: Mapping[Direction, _Race]) -> None:
        """Run the races to their ends, in turns if the drive has slow spells, which could cover a whole race."""
        turns = any(one.rules.spells for one in races.values())
        while waiting := [one for one in races.values() if one.ended is None]:
            for one in waiting if turns else waiting[:1]:
                self.clock.turn_to(one.phase)
                step = one.next_round(self.order, self.samples, self._timed(one.phase))
                if isinstance(step, PhaseEnd):
                    one.ended = step
                    await self._sustain(one)
                else:
                    await self._make(one.phase, step, one.rules)

    async def _sustain(self, one: _Race) -> None:
        """Measure sustained writes with the chosen setting in a thorough sweep."""
        phase, preferred = one.phase, one.rules.preferred
        if not phase.sustain_bytes:
            return
        if (known := posterior(phase, estimate.curve(phase, self.samples), preferred)) is None:
            return
        setting = choose.choose(known, phase.tolerance, preferred).setting
        while request := steady_state.next_request(phase, self.samples, setting, next_id(self.samples)):
            if self.clock.is_late:
                return
            self._tell(phase, await self.measuring.measure(request))

    def outcome(self, direction: Direction, passed: _Pass | None, raced: _Race | None) -> PhaseOutcome:
        """Return the outcome of one direction; raise MeasurementError if nothing was measured."""
        preferred = self.preferred(direction)
        if raced is not None and raced.ended is not None and self._is_complete(raced.phase):
            return PhaseOutcome(
                first_pass=passed.phase if passed else None,
                race=raced.phase,
                phase=raced.phase,
                passed=passed.ended.reason if passed else "",
                ended=raced.ended.reason,
                settled=raced.ended.settled,
                preferred=preferred,
                keep=0.0 if self.order.check else choose.KEEP,
            )
        if passed is None:
            raise self.measuring.why_nothing(direction, raced.ended.reason if raced and raced.ended else "")
        phase, why = passed.phase, passed.ended.reason
        ended = "the time or write budget was too small to compare the finalists" if passed.ended.settled else why
        return PhaseOutcome(
            first_pass=phase, race=None, phase=phase, passed=why, ended=ended, settled=False, preferred=preferred
        )

    def _is_complete(self, phase: Phase) -> bool:
        """Return whether the race measured all points that could be measured, including the default."""
        if unmeasured(phase, self.samples, phase.points):
            return False
        return estimate.curve(phase, self.samples).reference is not None

    def _tell(self, phase: Phase, sample: Sample) -> None:
        """Report the progress after a measurement."""
        progress = self.progress[phase.direction]
        progress.add(phase, sample)
        self.report(progress.report(phase, sample.request, self.measuring.written_bytes, self.measuring.left_ns))


async def run_sweep(
    helper: Helper,
    order: Order,
    report: Callable[[SweepProgress], None] = lambda _: None,
    observer: SweepObserver = NullObserver(),  # noqa: B008 - without a thermometer it has no state
    neighbours: Callable[[], int] = lambda: 0,
) -> SweepOutcome:
    """Run a whole sweep, or the rest of a sweep after its checkpoint, and return the outcome.

    `neighbours` returns the bytes that other namespaces of the drive have moved so far. Raise UsageError, HelperError
    or MeasurementError if the sweep fails; none of its samples may be published then.
    """
    hello = await clock.hello(helper, order.deadline_ns)
    for direction in order.directions:
        grid.check_grid(order.settings[direction], hello.dio_alignment_bytes)
    earlier = observer.load_checkpoint(hello, checkpoint.header(order, hello))
    measuring = Measuring(helper, order, hello, earlier, observer, neighbours)
    run = _Run(measuring, order, hello, earlier, report, observer)
    if "write" in order.directions and ("write", "pass") not in earlier.budgets:
        check_write_budget(order, hello.fill_bytes, hello.share_alignment_bytes, measuring.earlier_bytes)
    if order.check:
        passes: dict[Direction, _Pass] = {}
        races = await run.checks()
    else:
        passes = {direction: await run.first_pass(direction) for direction in order.directions}
        races = run.races(passes)
    await run.run_races(races)
    phases = tuple(
        run.outcome(direction, passes.get(direction), races.get(direction)) for direction in order.directions
    )
    after = await AfterChoice(measuring, order, hello, report).run(phases)
    counted = 0 if after.failed else measuring.earlier_bytes + await helper.finish()
    return SweepOutcome(
        hello=hello,
        phases=phases,
        samples=tuple(measuring.samples),
        written_bytes=max(counted, measuring.written_bytes),
        resumed=earlier.resumed,
        after=after,
    )
