"""The measurements of a curve by request size so far, with their model and the answers that follow."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.model.size_curve import SATURATED_SHARE
from aio_tuned.search import curve_plan, size_model
from aio_tuned.search.curve_plan import Cost
from aio_tuned.search.size_model import Seen
from aio_tuned.search.taint import taint_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Sample
    from aio_tuned.search.curve_plan import CurvePlan
    from aio_tuned.search.size_model import SizeModel

SATURATED_LOG = math.log(SATURATED_SHARE)
_MUCH_MORE_LOG = math.log(0.9)
# A point whose measurements were tainted this many times is left out.
MAX_TAINTED = 2
# The measurements of a point at most, and of one whose transfers cannot be longer.
_MAX_OF_POINT, _MAX_OF_SHORT = 8, 4


def requests_of(sample: Sample) -> int:
    """Return the number of requests in a measurement."""
    return sample.requests or sample.bytes // sample.request.setting.block_size


class Curved:
    """The measurements of a curve so far, with their model."""

    def __init__(self, plan: CurvePlan, samples: Sequence[Sample]) -> None:
        self.plan = plan
        self._places = curve_plan.places(plan.sizes)
        self.clean: dict[tuple[int, int], list[Sample]] = {}
        self.tainted: dict[tuple[int, int], int] = {}
        own = [sample for sample in samples if plan.is_of(sample)]
        self.spent = plan.spent(own)
        ends_ns = accumulate(sample.wall_ns for sample in samples)
        self._at_s = {sample.request.id: ns / 1e9 for sample, ns in zip(samples, ends_ns, strict=True)}
        for sample in own:
            setting = sample.request.setting
            if (place := self._places.get(setting.block_size)) is None:
                continue
            point = place, setting.concurrency.bit_length() - 1
            if taint_reason(sample):
                self.tainted[point] = self.tainted.get(point, 0) + 1
            else:
                self.clean.setdefault(point, []).append(sample)

    @property
    def is_new(self) -> bool:
        """Whether nothing was measured yet."""
        return not self.clean and not self.tainted

    @cached_property
    def model(self) -> SizeModel:
        """The model of all clean measurements."""
        levels = max(self.plan.levels(size) for size in self.plan.sizes)
        seen = [
            Seen(
                place,
                level,
                sample.bytes_per_s,
                sample.elapsed_ns / len(sample.transfers_ns) / 1e9,
                self._at_s[sample.request.id],
            )
            for (place, level), found in self.clean.items()
            for sample in found
        ]
        plan, threads = self.plan, self.plan.engine == "psync"
        return size_model.fit(plan.sizes, levels, seen, plan.guess, plan.split_bytes, threads=threads)

    def left(self, *, later: bool) -> Cost:
        """Return what is left of the budgets now, or of those for later too."""
        part = 1.0 if later else 1 - curve_plan.LATER_PART
        ns, written_bytes = part * self.plan.budget_ns, part * self.plan.budget_bytes
        return Cost(int(ns) - self.spent.ns, int(written_bytes) - self.spent.written_bytes)

    def levels(self, place: int) -> int:
        """Return how many levels the size has."""
        return self.plan.levels(self.plan.sizes[place])

    def measured(self, place: int) -> list[int]:
        """Return the measured levels of a size."""
        return sorted(level for size, level in self.clean if size == place)

    def open(self, place: int) -> list[int]:
        """Return the levels of a size that are not measured and not left out."""
        known, size = self.measured(place), self.plan.sizes[place]
        return [
            level
            for level in range(self.levels(place))
            if level not in known
            and self.tainted.get((place, level), 0) < MAX_TAINTED
            and self.plan.affords(size, level, self.model.rate(place, level))
        ]

    def visits(self, place: int, level: int | None = None) -> int:
        """Return the number of clean measurements of a size, or of one of its levels."""
        return sum(len(found) for (size, one), found in self.clean.items() if size == place and level in (None, one))

    def longest(self, place: int, level: int) -> int:
        """Return the most requests that a transfer of the point had."""
        return max(requests_of(sample) // len(sample.transfers_ns) for sample in self.clean[place, level])

    def may_repeat(self, place: int, level: int) -> bool:
        """Return whether the point is worth another measurement."""
        visits = self.visits(place, level)
        # Repetition does not help against the start of a transfer that cannot be longer.
        short = self.longest(place, level) * 2 * self.plan.sizes[place] > self.plan.max_transfer_bytes
        return visits < (_MAX_OF_SHORT if short else _MAX_OF_POINT)

    def is_known(self, place: int) -> bool:
        """Return whether the answer of a size can be published, since the model expects no other.

        Where the budget ended too early, a number in flight that was not measured may give a tenth more than those
        that were, or the answer may be a quarter of the measured one or less.
        """
        answer = self.answer(place)
        if answer is None:
            return False
        rates = self.model.log_rate[place, : self.levels(place)]
        measured = float(rates[self.measured(place)].max())
        expected = int(np.argmax(rates >= rates.max() + SATURATED_LOG))
        return float(rates.max()) + _MUCH_MORE_LOG <= measured and expected >= answer - 1

    def answer(self, place: int) -> int | None:
        """Return the least measured level that saturates the size; None if nothing was measured."""
        known = self.measured(place)
        if not known:
            return None
        rates = self.model.log_rate[place, known]
        return known[int(np.argmax(rates >= rates.max() + SATURATED_LOG))]
