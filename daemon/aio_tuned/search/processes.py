"""The chosen setting in several processes at once, as it is and with the requests in flight of each divided."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio_tuned.model.size_curve import MIN_REQUESTS_OF_P99
from aio_tuned.search.curved import requests_of
from aio_tuned.search.step import next_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.model.setting import Setting
    from aio_tuned.search.extra import Extra

# The helper's limit of threads, over all groups.
MAX_THREADS = 64
# Rounds over all numbers and divisors: at least one, and at most that many.
_ROUNDS = 3
# The largest divisor that keeps this share of the best counts.
_KEEPS = 0.98


class Split(NamedTuple):
    """A number of processes and what divides the requests in flight of each."""

    processes: int
    divisor: int


def divided(setting: Setting, divisor: int) -> Setting:
    """Return the setting with its requests in flight divided: the queue depth as far as it goes, then the threads."""
    depth = max(1, setting.queue_depth // divisor)
    rest = max(1, divisor * depth // setting.queue_depth)
    return replace(setting, queue_depth=depth, io_parallelism=max(1, setting.io_parallelism // rest))


def splits(setting: Setting, numbers: Sequence[int]) -> dict[Split, Setting]:
    """Return the setting of each process for each number of them and each divisor, without those that are equal."""
    found: dict[Split, Setting] = {}
    for number in numbers:
        seen: set[Setting] = set()
        for power in range(number.bit_length()):
            each = divided(setting, 1 << power)
            if each not in seen and each.io_parallelism * number <= MAX_THREADS:
                found[Split(number, 1 << power)] = each
                seen.add(each)
    return found


def _place(sample: Sample, every: dict[Split, Setting]) -> Split | None:
    request = sample.request
    return next(
        (one for one, each in every.items() if (one.processes, each) == (request.groups, request.setting)), None
    )


def next_round(extra: Extra, numbers: Sequence[int], samples: Sequence[Sample]) -> tuple[Request, ...]:
    """Return the next measurement of each split in random order; () if there are enough, or the budget is spent."""
    every = splits(extra.setting, numbers)
    if not every:
        return ()
    whole = [replace(each, io_parallelism=each.io_parallelism * one.processes) for one, each in every.items()]
    transfer = extra.transfer(whole)
    counts = dict.fromkeys(every, 0)
    for sample in extra.own(samples):
        if (one := _place(sample, every)) is not None:
            counts[one] += 1
    fewest = min(counts.values())
    if fewest >= _ROUNDS:
        return ()
    order = [one for one in every if counts[one] == fewest]
    random.Random(f"{extra.seed}/{extra.direction}/{next_id(samples)}").shuffle(order)  # noqa: S311 - no secret
    if not extra.affords(samples, len(order), transfer):
        return ()
    first = next_id(samples)
    return tuple(
        replace(extra.request(first + number, every[one], transfer), groups=one.processes)
        for number, one in enumerate(order)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What a number of processes gives together, with the largest divisor that loses nothing.

    `slowest_share` is the throughput of the slowest process relative to their mean. `p99_us` is None if no measurement
    had enough requests for one.
    """

    processes: int
    divisor: int
    bytes_per_s: float
    p99_us: float | None
    slowest_share: float


def found(extra: Extra, numbers: Sequence[int], samples: Sequence[Sample]) -> tuple[Together, ...]:
    """Return the figures of each number of processes that was measured."""
    every = splits(extra.setting, numbers)
    of_split: dict[Split, list[Sample]] = {}
    for sample in extra.clean(samples):
        if (one := _place(sample, every)) is not None:
            of_split.setdefault(one, []).append(sample)
    rates = {one: float(np.mean([math.log(each.bytes_per_s) for each in own])) for one, own in of_split.items()}
    result = []
    for number in numbers:
        known = {one: rate for one, rate in rates.items() if one.processes == number}
        if not known:
            continue
        best = max(known.values())
        kept = max((one for one, rate in known.items() if rate >= best + math.log(_KEEPS)), key=lambda one: one.divisor)
        own = of_split[kept]
        result.append(
            Together(
                processes=number,
                divisor=kept.divisor,
                bytes_per_s=math.exp(known[kept]),
                p99_us=_p99_us(own),
                slowest_share=float(np.median([_slowest(each) for each in own])),
            )
        )
    return tuple(result)


def _p99_us(samples: Sequence[Sample]) -> float | None:
    times = [one.latency_p99_ns for one in samples if requests_of(one) >= MIN_REQUESTS_OF_P99]
    return float(np.median(times)) / 1000 if times else None


def _slowest(sample: Sample) -> float:
    """Return the throughput of the slowest group relative to the mean; each moved an equal part."""
    if not sample.groups_ns:
        return 1.0
    speeds = [1 / ns for ns in sample.groups_ns]
    return min(speeds) * len(speeds) / sum(speeds)
