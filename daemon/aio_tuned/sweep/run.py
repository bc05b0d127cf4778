"""The run of one sweep, by plan and race with the helper; all times are those that the helper reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.model.measurement import DROPPING
from aio_tuned.search import grid, plan, race
from aio_tuned.search.taint import clean_samples, moved_bytes, taint_reason
from aio_tuned.sweep import checkpoint
from aio_tuned.sweep.budget import check_write_budget, min_write_bytes, write_budget
from aio_tuned.sweep.observer import NullObserver, SweepObserver
from aio_tuned.sweep.order import Budgets, Checkpoint, Order, PhaseOutcome, SweepOutcome
from aio_tuned.sweep.progress import PhaseProgress, SweepProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.helper.process import Helper
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Phase, Request, Sample
    from aio_tuned.model.setting import Direction


class _Run:
    """A running sweep with its running sums, which include what earlier processes of the sweep have spent."""

    def __init__(
        self,
        helper: Helper,
        order: Order,
        hello: Hello,
        earlier: Checkpoint,
        report: Callable[[SweepProgress], None],
        observer: SweepObserver,
        neighbours: Callable[[], int],
    ) -> None:
        self.neighbours = neighbours
        self.helper = helper
        self.order = order
        self.hello = hello
        self.earlier = earlier
        self.report = report
        self.observer = observer
        self.previous: Sample | None = None
        self._cache_settled = order.drop_caches not in DROPPING
        self.next_id = max((sample.request.id for sample in earlier.samples), default=0) + 1
        self.spent_ns = sum(sample.wall_ns for sample in earlier.samples)
        each_bytes = hello.fill_bytes + order.zeroed_bytes
        self.earlier_bytes = earlier.resumed * each_bytes + sum(
            sample.bytes for sample in earlier.samples if sample.request.direction == "write"
        )
        self.written_bytes = self.earlier_bytes + hello.fill_bytes
        kept_back = each_bytes if order.resumable and not earlier.resumed else 0
        self._max_written_bytes = write_budget(order, self.earlier_bytes) - order.zeroed_bytes - kept_back

    @property
    def write_left_bytes(self) -> int:
        """The bytes that measurements may still write."""
        return self._max_written_bytes - self.written_bytes

    def _with_cache(self, request: Request) -> tuple[Request, bool]:
        """Return the request, and whether it is the process's first before which the host's page cache is dropped.

        A sweep that was interrupted ten times would cost others their cache ten times. So `auto` drops no more once an
        earlier process has: the helper evicts the target's own pages, and the counters prove the reads.
        """
        policy = self.order.drop_caches
        if self._cache_settled or (policy == "auto" and request.direction == "write"):
            return request, False
        self._cache_settled = True
        if policy == "auto" and any(sample.cache_dropped for sample in self.earlier.samples):
            return replace(request, drop_caches=False), False
        return request, self.hello.drop_caches

    async def measure(self, request: Request) -> Sample:
        request, drops = self._with_cache(request)
        await self.observer.before(request, self.previous)
        if drops:
            await self.observer.before_drop()
        before = self.neighbours()
        sample = await self.helper.measure(request)
        # A counter can fall: a namespace may be removed.
        moved = max(0, self.neighbours() - before)
        sample = replace(sample, celsius=self.observer.celsius, neighbour_bytes=moved)
        self.spent_ns += sample.wall_ns
        self.next_id = request.id + 1
        if request.direction == "write":
            self.written_bytes += sample.bytes
        self.previous = sample
        self.observer.after(sample)
        return sample

    async def _planned(self, direction: Direction, samples: list[Sample]) -> Phase:
        """Calibrate and plan a phase; a resumed phase gets the same plan again."""
        order, alignment = self.order, self.hello.dio_alignment_bytes
        chosen = order.settings[direction]
        calibrated = [sample for sample in samples if sample.request.purpose == "calibrate"]
        min_transfer = plan.min_transfer(chosen, alignment, order.max_transfer_bytes)
        first_id = self.next_id - len(calibrated)
        visits = plan.calibration(direction, chosen, order.reference, min_transfer, first_id)
        for request in visits[len(calibrated) :]:
            calibrated.append(await self.measure(request))
            samples.append(calibrated[-1])
        # Each phase gets an equal share of the remaining budget, so that a later one gets what an earlier one has left.
        phases_left = len(order.directions) - order.directions.index(direction)
        known = self.earlier.budgets.get(direction)
        budgets = known or Budgets(
            time_budget_ns=max(0, order.time_budget_ns - self.spent_ns) // phases_left,
            write_budget_bytes=self.write_left_bytes,
        )
        phase = plan.phase(
            direction,
            chosen=chosen,
            reference=order.reference,
            calibrated=clean_samples(calibrated) or calibrated,
            alignment_bytes=alignment,
            max_transfer_bytes=order.max_transfer_bytes,
            time_budget_ns=budgets.time_budget_ns,
            write_budget_bytes=budgets.write_budget_bytes,
            tolerance=order.tolerance,
            seed=order.seed,
            fraction=order.fraction,
            sustain_bytes=self._sustain_bytes(direction, budgets.write_budget_bytes),
            max_transfer_ns=order.max_transfer_ns,
        )
        if known is None:
            self.observer.planned(direction, budgets)
        if direction == "read":
            return phase
        # Resuming has filled the scratch file again, which the budget of the phase does not include.
        left_bytes = self.write_left_bytes + moved_bytes(samples)
        return replace(phase, write_budget_bytes=min(phase.write_budget_bytes, left_bytes))

    def _sustain_bytes(self, direction: Direction, budget_bytes: int) -> int:
        """Return the bytes for continued writes with the chosen setting, as far as the race can spare them."""
        if direction == "read" or not self.order.sustain_share:
            return 0
        least = min_write_bytes(self.order, self.hello.dio_alignment_bytes)
        return max(0, min(int(budget_bytes * self.order.sustain_share), budget_bytes - 2 * least))

    async def phase(self, direction: Direction) -> PhaseOutcome:
        samples = [sample for sample in self.earlier.samples if sample.request.direction == direction]
        phase = await self._planned(direction, samples)
        tally = PhaseProgress(phase)
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
            reasons = ", ".join(sorted({taint_reason(sample) for sample in samples} - {""}))
            failed = f"no {direction} could be trusted: {reasons}" if reasons else f"no {direction} was measured"
            raise MeasurementError(f"{failed}; {step.reason}" if step.reason else failed)
        return PhaseOutcome(phase=phase, samples=tuple(samples), ended=step.reason, settled=step.settled)

    def _progress(self, tally: PhaseProgress, request: Request) -> SweepProgress:
        return SweepProgress(
            direction=request.direction,
            points_done=len(tally.done),
            points_planned=len(tally.planned),
            visits=tally.visits,
            repeating=tally.repeating,
            best_bytes_per_s=tally.best_bytes_per_s,
            written_bytes=self.written_bytes,
            left_ns=max(0, self.order.time_budget_ns - self.spent_ns),
        )


async def run_sweep(
    helper: Helper,
    order: Order,
    report: Callable[[SweepProgress], None] = lambda _: None,
    observer: SweepObserver = NullObserver(),  # noqa: B008 - without a thermometer it has no state
    neighbours: Callable[[], int] = lambda: 0,
) -> SweepOutcome:
    """Run a whole sweep, or what its checkpoint has left of it.

    `neighbours` returns the bytes that other namespaces of the drive have moved so far.
    Raise UsageError, HelperError or MeasurementError if it fails; none of it may be published then.
    """
    hello = await helper.hello()
    for direction in order.directions:
        grid.check_grid(order.settings[direction], hello.dio_alignment_bytes)
    earlier = observer.load_checkpoint(hello, checkpoint.header(order, hello))
    run = _Run(helper, order, hello, earlier, report, observer, neighbours)
    if "write" in order.directions and "write" not in earlier.budgets:
        check_write_budget(order, hello.fill_bytes, hello.dio_alignment_bytes, run.earlier_bytes)
    phases = [await run.phase(direction) for direction in order.directions]
    written_bytes = run.earlier_bytes + await helper.finish()
    return SweepOutcome(
        hello=hello,
        phases=tuple(phases),
        written_bytes=max(written_bytes, run.written_bytes),
        resumed=earlier.resumed,
    )
