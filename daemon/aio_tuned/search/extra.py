"""What the small experiments after the choice have in common: one setting, its transfers, and a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.model.measurement import Request
from aio_tuned.search.plan import MIN_TRANSFER_BYTES, transfer_quantum
from aio_tuned.search.taint import taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.measurement import Purpose, Sample
    from aio_tuned.model.setting import Direction, Setting

# A measurement of an experiment is as short as that of a pass, and has a transfer or two.
_VISIT_NS = 25_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """The measurements of one purpose and direction around the chosen setting, and the budgets for them.

    Transfers have up to `max_transfer_bytes` and take up to `max_transfer_ns`. `bytes_per_s` is the throughput of the
    setting, by which measurements are sized. The bytes pay for about that many `measurements`.
    """

    purpose: Purpose
    direction: Direction
    setting: Setting
    bytes_per_s: float
    max_transfer_bytes: int
    alignment_bytes: int
    budget_ns: int
    budget_bytes: int
    measurements: int
    seed: int
    max_transfer_ns: int | None = None

    def own(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return the samples of this experiment and direction."""
        return [
            sample
            for sample in samples
            if sample.request.purpose == self.purpose and sample.request.direction == self.direction
        ]

    def clean(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return the samples of this experiment and direction that count."""
        return [sample for sample in self.own(samples) if not taint_reason(sample)]

    def transfer(self, settings: Iterable[Setting]) -> int:
        """Return the size of a transfer that splits evenly among the threads of each of the settings."""
        most = float(self.max_transfer_bytes)
        if self.max_transfer_ns is not None:
            most = min(most, self.max_transfer_ns * self.bytes_per_s / 1e9)
        if self.direction == "write":
            most = min(most, self.budget_bytes / self.measurements)
        quantum = transfer_quantum(settings, self.alignment_bytes)
        wanted = int(min(max(_VISIT_NS * self.bytes_per_s / 1e9, MIN_TRANSFER_BYTES), most))
        return max(1, wanted // quantum) * quantum

    def affords(self, samples: Iterable[Sample], count: int, transfer_bytes: int) -> bool:
        """Return whether the budgets pay for that many more measurements."""
        own = self.own(samples)
        ns = sum(sample.wall_ns for sample in own) + count * self._each_ns(transfer_bytes)
        if self.direction == "write":
            written = sum(sample.bytes for sample in own) + count * transfer_bytes
            if written > self.budget_bytes:
                return False
        return ns <= self.budget_ns

    def _each_ns(self, transfer_bytes: int) -> float:
        return max(transfer_bytes * 1e9 / self.bytes_per_s, _VISIT_NS if self.direction == "read" else 0)

    def request(self, number: int, setting: Setting, transfer_bytes: int) -> Request:
        """Return the request of one measurement."""
        writes = self.direction == "write"
        return Request(
            id=number,
            direction=self.direction,
            setting=setting,
            transfer_bytes=transfer_bytes,
            min_ns=_VISIT_NS // 2,
            max_bytes=transfer_bytes if writes else 0,
            purpose=self.purpose,
        )
