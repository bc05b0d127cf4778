"""The adaptive experiment by request size, for one engine and direction.

It measures only as many numbers in flight as it takes to know, for each size, the least power of two that gives 95 % of
what the size can give. First each size is measured with one request in flight and with as many as probably saturate it,
all in random order. From then on the model of all measurements (search/size_model.py) proposes one more measurement of
each size whose answer is not known: of a number that may give more than those measured, of a lower one that may be
enough, and then again of the deciding ones, until the answer is probably no doubling off and its throughput within
2.5 %. Last, a longer measurement gives the p99 of each answer, where the rest of the budget pays for it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.model.size_curve import MIN_REQUESTS_OF_P99, SATURATED_SHARE, SizeCurve, SizePoint
from aio_tuned.search import curve_plan, size_model
from aio_tuned.search.size_model import Seen
from aio_tuned.search.taint import taint_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.search.curve_plan import CurvePlan
    from aio_tuned.search.size_model import SizeModel

# The first measurements take this part of the usual time.
_PROBE_PART = 1 / 8
# One request in flight shows the latency of a size, and is rarely its answer.
_ALONE_PART = 1 / 4
# A point whose measurements were tainted this many times is left out.
_MAX_TAINTED = 2
# The measurements of a point and of a size at most, those for the p99 besides.
_MAX_OF_POINT, _MAX_OF_SIZE = 8, 24
_MAX_OF_SHORT = 4
# The block layer splits larger requests on many drives.
_SPLIT_BYTES = 128 << 10
_DRAWS = 200
_SATURATED_LOG = math.log(SATURATED_SHARE)
# A number in flight that was not measured is, if it gives this much more than those measured with this probability.
_MORE_LOG, _MORE_CHANCE = 0.015, 0.15
# A lower number is measured if it is enough with this probability.
_ENOUGH_CHANCE = 0.1
# The deciding numbers are measured again until the answer is a doubling off, or its throughput this far, with no more
# than this probability; and while the budget is not yet half spent, until the answer itself is as sure.
_OFF_LOG, _OFF_CHANCE = 0.025, 0.02
_SURE_CHANCE = 0.1
_SURE_SHARE = 0.5
# The requests for a p99: usually, with 40 of them above it.
_REQUESTS_OF_P99 = 4000
# Measurements at one time differ from those at another by this much more than the noise within them.
_ERROR_BETWEEN = 0.004


class Curved:
    """The measurements of a curve so far, with their model."""

    def __init__(self, plan: CurvePlan, samples: Sequence[Sample]) -> None:
        self.plan = plan
        self._places = curve_plan.places(plan.sizes)
        self.clean: dict[tuple[int, int], list[Sample]] = {}
        self.tainted: dict[tuple[int, int], int] = {}
        own = [sample for sample in samples if plan.is_of(sample)]
        self.spent = plan.spent(own)
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
            _seen(place, level, sample, self._alone_ns(place))
            for (place, level), found in self.clean.items()
            for sample in found
        ]
        return size_model.fit(self.plan.sizes, levels, seen, self.plan.guess)

    def _alone_ns(self, place: int) -> float:
        """Return the latency of a request that is alone; 0 if unknown.

        A large one is split, and its first part arrives as soon as a small one.
        """
        fitting = [one for one in range(place + 1) if (one, 0) in self.clean and self.plan.sizes[one] <= _SPLIT_BYTES]
        return min((sample.latency_p50_ns for sample in self.clean[fitting[-1], 0]), default=0.0) if fitting else 0.0

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
            and self.tainted.get((place, level), 0) < _MAX_TAINTED
            and self.plan.affords(size, level, self.model.rate(place, level))
        ]

    def visits(self, place: int, level: int | None = None) -> int:
        """Return the number of clean measurements of a size, or of one of its levels."""
        return sum(len(found) for (size, one), found in self.clean.items() if size == place and level in (None, one))

    def longest(self, place: int, level: int) -> int:
        """Return the most requests that a transfer of the point had."""
        return max(_requests(sample) // len(sample.transfers_ns) for sample in self.clean[place, level])

    def may_repeat(self, place: int, level: int) -> bool:
        """Return whether the point is worth another measurement."""
        visits = self.visits(place, level)
        # Repetition does not help against the start of a transfer that cannot be longer.
        short = self.longest(place, level) * 2 * self.plan.sizes[place] > self.plan.max_transfer_bytes
        return visits < (_MAX_OF_SHORT if short else _MAX_OF_POINT)

    def answer(self, place: int) -> int | None:
        """Return the least measured level that saturates the size; None if nothing was measured."""
        known = self.measured(place)
        if not known:
            return None
        rates = self.model.log_rate[place, known]
        return known[int(np.argmax(rates >= rates.max() + _SATURATED_LOG))]


def _seen(place: int, level: int, sample: Sample, alone_ns: float) -> Seen:
    """Return the measurement without the start of each transfer, which a consumer that goes on does not have.

    No data arrive for the latency `alone_ns` of a request that is alone. Whether a measurement loses all of it is not
    known, so half of it counts as an error.
    """
    start_ns = (1 - 2.0**-level) * alone_ns * len(sample.transfers_ns)
    start_ns = min(start_ns, sample.elapsed_ns / 2)
    return Seen(place, level, sample.bytes * 1e9 / (sample.elapsed_ns - start_ns), start_ns / sample.elapsed_ns / 2)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A point to measure next, with at least so many requests, and for this part of the usual time."""

    place: int
    level: int
    requests: int = 0
    part: float = 1.0


