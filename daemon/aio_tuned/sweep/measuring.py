"""The measurements of one sweep: each request to the helper, and what all of them have cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.model.measurement import DROPPING
from aio_tuned.search.taint import taint_reason
from aio_tuned.sweep import clock
from aio_tuned.sweep.budget import write_budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.helper.process import Helper
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.observer import SweepObserver
    from aio_tuned.sweep.order import Checkpoint, Order


class Measuring:
    """The samples of a sweep with their running sums, which include what earlier processes of it have spent.

    `neighbours` returns the bytes that other namespaces of the drive have moved so far.
    """

    def __init__(
        self,
        helper: Helper,
        order: Order,
        hello: Hello,
        earlier: Checkpoint,
        observer: SweepObserver,
        neighbours: Callable[[], int],
    ) -> None:
        self._helper = helper
        self._order = order
        self._hello = hello
        self._observer = observer
        self._neighbours = neighbours
        self._previous: Sample | None = None
        self._cache_settled = order.drop_caches not in DROPPING
        self._has_dropped = any(sample.cache_dropped for sample in earlier.samples)
        self.samples = list(earlier.samples)
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

    @property
    def usual_left_bytes(self) -> int:
        """The bytes that measurements usually still write."""
        return min(self._max_written_bytes, self._order.usual_write_bytes) - self.written_bytes

    @property
    def left_ns(self) -> int:
        """The time that measurements may still take."""
        left_ns = min(self._order.time_budget_ns - self.spent_ns, clock.left_ns(self._order.deadline_ns))
        return max(0, int(left_ns))

    def of(self, direction: Direction) -> list[Sample]:
        """Return the samples of that direction."""
        return [sample for sample in self.samples if sample.request.direction == direction]

    def _with_cache(self, request: Request) -> tuple[Request, bool]:
        """Return the request, and whether it is the process's first before which the host's page cache is dropped.

        A sweep that was interrupted ten times would cost others their cache ten times. So `auto` drops no more once an
        earlier process has: the helper evicts the target's own pages, and the counters prove the reads.
        """
        policy = self._order.drop_caches
        if self._cache_settled or (policy == "auto" and request.direction == "write"):
            return request, False
        self._cache_settled = True
        if policy == "auto" and self._has_dropped:
            return replace(request, drop_caches=False), False
        return request, self._hello.drop_caches

    async def measure(self, request: Request) -> Sample:
        """Make the measurement, when the observer lets it begin, and keep its sample."""
        request, drops = self._with_cache(request)
        await self._observer.before(request, self._previous)
        if drops:
            await self._observer.before_drop()
        before = self._neighbours()
        sample = await self._helper.measure(request)
        # A counter can fall: a namespace may be removed.
        moved = max(0, self._neighbours() - before)
        sample = replace(sample, celsius=self._observer.celsius, neighbour_bytes=moved)
        self.spent_ns += sample.wall_ns
        if request.direction == "write":
            self.written_bytes += sample.bytes
        self._previous = sample
        self.samples.append(sample)
        self._observer.after(sample)
        return sample

    def why_nothing(self, direction: Direction, ended: str) -> MeasurementError:
        """Return the error for a direction in which no measurement counts; `ended` is why it ended."""
        reasons = ", ".join(sorted({taint_reason(sample) for sample in self.of(direction)} - {""}))
        failed = f"no {direction} could be trusted: {reasons}" if reasons else f"no {direction} was measured"
        return MeasurementError(f"{failed}; {ended}" if ended else failed)
