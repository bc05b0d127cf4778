"""A small analytic drive with a known throughput for each request size and number in flight, and its true answers."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aio_tuned.model.measurement import Sample
from aio_tuned.search import size_curve

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Request
    from aio_tuned.search.curve_plan import CurvePlan


@dataclass(slots=True, kw_only=True)
class SizeDrive:
    """A drive with a latency, two ceilings and a soft bend between them; each doubling in flight costs `crowd`.

    Requests reach it in pieces of `piece_bytes`, the first of which take as long as one that is alone. `tainted` are
    the numbers of the requests that other processes disturb.
    """

    seed: int = 1
    latency_s: float = 80e-6
    stream_bytes_per_s: float = 3e9
    bytes_per_s: float = 6.5e9
    iops: float = 800_000.0
    bend: float = 4.0
    crowd: float = 0.0
    noise: float = 0.008
    piece_bytes: int = 128 << 10
    tainted: frozenset[int] = frozenset()
    asked: list[Request] = field(default_factory=list)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def latency(self, size: int) -> float:
        """Return the seconds of a request that is alone."""
        first = min(size, 128 << 10)
        rest = (size - first) / max(self.stream_bytes_per_s, 0.7 * self.bytes_per_s)
        return self.latency_s + first / self.stream_bytes_per_s + rest

    def truth(self, size: int, in_flight: int) -> float:
        """Return the bytes per second without noise."""
        waiting = self.latency(size) / in_flight
        bottleneck = max(size / self.bytes_per_s, 1 / self.iops)
        spacing: float = (waiting**self.bend + bottleneck**self.bend) ** (1 / self.bend)
        return size / spacing / (1 + self.crowd * math.log2(in_flight))

    def least(self, plan: CurvePlan, size: int) -> tuple[int, float]:
        """Return the true answer: the least power of two that saturates the size, and the throughput there."""
        rates = {1 << level: self.truth(size, 1 << level) for level in range(plan.levels(size))}
        found = min(one for one, rate in rates.items() if rate >= 0.95 * max(rates.values()))
        return found, rates[found]

    def answer(self, asked: Request) -> Sample:
        self.asked.append(asked)
        setting = asked.setting
        rate = self.truth(setting.block_size, setting.concurrency)
        alone_ns = self.latency(setting.block_size) * 1e9
        # A transfer begins with a part of its first request, during which no data arrive.
        begin_ns = (1 - 1 / setting.concurrency) * self.latency(min(setting.block_size, self.piece_bytes)) * 1e9
        each_ns = asked.transfer_bytes / rate * 1e9 + begin_ns
        count = max(asked.min_transfers, math.ceil(asked.min_ns / each_ns))
        if asked.max_bytes:
            count = max(1, min(count, asked.max_bytes // asked.transfer_bytes))
        elapsed = max(count, round(count * each_ns * math.exp(self.random.gauss(0, self.noise))))
        total = count * asked.transfer_bytes
        written = total * (100 - asked.read_percent) // 100 if asked.direction == "write" else 0
        waits_ns = alone_ns if setting.concurrency == 1 else setting.in_flight_bytes / rate * 1e9
        latency_ns = int(waits_ns)
        foreign = total if asked.id in self.tainted else 0
        return Sample(
            request=asked,
            transfers_ns=(elapsed // count,) * (count - 1) + (elapsed - elapsed // count * (count - 1),),
            bytes=total,
            elapsed_ns=elapsed,
            wall_ns=elapsed + 60_000,
            latency_p50_ns=latency_ns,
            latency_p99_ns=3 * latency_ns,
            cache_verdict="device",
            cache_dropped=False,
            device_read_bytes=total - written + foreign,
            device_write_bytes=written,
            requests=total // setting.block_size,
        )


def run(drive: SizeDrive, plan: CurvePlan, samples: list[Sample] | None = None) -> list[Sample]:
    """Return the samples of the whole experiment, after those that are given."""
    found = list(samples or ())
    for later in (False, True):
        while asked := size_curve.next_round(plan, found, len(found) + 1, later=later):
            for one in asked:
                found.append(drive.answer(one))
                if plan.spent(found).ns > plan.budget_ns:
                    return found
            assert len(found) < 1000
    return found


def twin(drive: SizeDrive, seed: int) -> SizeDrive:
    """Return the same drive with other noise."""
    return replace(drive, seed=seed, asked=[])