def next_round(plan: CurvePlan, samples: Sequence[Sample], first_id: int) -> tuple[Request, ...]:
    """Return the next measurements of the curve in random order; () if it is known, or its budgets are spent."""
    curved = Curved(plan, samples)
    rng = random.Random(f"{plan.seed}/{plan.engine}/{plan.op}/{first_id}")  # noqa: S311 - no secret
    every = [place for place in range(len(plan.sizes)) if curved.levels(place)]
    if curved.is_new:
        wishes = _probes(curved, every)
    else:
        wishes = [wish for place in every for wish in _next(curved, place)] or _of_p99(curved, every)
    rng.shuffle(wishes)
    # A point that was not measured comes first, in case that the budget ends.
    wishes.sort(key=lambda wish: (wish.place, wish.level) in curved.clean)
    left_ns, left_bytes = plan.budget_ns - curved.spent.ns, plan.budget_bytes - curved.spent.written_bytes
    made: list[Request] = []
    for wish in wishes:
        rate = curved.model.rate(wish.place, wish.level)
        number, size = first_id + len(made), plan.sizes[wish.place]
        request = plan.request(number, size, wish.level, rate, wish.requests, part=wish.part)
        ns, written_bytes = plan.cost(request, rate)
        if ns <= left_ns and written_bytes <= left_bytes:
            made.append(request)
            left_ns, left_bytes = left_ns - ns, left_bytes - written_bytes
    return tuple(made)


