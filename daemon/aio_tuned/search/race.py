"""Samples so far -> what to measure next, or why nothing more. Pure: the same samples give the same answer.

First every point is visited once, in the plan's order, with the reference in between. Then, round by round, those are
visited again of which the choice depends, in blocks of random order, until three questions are answered or a budget is
spent. Which point is the best? Is any that is cheaper than the chosen one good enough as well? And could any point at
all be more than 2 % better than the chosen one?

The guarantee: where a race settles, the chosen point is within 2 % of the true best with a probability of 95 % and
more. It rests on the third question: the bounds of stats.simultaneous hold together for all points and all looks (at
most 32), by Bonferroni's inequality and whatever the order of the visits, as in Hoeffding races (Maron & Moore 1994)
and successive elimination (Even-Dar, Mannor & Mansour 2006), with Student's t in place of Hoeffding's bound, which
needs to know the range of the noise. It presumes that visits to a point deviate independently once the drift is out.

Which points to visit is LUCB's rule (Kalyanakrishnan et al. 2012): the leader, and those whose upper bounds reach
farthest. Successive halving (Karnin, Koren & Somekh 2013; Jamieson & Talwalkar 2016) spends a budget that is fixed and
drops halves whatever the differences are; a race stops where they are clear, which most are after a single visit.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned.model.measurement import Request
from aio_tuned.search import choose, estimate, steady_state
from aio_tuned.search.grid import neighbours
from aio_tuned.search.plan import REFERENCE_EVERY
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.curve import Curve, PointStats
    from aio_tuned.model.measurement import Phase, Point, Purpose, Sample

# A point that is tainted this often is left out, and the profile says how many were.
MAX_TRIES = 4
_NO_RACE = ("calibrate", "sustain")
# The chosen point is at most this far below the best.
GUARANTEE = 0.02
# Between the tolerance's edge and a point there is doubt up to so many standard errors ...
_DOUBT = 2.5
# ... unless both are known to this part of the tolerance.
_FINE = 0.1
# Who may be the best, in standard errors of its own.
_RIVAL = 2.0
# A round is this part of the visits so far, so that there are never many looks, and no fewer visits than this.
_ROUND_SHARE = 0.2
_MIN_ROUND = 16
# Shares of a round: cheaper ones in doubt, rivals of the best; the rest goes to what the guarantee lacks.
_CHEAPER_SHARE = 0.5
_RIVALS_SHARE = 0.25
_RIVALS = 8
# Quick: the neighbours of so many leaders are visited.
_LEADERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Visits to make, in this order, before asking again."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceEnd:
    """Nothing more to measure; `reason` goes into the log."""

    reason: str
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the race has cost so far; calibration was paid for before, and writing on has a budget of its own."""

    ns: int = 0
    written_bytes: int = 0

    def plus(self, sample: Sample) -> Spent:
        if sample.request.purpose in _NO_RACE:
            return self
        return Spent(ns=self.ns + sample.wall_ns, written_bytes=self.written_bytes + sample.bytes)


def spent(samples: Iterable[Sample]) -> Spent:
    """The sum over the samples."""
    cost = Spent()
    for sample in samples:
        cost = cost.plus(sample)
    return cost


def _race_bytes(phase: Phase) -> int:
    """What the race may write: the budget without what is kept for writing on."""
    return phase.write_budget_bytes - phase.sustain_bytes


def _race_ns(phase: Phase) -> int:
    return phase.time_budget_ns - steady_state.time_ns(phase)


def exhausted(phase: Phase, cost: Spent) -> str:
    """Which budget is spent ("" if none): asked between any two visits, since a visit may take longer than planned."""
    if cost.ns >= _race_ns(phase):
        return "time budget"
    if phase.direction == "write" and cost.written_bytes + phase.transfer_bytes > _race_bytes(phase):
        return "write budget"
    return ""


