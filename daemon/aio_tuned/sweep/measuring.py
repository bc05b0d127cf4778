"""The measurements of one sweep, with their total time and bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.model.measurement import DROPPING
from aio_tuned.search.step import OTHER_PROCESSES
from aio_tuned.search.taint import AFTER_CHOICE, taint_reason
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
    """The samples of a sweep with running sums, which include those of earlier processes of the sweep.

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
        self.earlier_bytes = earlier.resumed * each_bytes + sum(sample.written_bytes for sample in earlier.samples)
        self.written_bytes = self.earlier_bytes + hello.fill_bytes
        kept_back = each_bytes if order.resumable and not earlier.resumed else 0
        self._max_written_bytes = write_budget(order, self.earlier_bytes) - order.zeroed_bytes - kept_back

    def after_choice(self) -> list[Sample]:
        """Return the samples of the experiments after the choice."""
        return [sample for sample in self.samples if sample.request.purpose in AFTER_CHOICE]

    @property
    def all_left_bytes(self) -> int:
        """The bytes that measurements may still write."""
        return self._max_written_bytes - self.written_bytes

    @property
    def write_left_bytes(self) -> int:
        """The bytes that passes and races may still write, without those that are reserved for what follows."""
        return self.all_left_bytes - self._reserved_bytes

    @property
    def _reserved_bytes(self) -> int:
        return max(0, self._order.after_bytes - sum(sample.written_bytes for sample in self.after_choice()))

    @property
    def usual_left_bytes(self) -> int:
        """The bytes that passes and races may still write within the usual write volume."""
        written_bytes = self.written_bytes - sum(sample.written_bytes for sample in self.after_choice())
        return min(self.write_left_bytes, self._order.usual_write_bytes - written_bytes)

    @property
    def left_ns(self) -> int:
        """The time that measurements may still take."""
        left_ns = min(self._order.time_budget_ns - self.spent_ns, clock.left_ns(self._order.deadline_ns))
        return max(0, int(left_ns))

    @property
    def phases_left_ns(self) -> int:
        """The time that passes and races may still take, without that which is reserved for what follows."""
        taken_ns = sum(sample.wall_ns for sample in self.after_choice())
        return max(0, self.left_ns - max(0, self._order.after_ns - taken_ns))

    def of(self, direction: Direction) -> list[Sample]:
        """Return the samples of that direction, without those of the experiments after the choice."""
        return [
            sample
            for sample in self.samples
            if sample.request.direction == direction and sample.request.purpose not in AFTER_CHOICE
        ]

    def _with_cache(self, request: Request) -> tuple[Request, bool]:
        """Return the request, and whether it is the first of the process that drops the host's page cache.

        A sweep with ten interruptions would drop the cache of other processes ten times. So `auto` does not drop it
        again after an earlier process did: the helper evicts the target's own pages, and the counters prove the reads.
        """
        policy = self._order.drop_caches
        if self._cache_settled or (policy == "auto" and request.direction == "write"):
            return request, False
        self._cache_settled = True
        if policy == "auto" and self._has_dropped:
            return replace(request, drop_caches=False), False
        return request, self._hello.drop_caches

    async def measure(self, request: Request) -> Sample:
        """Wait until the observer permits the measurement, then make it and keep its sample."""
        request, drops = self._with_cache(replace(request, max_foreign_bytes=self._order.max_foreign_bytes))
        await self._observer.before(request, self._previous)
        if drops:
            await self._observer.before_drop()
        before = self._neighbours()
        sample = await self._helper.measure(request)
        # A counter can fall: a namespace may be removed.
        moved = max(0, self._neighbours() - before)
        sample = replace(sample, celsius=self._observer.celsius, neighbour_bytes=moved)
        self.spent_ns += sample.wall_ns
        self.written_bytes += sample.written_bytes
        self._previous = sample
        self.samples.append(sample)
        self._observer.after(sample)
        return sample

    def why_nothing(self, direction: Direction, ended: str) -> MeasurementError:
        """Return the error for a direction without a usable measurement; `ended` is the reason for its end, or ""."""
        reasons = sorted({taint_reason(sample) for sample in self.of(direction)} - {""})
        if ended and not (reasons and OTHER_PROCESSES in ended):
            reasons.append(ended)
        why = ", ".join(reasons) or "nothing was measured"
        return MeasurementError(f"{direction}: no usable measurement ({why}); try again when the drive is idle")
