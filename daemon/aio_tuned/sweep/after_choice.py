"""The experiments after the choice: memory, new files, several processes, and the curves by request size.

They use what the order reserves for them, and continue in another process after an interruption: each decides by the
samples so far. An error of the helper ends it, but the choice is made by then, so it only ends the experiments.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from aio_tuned.helper.process import RequestFailedError
from aio_tuned.model.size_curve import CurveOp
from aio_tuned.search import curve_plan, huge_pages, new_file, processes, size_curve
from aio_tuned.search.curve_plan import CurvePlan
from aio_tuned.search.extra import Extra
from aio_tuned.search.size_model import Guess
from aio_tuned.search.step import next_id
from aio_tuned.search.taint import clean_samples, of_choice
from aio_tuned.sweep.decided import decide
from aio_tuned.sweep.order import Experiments, Failed, SweepOutcome
from aio_tuned.sweep.progress import SweepProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Engine, Purpose, Request, Sample
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.decided import Decided
    from aio_tuned.sweep.measuring import Measuring
    from aio_tuned.sweep.order import Order, PhaseOutcome

# The shares of each experiment in the time and in the bytes; the curves have the rest.
_TIME_SHARES: dict[str, float] = {"memory": 4 / 36, "new_file": 1 / 36, "processes": 8 / 36}
_BYTE_SHARES: dict[str, float] = {"memory": 1 / 12, "new_file": 1 / 24, "processes": 1 / 8}
# About that many measurements of writes must be paid for: six pairs, four files, one round of the default numbers.
_MEASUREMENTS = {"memory": 12, "new_file": 4, "processes": 10}
# The curves of a direction get time by the number of their sizes and the cost of a measurement.
_OP_WEIGHTS: dict[CurveOp, float] = {"read": 3.5, "write": 2.5, "mixed": 1.0}
_WRITE_WEIGHTS: dict[CurveOp, float] = {"read": 0.0, "write": 6.0, "mixed": 1.0}
# Huge pages are measured beside the consumer's where the buffer has less than this share of them.
_FEW_HUGE = 0.5
_ACTIVITIES = {"memory": "memory", "new_file": "new file", "processes": "several processes"}


class AfterChoice:
    """The running experiments after the choice of a sweep."""

    def __init__(
        self, measuring: Measuring, order: Order, hello: Hello, report: Callable[[SweepProgress], None]
    ) -> None:
        self._measuring = measuring
        self._order = order
        self._hello = hello
        self._report = report
        self._best: dict[Direction, float] = {}
        self._done = Experiments()
        self._activity = ""

    async def run(self, phases: Sequence[PhaseOutcome]) -> Experiments:
        """Make all experiments, and return their plans; none is made without time for it or by an older helper.

        If the helper cannot do a request of one, this one and those after it are left out.
        """
        order, measuring = self._order, self._measuring
        # A helper of protocol 2 always has psync.
        if not order.after_ns or self._hello.no_engine["psync"]:
            return Experiments()
        so_far = SweepOutcome(
            hello=self._hello, phases=tuple(phases), samples=tuple(measuring.samples), written_bytes=0
        )
        found = [decide(so_far, phase, order.tolerance) for phase in phases]
        self._best = {one.curve.direction: one.choice.stats.bytes_per_s for one in found}
        no_engine = self._hello.no_engine
        self._done = Experiments(absent=tuple((one, why) for one in order.curves.engines if (why := no_engine[one])))
        try:
            await self._small(found)
            await self._curves()
            # Last, because it needs more memory than the host may have, and nothing follows an error of the helper.
            await self._memory(found)
        except RequestFailedError as error:
            return replace(self._done, failed=Failed(self._activity, str(error)))
        return self._done

    async def _small(self, found: Sequence[Decided]) -> None:
        """Measure a new file, and several processes at once."""
        order = self._order
        new = next((self._extra(one, "new_file") for one in found if self._makes_files(one)), None)
        together = tuple(self._extra(one, "processes") for one in found if order.processes and self._is_free)
        if new is not None:
            await self._repeat(new, partial(new_file.next_round, new))
        self._done = replace(self._done, new_file=new)
        for extra in together:
            await self._repeat(extra, partial(processes.next_round, extra, order.processes))
        self._done = replace(self._done, processes=together, numbers=order.processes if together else ())

    async def _memory(self, found: Sequence[Decided]) -> None:
        """Measure huge pages beside the memory of a consumer."""
        memory = tuple(self._extra(one, "memory", self._memory_bytes) for one in found if self._is_scattered)
        for extra in memory:
            await self._repeat(extra, partial(huge_pages.next_pair, extra))
        self._done = replace(self._done, memory=memory)

    @property
    def _memory_bytes(self) -> int:
        """The size of the second buffer."""
        return self._order.max_transfer_bytes // 2

    @property
    def _is_scattered(self) -> bool:
        """Whether the buffer is that of a consumer, and mostly not on huge pages, though the kernel gives them."""
        hello = self._hello
        given = hello.thp_policy != "never" and hello.thp_bytes <= self._memory_bytes
        return self._order.consumer_memory and hello.huge_share < _FEW_HUGE and given

    @property
    def _is_free(self) -> bool:
        """Whether the requests in flight are not limited by other processes on the drive."""
        return self._order.max_concurrency is None

    def _makes_files(self, one: Decided) -> bool:
        return one.curve.direction == "write" and self._order.new_files

    def _extra(self, one: Decided, purpose: Purpose, max_transfer_bytes: int | None = None) -> Extra:
        order, directions = self._order, len(self._best)
        if purpose == "new_file":
            directions = 1
        return Extra(
            purpose=purpose,
            direction=one.curve.direction,
            setting=one.choice.setting,
            bytes_per_s=one.choice.stats.bytes_per_s,
            max_transfer_bytes=max_transfer_bytes or order.max_transfer_bytes,
            alignment_bytes=self._hello.share_alignment_bytes,
            budget_ns=int(order.after_ns * _TIME_SHARES[purpose] / directions),
            budget_bytes=int(order.after_bytes * _BYTE_SHARES[purpose]),
            measurements=_MEASUREMENTS[purpose],
            seed=order.seed,
            max_transfer_ns=order.max_transfer_ns,
        )

    def _may_measure(self, request: Request) -> bool:
        """Return whether the limits of the whole sweep leave room for a measurement."""
        measuring = self._measuring
        if not measuring.left_ns:
            return False
        if request.direction == "read":
            return True
        share = 1 - request.read_percent / 100
        return (request.max_bytes or request.transfer_bytes) * share <= measuring.all_left_bytes

    async def _repeat(self, extra: Extra, ask: Callable[[Sequence[Sample]], Iterable[Request]]) -> None:
        while requests := tuple(ask(self._measuring.samples)):
            for request in requests:
                if not self._may_measure(request):
                    return
                self._activity = _ACTIVITIES[extra.purpose]
                await self._measuring.measure(request)
                own = extra.own(self._measuring.samples)
                spent = sum(sample.wall_ns for sample in own)
                self._tell(request, len(own), spent, extra.budget_ns)

    async def _curves(self) -> None:
        """Measure the curves by request size."""
        order = self._order
        engines = [one for one in order.curves.engines if not self._hello.no_engine[one]]
        ops = [op for op in get_args(CurveOp) if op == "read" or "write" in order.directions]
        if not engines or not order.curves.sizes:
            return
        plans = [plan for op in ops for engine in engines if (plan := self._plan(engine, op, ops, len(engines)))]
        self._done = replace(self._done, curves=tuple(plans))
        await self._measure_curves(plans, later=False)
        # A slow spell of the drive may have covered a whole curve, so all are visited once more.
        await self._measure_curves(plans, later=True)

    def _plan(self, engine: Engine, op: CurveOp, ops: Sequence[CurveOp], engines: int) -> CurvePlan | None:
        """Return the plan of one curve, which shares the budgets with those of all `ops` and engines."""
        order, samples = self._order, self._measuring.samples
        direction: Direction = "read" if op == "read" else "write"
        mixed = curve_plan.MIXED_SIZES
        most = order.max_transfer_bytes
        sizes = tuple(one for one in order.curves.sizes if one <= most and (op != "mixed" or one in mixed))
        known = [one for one in clean_samples(of_choice(samples)) if one.request.direction == direction]
        if not sizes or not known:
            return None
        all_ns = order.after_ns * (1 - sum(_TIME_SHARES.values()))
        all_bytes = order.after_bytes * (1 - sum(_BYTE_SHARES.values()))
        return CurvePlan(
            engine=engine,
            op=op,
            sizes=sizes,
            guess=Guess(
                latency_s=max(1, min(one.latency_p50_ns for one in known)) / 1e9,
                bytes_per_s=max(one.bytes_per_s for one in known),
            ),
            max_transfer_bytes=most,
            budget_ns=int(all_ns * _OP_WEIGHTS[op] / sum(_OP_WEIGHTS[one] for one in ops) / engines),
            budget_bytes=_part(all_bytes, _WRITE_WEIGHTS[op], sum(_WRITE_WEIGHTS[one] for one in ops), engines),
            seed=order.seed,
            max_in_flight=min(curve_plan.MOST_IN_FLIGHT, order.max_concurrency or curve_plan.MOST_IN_FLIGHT),
            max_transfer_ns=order.max_transfer_ns,
            split_bytes=order.split_bytes,
        )

    async def _measure_curves(self, plans: Sequence[CurvePlan], *, later: bool) -> None:
        """Measure the curves in turns, so that a drift favours none, and a slow spell covers no whole curve."""
        running = list(plans)
        while running:
            samples = self._measuring.samples
            plan = min(running, key=lambda one: one.progress(samples))
            requests = size_curve.next_round(plan, samples, next_id(samples), later=later)
            if not requests or not await self._measure_round(plan, requests):
                running.remove(plan)

    async def _measure_round(self, plan: CurvePlan, requests: Sequence[Request]) -> bool:
        """Measure the requests; return whether the curve may go on."""
        own = [sample for sample in self._measuring.samples if plan.is_of(sample)]
        spent, count = plan.spent(own).ns, len(own)
        for request in requests:
            if spent >= plan.budget_ns or not self._may_measure(request):
                return False
            self._activity = f"{'mixed ' if plan.op == 'mixed' else ''}{plan.engine} by request size"
            sample = await self._measuring.measure(request)
            spent, count = spent + sample.wall_ns, count + 1
            self._tell(request, count, spent, plan.budget_ns)
        return True

    def _tell(self, request: Request, measured: int, spent_ns: int, budget_ns: int) -> None:
        """Report the progress; as many measurements are expected as the budget allows."""
        measuring = self._measuring
        expected = max(measured, int(measured * budget_ns / max(1, spent_ns)))
        self._report(
            SweepProgress(
                direction=request.direction,
                points_done=measured,
                points_planned=expected,
                repeating=False,
                best_bytes_per_s=self._best.get(request.direction, 0.0),
                written_bytes=measuring.written_bytes,
                left_ns=measuring.left_ns,
                activity=self._activity,
                measured=measured,
                expected=expected,
                after_choice=True,
            )
        )


def _part(whole: float, weight: float, weights: float, engines: int) -> int:
    return int(whole * weight / weights / engines) if weights else 0