def _probes(curved: Curved, every: Sequence[int]) -> list[_Wish]:
    """Return short measurements that show the drive's speed, since the guess may be ten times too high."""
    few = dict.fromkeys((every[0], every[len(every) // 2], every[-1])) if every else ()
    alone = [_Wish(place, 0, part=_PROBE_PART) for place in few]
    return [*alone, *(_Wish(place, curved.levels(place) // 2, part=_PROBE_PART) for place in every[:1])]


def _next(curved: Curved, place: int) -> list[_Wish]:
    """Return the measurements of a size that its answer needs next; [] if the answer is known."""
    known, left = curved.measured(place), curved.open(place)
    if not known:
        return [_Wish(place, left[0], part=_ALONE_PART)] if left else []
    if curved.visits(place) >= _MAX_OF_SIZE:
        return []
    draws = curved.model.draws(place, curved.levels(place), _DRAWS)
    if left and (level := _higher(curved, place, draws, known, left)) is not None:
        return [_Wish(place, level)]
    answer = curved.answer(place)
    assert answer is not None  # noqa: S101 - something was measured
    enough = (draws >= draws.max(axis=1, keepdims=True) + _SATURATED_LOG).mean(axis=0)
    lower = [level for level in left if level < answer and enough[level] > _ENOUGH_CHANCE]
    if lower:
        likely = [level for level in lower if enough[level] > 0.5]  # noqa: PLR2004 - more likely than not
        return [_Wish(place, likely[0] if likely else lower[-1])]
    return _again(curved, place, draws, known, answer)


def _higher(curved: Curved, place: int, draws: size_model.Floats, known: list[int], left: list[int]) -> int | None:
    """Return a level that was not measured and may give more than those measured; None if there is none."""
    excess = draws[:, left] - draws[:, known].max(axis=1, keepdims=True)
    if (excess.max(axis=1) > _MORE_LOG).mean() <= _MORE_CHANCE:
        return None
    # Among equal ones the lowest, which is the cheapest.
    rates = curved.model.log_rate[place, left]
    return left[int(np.argmax(rates >= rates.max() - _MORE_LOG))]


def _again(curved: Curved, place: int, draws: size_model.Floats, known: list[int], answer: int) -> list[_Wish]:
    """Return another measurement of one of the levels on which the answer depends; [] if it is clear enough."""
    saturated = draws >= draws.max(axis=1, keepdims=True) + _SATURATED_LOG
    answers = saturated.argmax(axis=1)
    error = curved.model.error(place, answer)
    off = math.erfc(_OFF_LOG / max(error, 1e-9) / math.sqrt(2))
    far = float((np.abs(answers - answer) > 1).mean())
    half = curved.plan.budget_ns * _SURE_SHARE
    unsure = curved.spent.ns < half and float((answers != answer).mean()) > _SURE_CHANCE
    if off + far <= _OFF_CHANCE and not unsure:
        return []
    if off > _OFF_CHANCE:
        deciding = [answer]
    else:
        best = max(known, key=lambda level: float(curved.model.log_rate[place, level]))
        deciding = [level for level in {answer - 1, answer, answer + 1, best} if level in known]
    few = [level for level in deciding if curved.may_repeat(place, level)]
    if not few:
        return []
    level = max(few, key=lambda level: (curved.model.error(place, level), -level))
    # A longer transfer has a shorter start for its length.
    return [_Wish(place, level, 2 * curved.longest(place, level))]


def _requests(sample: Sample) -> int:
    return sample.requests or sample.bytes // sample.request.setting.block_size


def _of_p99(curved: Curved, every: Sequence[int]) -> list[_Wish]:
    """Return the measurements of the answers that have too few requests for a p99, as far as the budget pays."""
    plan = curved.plan
    short = []
    for place in every:
        answer = curved.answer(place)
        if answer is not None:
            most = max(_requests(sample) for sample in curved.clean[place, answer])
            if most < _REQUESTS_OF_P99 and curved.tainted.get((place, answer), 0) < _MAX_TAINTED:
                short.append((place, answer, most))
    wishes = []
    left_ns, left_bytes = plan.budget_ns - curved.spent.ns, plan.budget_bytes - curved.spent.written_bytes
    # The small sizes are cheap; each gets what the dearer ones leave it.
    for number, (place, answer, most) in enumerate(short):
        size, rate, share = plan.sizes[place], curved.model.rate(place, answer), len(short) - number
        for count in (_REQUESTS_OF_P99, MIN_REQUESTS_OF_P99):
            ns, written_bytes = count * size * 1e9 / rate, count * size * plan.written_share
            if count > most and ns <= left_ns / share and written_bytes <= left_bytes / share:
                wishes.append(_Wish(place, answer, count))
                left_ns, left_bytes = left_ns - int(ns), left_bytes - int(written_bytes)
                break
    return wishes


def curve(plan: CurvePlan, samples: Sequence[Sample]) -> SizeCurve | None:
    """Return the curve; None if no point was measured."""
    curved = Curved(plan, samples)
    points: list[SizePoint] = []
    for place, size in enumerate(plan.sizes):
        known = curved.measured(place)
        if not known:
            continue
        best = max(curved.model.rate(place, level) for level in known)
        for level in known:
            rate, found = curved.model.rate(place, level), curved.clean[place, level]
            many = [sample for sample in found if _requests(sample) >= MIN_REQUESTS_OF_P99]
            weights = [_requests(sample) for sample in many]
            p99_ns = np.average([sample.latency_p99_ns for sample in many], weights=weights) if many else None
            points.append(
                SizePoint(
                    request_bytes=size,
                    in_flight=1 << level,
                    throughput_bytes_per_s=max(1, round(rate)),
                    p50_us=max(0.1, round(float(np.median([one.latency_p50_ns for one in found])) / 1000, 1)),
                    p99_us=None if p99_ns is None else max(0.1, round(float(p99_ns) / 1000, 1)),
                    share=max(0.0001, round(rate / best, 4)),
                )
            )
    return SizeCurve(engine=plan.engine, op=plan.op, points=tuple(points)) if points else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The throughput of one engine relative to another's, each with its best number in flight, with a 95 % interval."""

    ratio: float
    low: float
    high: float


def ratio(one: CurvePlan, other: CurvePlan, samples: Sequence[Sample], size: int) -> Ratio | None:
    """Return how many times as fast as `other` the engine of `one` is with requests of a size; None if unknown."""
    logs, squares = [], 2 * _ERROR_BETWEEN**2
    for plan in (one, other):
        if size not in plan.sizes:
            return None
        curved, place = Curved(plan, samples), curve_plan.places(plan.sizes)[size]
        known = curved.measured(place)
        if not known:
            return None
        best = max(known, key=lambda level: float(curved.model.log_rate[place, level]))
        logs.append(float(curved.model.log_rate[place, best]))
        squares += curved.model.error(place, best) ** 2
    middle, width = logs[0] - logs[1], 1.96 * math.sqrt(squares)
    return Ratio(ratio=math.exp(middle), low=math.exp(middle - width), high=math.exp(middle + width))