class _Requests:
    """Numbers the visits of a round and puts the reference between them."""

    def __init__(self, phase: Phase, first_id: int) -> None:
        self.phase = phase
        self.next_id = first_id
        self.made: list[Request] = []

    def visit(self, point: Point, purpose: Purpose, *, drop_caches: bool | None = None) -> None:
        if purpose != "reference" and len(self.made) % (REFERENCE_EVERY + 1) == 0:
            self.visit(self.phase.reference, "reference")
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


def _first_visits(phase: Phase, samples: Sequence[Sample], first_id: int) -> tuple[Request, ...]:
    """Visits to every point that is to have a clean sample, has none, and is not given up."""
    places, _ = estimate.places(phase)
    tries: dict[int | None, int] = {}
    cached: set[int | None] = set()
    measured: set[int | None] = set()
    for sample in samples:
        if not is_counted(sample, phase):
            continue
        place = places.get(sample.request.setting)
        tries[place] = tries.get(place, 0) + 1
        if not taint_reason(sample):
            measured.add(place)
        elif sample.cache_verdict == "cache":
            cached.add(place)
    requests = _Requests(phase, first_id)

    def ask(points: Iterable[Point]) -> None:
        for point in points:
            place = places[point.setting]
            if place not in measured and tries.get(place, 0) < MAX_TRIES:
                requests.visit(point, "pass", drop_caches=True if place in cached and phase.may_drop_caches else None)

    ask(phase.points[: phase.sure_points])
    if phase.sure_points is not None and not requests.made:
        leaders = sorted(estimate.curve(phase, samples).points, key=lambda point: -point.likely_bytes_per_s)[:_LEADERS]
        ask(neighbours(phase.points, [leader.point for leader in leaders]))
    return tuple(requests.made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """The points of which the choice depends: cheaper ones, rivals of the best, and what the guarantee lacks.

    `ends` are the chosen point and the best, whose difference they decide; they are no doubts themselves.
    """

    ends: tuple[PointStats, PointStats]
    cheaper: list[PointStats]
    rivals: list[PointStats]
    unbounded: list[PointStats]

    def __bool__(self) -> bool:
        return bool(self.cheaper or self.rivals or self.unbounded)


def doubts(curve: Curve, tolerance: float) -> Doubts:
    """What is still open, the most promising first."""
    choice = choose.choose(curve, tolerance)
    chosen, top = choice.stats, choice.best
    most, price = math.log(choose.plateau(curve)), choose.cost(chosen.point.setting)
    edge, fine = most + math.log1p(-tolerance), _FINE * tolerance
    cheaper, rivals = [], []
    for point in curve.points:
        level = math.log(point.likely_bytes_per_s)
        together = math.hypot(point.likely_error, top.likely_error)
        sureness = (level - edge) / together
        open_still = sureness < _DOUBT if point is chosen else sureness > -_DOUBT
        if together > fine and open_still and choose.cost(point.point.setting) <= price:
            cheaper.append((sureness, point))
        if point.likely_error > fine / 2 and level + _RIVAL * point.likely_error >= most:
            rivals.append((level + point.likely_error, point))
    bounds = estimate.simultaneous(curve)
    floor = bounds[curve.points.index(chosen)][0] - math.log1p(-GUARANTEE)
    unbounded = [(high, point) for point, (_, high) in zip(curve.points, bounds, strict=True) if high > floor]
    return Doubts(
        ends=(chosen, top), cheaper=_promising(cheaper), rivals=_promising(rivals), unbounded=_promising(unbounded)
    )


def _promising(found: list[tuple[float, PointStats]]) -> list[PointStats]:
    return [point for _, point in sorted(found, key=lambda each: -each[0])]


def _shares(open_still: Doubts, size: int) -> dict[Point, int]:
    """How often each point is visited in a round of that size.

    Each kind of doubt has its share, and what one leaves the others have. Within a kind all are visited alike, but
    the rivals: the few that reach highest decide how high the best is.
    """
    kinds = (
        (open_still.cheaper, _CHEAPER_SHARE),
        ([*open_still.ends, *open_still.rivals[:_RIVALS]], _RIVALS_SHARE),
        (open_still.unbounded, 1 - _CHEAPER_SHARE - _RIVALS_SHARE),
    )
    total = sum(share for found, share in kinds if found)
    visits: dict[Point, int] = {}
    for found, share in kinds:
        count = max(1, round(size * share / total))
        for number in range(count if found else 0):
            point = found[number % len(found)].point
            visits[point] = visits.get(point, 0) + 1
    return visits


def _spread(visits: dict[Point, int], dice: random.Random) -> list[Point]:
    """The visits in random order, those to one point evenly over the round: a drift must not favour any."""
    placed = [
        ((number + dice.random()) / count, place, point)
        for place, (point, count) in enumerate(visits.items())
        for number in range(count)
    ]
    return [point for *_, point in sorted(placed, key=lambda each: each[:2])]


def next_round(phase: Phase, samples: Sequence[Sample]) -> Round | RaceEnd:
    """What to measure next, given all samples of the phase so far in the order in which they were taken."""
    first_id = max((sample.request.id for sample in samples), default=0) + 1
    cost = spent(samples)
    if reason := exhausted(phase, cost):
        return _after(phase, samples, first_id, RaceEnd(reason=f"the {reason} is spent"))
    if missing := _first_visits(phase, samples, first_id):
        return Round(requests=missing)
    curve = estimate.curve(phase, samples)
    if not curve.points:
        return RaceEnd(reason="no point could be measured")
    if curve.cliff is not None and curve.cliff.before_counts:
        reason = f"the drive fell over a cliff after {curve.cliff.after_bytes >> 20} MiB"
        return _after(phase, samples, first_id, RaceEnd(reason=reason))
    open_still = doubts(curve, phase.tolerance)
    if not open_still:
        reason = "the best points are known to the tolerance"
        return _after(phase, samples, first_id, RaceEnd(reason=reason, settled=True))
    visits = sum(is_counted(sample, phase) for sample in samples)
    size = max(_MIN_ROUND, int(visits * _ROUND_SHARE))
    # A round that the time cannot pay for would be cut off somewhere.
    size = min(size, max(1, (_race_ns(phase) - cost.ns) // max(phase.visit_ns, 1)))
    if phase.direction == "write":
        size = min(size, max(1, (_race_bytes(phase) - cost.written_bytes) // phase.transfer_bytes))
    requests = _Requests(phase, first_id)
    dice = random.Random(f"{phase.seed}/{phase.direction}/{first_id}")  # noqa: S311 - no secret
    for point in _spread(_shares(open_still, size), dice):
        requests.visit(point, "repeat")
    if size == 1:  # no reference would be worth the last visit
        return Round(requests=(replace(requests.made[1], id=first_id),))
    return Round(requests=tuple(requests.made[:size]))


def _after(phase: Phase, samples: Sequence[Sample], first_id: int, done: RaceEnd) -> Round | RaceEnd:
    """The end of the race; in a thorough sweep the chosen setting then writes on until it is steady."""
    if not phase.sustain_bytes or not (points := estimate.curve(phase, samples)).points:
        return done
    setting = choose.choose(points, phase.tolerance).stats.point.setting
    request = steady_state.next_request(phase, samples, setting, first_id)
    return done if request is None else Round(requests=(request,))


def fit(phase: Phase, cost: Spent, request: Request) -> Request:
    """The visit with its bytes cut to what the write budget still has; asked again just before it is made."""
    if phase.direction == "read" or request.purpose == "sustain":
        return request
    transfers_left = (_race_bytes(phase) - cost.written_bytes) // phase.transfer_bytes
    return replace(request, max_bytes=min(request.max_bytes, max(1, transfers_left) * phase.transfer_bytes))
