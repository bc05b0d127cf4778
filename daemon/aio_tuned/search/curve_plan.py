"""The plan of the curve of one engine and direction by request size: its requests to the helper, and their cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.model.measurement import Request
from aio_tuned.model.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.measurement import Engine, Sample
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.size_curve import CurveOp
    from aio_tuned.search.size_model import Guess

MOST_IN_FLIGHT = 256
MIXED_READ_PERCENT = 70
# The block layer's own limit of a request, where the drive's is not known to be less.
SPLIT_BYTES = 1280 << 10
# A mix is measured at these sizes only.
MIXED_SIZES = (64 << 10, 256 << 10, 1 << 20)
# This part of the budgets is for measurements after those of the other curves.
LATER_PART = 0.25
# A size gets about this many measurements, by which the budgets are divided.
_MEASUREMENTS = 8
_WRITE_MEASUREMENTS = 5
# A measurement is at least as long, for a start and a drain that take a latency of 0.1 ms not to matter, and no longer.
# Writes, which a drive caches, have shorter latencies, and cost bytes.
_MIN_VISIT_NS, _MIN_WRITE_NS, _MAX_VISIT_NS = 4_000_000, 2_000_000, 80_000_000
# The time of a measurement that another thread adds, which must be woken; the threads wake each other.
_WAKE_NS = 20_000
# The requests of a measurement for each in flight: the first that takes no more than _LONGER times the usual time.
_TURNS = (16, 4, 2)
_LONGER = 1.5
# A number in flight above 2 is left out if the fewest turns take this many times the usual time.
_DEAR, _DEAR_WRITE = 4.0, 2.5
# A measurement writes no more than this share of the budget, unless its fewest turns do.
_WRITE_SHARE = 1 / 16


class Cost(NamedTuple):
    """The nanoseconds and the written bytes of measurements."""

    ns: int
    written_bytes: int


def setting_of(engine: Engine, size: int, in_flight: int) -> Setting:
    """Return the setting that keeps that many requests of that size in flight with the engine."""
    threads = in_flight if engine == "psync" else 1
    return Setting(
        block_size=size,
        queue_depth=in_flight // threads,
        io_parallelism=threads,
        overlap_events=True,
        single_submit=engine == "psync",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePlan:
    """What to measure of one engine and direction, and the budgets for it.

    `guess` is what is expected before the first measurement. No more bytes are in flight than `max_transfer_bytes`, and
    no more requests than `max_in_flight`. No transfer is planned that takes longer than `max_transfer_ns`. The block
    layer splits requests that are longer than `split_bytes`.
    """

    engine: Engine
    op: CurveOp
    sizes: tuple[int, ...]
    guess: Guess
    max_transfer_bytes: int
    budget_ns: int
    budget_bytes: int
    seed: int
    max_in_flight: int = MOST_IN_FLIGHT
    max_transfer_ns: int | None = None
    split_bytes: int = SPLIT_BYTES

    @property
    def direction(self) -> Direction:
        """The direction of the requests to the helper."""
        return "read" if self.op == "read" else "write"

    @property
    def read_percent(self) -> int:
        """The share of reads in the requests, as the helper takes it."""
        return MIXED_READ_PERCENT if self.op == "mixed" else 0

    @property
    def written_share(self) -> float:
        """The share of the bytes that are written."""
        return {"read": 0.0, "write": 1.0, "mixed": 1 - MIXED_READ_PERCENT / 100}[self.op]

    def levels(self, size: int) -> int:
        """Return how many powers of two can be in flight with requests of that size, 1 included; 0 if none can."""
        most = min(self.max_in_flight, self.max_transfer_bytes // size)
        return most.bit_length()

    def is_of(self, sample: Sample) -> bool:
        """Return whether the sample was measured for this curve."""
        request = sample.request
        asked = (request.engine, request.direction, request.read_percent)
        return request.purpose == "curve" and asked == (self.engine, self.direction, self.read_percent)

    def cost(self, request: Request, bytes_per_s: float) -> Cost:
        """Return the expected cost of a request at that throughput."""
        transfer_ns = request.transfer_bytes * 1e9 / bytes_per_s
        count = max(request.min_transfers, math.ceil(request.min_ns / transfer_ns))
        if request.max_bytes:
            count = max(1, min(count, request.max_bytes // request.transfer_bytes))
        ns = int(count * transfer_ns)
        return Cost(ns, int(count * request.transfer_bytes * self.written_share))

    def spent(self, samples: Iterable[Sample]) -> Cost:
        """Return the cost of the curve's samples so far."""
        own = [sample for sample in samples if self.is_of(sample)]
        return Cost(sum(sample.wall_ns for sample in own), sum(sample.written_bytes for sample in own))

    def progress(self, samples: Iterable[Sample]) -> float:
        """Return the share of the budgets that the curve's samples so far have taken."""
        ns, written_bytes = self.spent(samples)
        return max(ns / max(1, self.budget_ns), written_bytes / self.budget_bytes if self.budget_bytes else 0.0)

    def _visit_ns(self, level: int, bytes_per_s: float) -> float:
        """Return the time of a measurement that the budgets allow."""
        count = len(self.sizes)
        most_ns = self.budget_ns / (_MEASUREMENTS * count)
        if self.written_share:
            most_bytes = self.budget_bytes / (_WRITE_MEASUREMENTS * count * self.written_share)
            most_ns = min(most_ns, most_bytes * 1e9 / bytes_per_s)
        wake_ns = _WAKE_NS * 2**level if self.engine == "psync" else 0
        return min(max(most_ns, _MIN_WRITE_NS if self.written_share else _MIN_VISIT_NS), _MAX_VISIT_NS) + wake_ns

    def _turns(self, size: int, level: int, bytes_per_s: float, visit_ns: float) -> int:
        each_ns = (size << level) * 1e9 / bytes_per_s
        return next((turns for turns in _TURNS if turns * each_ns <= _LONGER * visit_ns), _TURNS[-1])

    def affords(self, size: int, level: int, bytes_per_s: float) -> bool:
        """Return whether the budgets allow a measurement of the point, which has that expected throughput."""
        each_ns = (size << level) * 1e9 / bytes_per_s
        dear = _DEAR_WRITE if self.written_share else _DEAR
        return level <= 1 or _TURNS[-1] * each_ns <= dear * self._visit_ns(level, bytes_per_s)

    def request(
        self, number: int, size: int, level: int, bytes_per_s: float, requests: int = 0, *, part: float = 1.0
    ) -> Request:
        """Return the request that measures a point of that expected throughput, with at least that many requests.

        It takes this part of the usual time.
        """
        in_flight = 1 << level
        visit_ns = part * self._visit_ns(level, bytes_per_s)
        wanted = math.ceil(visit_ns * bytes_per_s / 1e9 / size)
        if self.written_share:
            requests = min(requests, int(_WRITE_SHARE * self.budget_bytes / self.written_share / size))
        wanted = max(requests, wanted)
        wanted = max(wanted, self._turns(size, level, bytes_per_s, visit_ns) * in_flight)
        most = self.max_transfer_bytes // size
        if self.max_transfer_ns is not None:
            most = min(most, int(self.max_transfer_ns * bytes_per_s / 1e9 / size))
        each = min(max(in_flight, most // in_flight * in_flight), math.ceil(wanted / in_flight) * in_flight)
        transfers = math.ceil(wanted / each)
        return Request(
            id=number,
            direction=self.direction,
            setting=setting_of(self.engine, size, in_flight),
            transfer_bytes=each * size,
            # Half of the time suffices if the expectation was too low; the number of transfers is the other limit.
            min_ns=int(visit_ns / 2),
            min_transfers=transfers,
            max_bytes=transfers * each * size if self.written_share else 0,
            purpose="curve",
            engine=self.engine,
            access="random",
            seed=self.seed,
            read_percent=self.read_percent,
        )


def places(sizes: Sequence[int]) -> dict[int, int]:
    """Return the place of each size in the list."""
    return {size: place for place, size in enumerate(sizes)}
