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
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.model.size_curve import MIN_REQUESTS_OF_P99, SizeCurve, SizePoint
from aio_tuned.search import curve_plan
from aio_tuned.search.curved import MAX_TAINTED, SATURATED_LOG, Curved, requests_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.search.curve_plan import CurvePlan
    from aio_tuned.search.size_model import Floats

# The first measurements take this part of the usual time.
_PROBE_PART = 1 / 8
# One request in flight shows the latency of a size, and is rarely its answer.
_ALONE_PART = 1 / 4
# The measurements of a size at most, those for the p99 and for later besides.
_MAX_OF_SIZE = 24
# The answers are measured again later until they have that many measurements.
_LATER_VISITS = 5
_DRAWS = 200
# A number in flight that was not measured is, if it gives this much more than those measured with this probability.
_MORE_LOG, _MORE_LOG_OF_WRITES, _MORE_CHANCE = 0.015, 0.03, 0.15
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


@dataclass(frozen=True, slots=True)
class _Wish:
    """A point to measure next, with at least that many requests, and for this part of the usual time."""

    place: int
    level: int
    requests: int = 0
    part: float = 1.0


def next_round(
    plan: CurvePlan, samples: Sequence[Sample], first_id: int, *, later: bool = False
) -> tuple[Request, ...]:
    """Return the next measurements of the curve in random order; () if it is known, or its budgets are spent.

    A part of the budgets is for the measurements `later`, after those of the other curves. These visit the answers
    again, since a slow spell of the drive may have covered all measurements of a size.
    """
    curved = Curved(plan, samples)
    rng = random.Random(f"{plan.seed}/{plan.engine}/{plan.op}/{first_id}")  # noqa: S311 - no secret
    every = [place for place in range(len(plan.sizes)) if curved.levels(place)]
    wishes = _probes(curved, every) if curved.is_new else [wish for place in every for wish in _next(curved, place)]
    if later:
        new = [wish for wish in wishes if (wish.place, wish.level) not in curved.clean]
        wishes = [*new, *_later(curved, every)] or wishes
    elif not wishes:
        wishes = _of_p99(curved, every)
    rng.shuffle(wishes)
    # Points that were not measured come first, and those of sizes with few measurements, in case that a budget ends.
    wishes.sort(key=lambda wish: ((wish.place, wish.level) in curved.clean, curved.visits(wish.place)))
    left_ns, left_bytes = curved.left(later=later)
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
    enough = (draws >= draws.max(axis=1, keepdims=True) + SATURATED_LOG).mean(axis=0)
    lower = [level for level in left if level < answer and enough[level] > _ENOUGH_CHANCE]
    if lower:
        likely = [level for level in lower if enough[level] > 0.5]  # noqa: PLR2004 - more likely than not
        return [_Wish(place, likely[0] if likely else lower[-1])]
    return _again(curved, place, draws, known, answer)


def _higher(curved: Curved, place: int, draws: Floats, known: list[int], left: list[int]) -> int | None:
    """Return a level that was not measured and may give more than those measured; None if there is none."""
    excess = draws[:, left] - draws[:, known].max(axis=1, keepdims=True)
    if (excess.max(axis=1) > _MORE_LOG).mean() <= _MORE_CHANCE:
        return None
    # Among nearly equal ones the lowest, which is the cheapest.
    rates = curved.model.log_rate[place, left]
    equal = _MORE_LOG_OF_WRITES if curved.plan.written_share else _MORE_LOG
    return left[int(np.argmax(rates >= rates.max() - equal))]


def _again(curved: Curved, place: int, draws: Floats, known: list[int], answer: int) -> list[_Wish]:
    """Return another measurement of one of the levels on which the answer depends; [] if it is clear enough."""
    saturated = draws >= draws.max(axis=1, keepdims=True) + SATURATED_LOG
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


def _later(curved: Curved, every: Sequence[int]) -> list[_Wish]:
    """Return one more measurement of each answer that has too few."""
    answers = [(place, curved.answer(place)) for place in every]
    return [
        _Wish(place, answer)
        for place, answer in answers
        if answer is not None
        and curved.visits(place, answer) < _LATER_VISITS
        and curved.tainted.get((place, answer), 0) < MAX_TAINTED
    ]


def _of_p99(curved: Curved, every: Sequence[int]) -> list[_Wish]:
    """Return the measurements of the answers that have too few requests for a p99, as far as the budget pays."""
    plan = curved.plan
    short = []
    for place in every:
        answer = curved.answer(place)
        if answer is not None:
            most = max(requests_of(sample) for sample in curved.clean[place, answer])
            if most < _REQUESTS_OF_P99 and curved.tainted.get((place, answer), 0) < MAX_TAINTED:
                short.append((place, answer, most))
    wishes = []
    left_ns, left_bytes = curved.left(later=False)
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
        if not known or not curved.is_known(place):
            continue
        best = max(curved.model.rate(place, level) for level in known)
        for level in known:
            rate, found = curved.model.rate(place, level), curved.clean[place, level]
            many = [sample for sample in found if requests_of(sample) >= MIN_REQUESTS_OF_P99]
            weights = [requests_of(sample) for sample in many]
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
