"""Samples so far -> what to measure next, or why nothing more. Pure: the same samples give the same answer.

First every point is visited once, in the plan's order, with the reference in between. Then, round by round, every
point whose interval still reaches the best's is visited again, until each of them is known to the tolerance or a
budget is spent. Intervals are of 95 % each, not over all comparisons at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned import stats
from aio_tuned.model import Request
from aio_tuned.plan import REFERENCE_EVERY, program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model import Curve, Phase, Point, PointStats, Purpose, Sample

# A point that is tainted this often is left out, and the profile says how many were.
MOST_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Visits to make, in this order, before asking again."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing more to measure; `reason` goes into the log."""

    reason: str
    settled: bool = False


def written(samples: Sequence[Sample]) -> int:
    """Bytes written of the phase's budget; calibration was paid for before there was one."""
    return sum(sample.bytes for sample in samples if sample.request.purpose != "calibrate")


def _spent_ns(samples: Sequence[Sample]) -> int:
    return sum(sample.wall_ns for sample in samples if sample.request.purpose != "calibrate")


def exhausted(phase: Phase, samples: Sequence[Sample]) -> str:
    """Which budget is spent ("" if none): asked between any two visits, since a visit may take longer than planned."""
    if _spent_ns(samples) >= phase.time_budget_ns:
        return "time budget"
    if phase.direction == "write" and written(samples) + phase.transfer_bytes > phase.write_budget_bytes:
        return "write budget"
    return ""


def contenders(curve: Curve) -> list[PointStats]:
    """Points whose interval reaches that of the best one: any of them may be the best."""
    if not curve.points:
        return []
    floor = max(curve.points, key=lambda point: point.bytes_per_s).low_bytes_per_s
    return [point for point in curve.points if point.high_bytes_per_s >= floor]


def _unsettled(curve: Curve, tolerance: float) -> list[PointStats]:
    """Contenders that are not yet known to within the tolerance."""
    return [
        point
        for point in contenders(curve)
        if point.high_bytes_per_s - point.low_bytes_per_s > 2 * tolerance * point.bytes_per_s
    ]


class _Requests:
    """Numbers the visits of a round and puts the reference between them."""

    def __init__(self, phase: Phase, first_id: int) -> None:
        self.phase = phase
        self.next_id = first_id
        self.made: list[Request] = []

    def visit(self, point: Point, purpose: Purpose, *, drop_caches: bool | None = None) -> None:
        self.made.append(
            Request(
                id=self.next_id,
                direction=self.phase.direction,
                setting=point.setting,
                transfer_bytes=self.phase.transfer_bytes,
                min_ns=self.phase.visit_ns,
                max_bytes=self.phase.visit_bytes,
                drop_caches=drop_caches,
                purpose=purpose,
            )
        )
        self.next_id += 1

    def reference(self) -> None:
        self.visit(self.phase.reference, "reference")


def _pass(phase: Phase, samples: Sequence[Sample], first_id: int) -> tuple[Request, ...]:
    """Visits to every point that has no clean sample yet and is not given up."""
    tries: dict[object, int] = {}
    cached: set[object] = set()
    measured: set[object] = set()
    for sample in samples:
        if not stats.counts(sample, phase):
            continue
        key = program(sample.request.setting, phase.transfer_bytes)
        tries[key] = tries.get(key, 0) + 1
        if not stats.taint(sample):
            measured.add(key)
        elif sample.cache_verdict == "cache":
            cached.add(key)
    requests = _Requests(phase, first_id)
    for point in phase.points:
        key = program(point.setting, phase.transfer_bytes)
        if key in measured or tries.get(key, 0) >= MOST_TRIES:
            continue
        if len(requests.made) % (REFERENCE_EVERY + 1) == 0:
            requests.reference()
        requests.visit(point, "pass", drop_caches=True if key in cached and phase.may_drop_caches else None)
    return tuple(requests.made)


def next_round(phase: Phase, samples: Sequence[Sample]) -> Round | Done:
    """What to measure next, given all samples of the phase so far in the order in which they were taken."""
    if reason := exhausted(phase, samples):
        return Done(reason=f"the {reason} is spent")
    first_id = max((sample.request.id for sample in samples), default=0) + 1
    if missing := _pass(phase, samples, first_id):
        return Round(requests=missing)
    curve = stats.curve(phase, samples)
    again = _unsettled(curve, phase.tolerance)
    if not again:
        return Done(reason="the best points are known to the tolerance", settled=True)
    # Should the budget end inside the round, the visits should have gone to the most promising points, yet in no
    # order that a drift could favour: cut by promise, then shuffle.
    time_left = phase.time_budget_ns - _spent_ns(samples)
    affordable = max(1, time_left // phase.visit_ns)
    again = sorted(again, key=lambda point: point.high_bytes_per_s, reverse=True)[:affordable]
    most_visits = len(again) * 2
    if phase.direction == "write":
        most_visits = max(1, (phase.write_budget_bytes - written(samples)) // phase.visit_bytes)
        again = again[:most_visits]
    random.Random(f"{phase.seed}/{phase.direction}/{first_id}").shuffle(again)  # noqa: S311 - no secret
    requests = _Requests(phase, first_id)
    for number, stat in enumerate(again):
        if number % REFERENCE_EVERY == 0 and most_visits > 1:
            requests.reference()
        requests.visit(stat.point, "repeat")
    return Round(requests=tuple(fit(phase, samples, request) for request in requests.made[:most_visits]))


def fit(phase: Phase, samples: Sequence[Sample], request: Request) -> Request:
    """The visit with its bytes cut to what the write budget still has; asked again just before it is made."""
    if phase.direction == "read":
        return request
    transfers_left = (phase.write_budget_bytes - written(samples)) // phase.transfer_bytes
    return replace(request, max_bytes=min(request.max_bytes, max(1, transfers_left) * phase.transfer_bytes))
