"""The race: what to measure next, given the samples so far, or why to stop.

The same samples give the same answer. First every point is measured once, in the plan's order, with the reference in
between. Then, round by round, the points on which the choice depends are measured again, in blocks of random order,
until three questions are answered or a budget is spent. Which point is the best? Is any that is cheaper than the chosen
one good enough as well? And could any point be more than 2 % better than the chosen one?

The guarantee: where a race settles, the chosen point is within 2 % of the true best with a probability of at least 95
%. It rests on the third question: the bounds of estimate.simultaneous hold together for all points and all looks (at
most 32), by Bonferroni's inequality and whatever the order of the measurements, as in Hoeffding races (Maron & Moore
1994) and successive elimination (Even-Dar, Mannor & Mansour 2006), with Student's t in place of Hoeffding's bound,
which needs the range of the noise. It presumes that measurements of a point deviate independently once the drift is
removed.

Which points to measure is LUCB's rule (Kalyanakrishnan et al. 2012): the leader, and those with the highest upper
bounds. Successive halving (Karnin, Koren & Somekh 2013; Jamieson & Talwalkar 2016) spends a fixed budget and drops
halves whatever the differences are; a race stops where the differences are clear, which most are after a single
measurement.
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
# A point closer to the tolerance's edge than this many standard errors is in doubt.
_DOUBT = 2.5
# It is not in doubt if it and the best are known to this share of the tolerance.
_FINE = 0.1
# A point this many of its standard errors below the best is a rival.
_RIVAL = 2.0
# A round is this share of the visits so far, which limits the looks, and at least _MIN_ROUND visits.
_ROUND_SHARE = 0.2
_MIN_ROUND = 16
# Shares of a round: cheaper points in doubt, rivals of the best; the rest is for points that the guarantee lacks.
_CHEAPER_SHARE = 0.5
_RIVALS_SHARE = 0.25
_RIVALS = 8
# A quick sweep visits the neighbours of this many leaders.
_LEADERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Measurements to make, in this order, before asking again."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceEnd:
    """The end of the race; `reason` goes into the log, `settled` says whether the guarantee holds."""

    reason: str
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the race has cost so far; calibration and sustained writes are not part of it."""

    ns: int = 0
    written_bytes: int = 0

    def plus(self, sample: Sample) -> Spent:
        if sample.request.purpose in _NO_RACE:
            return self
        return Spent(ns=self.ns + sample.wall_ns, written_bytes=self.written_bytes + sample.bytes)


def spent(samples: Iterable[Sample]) -> Spent:
    """Return the sum over the samples."""
    cost = Spent()
    for sample in samples:
        cost = cost.plus(sample)
    return cost


def _race_bytes(phase: Phase) -> int:
    """Return the bytes that the race may write: the budget without the part for sustained writes."""
    return phase.write_budget_bytes - phase.sustain_bytes


def _race_ns(phase: Phase) -> int:
    return phase.time_budget_ns - steady_state.time_ns(phase)


def exhausted(phase: Phase, cost: Spent) -> str:
    """Return the name of the budget that is spent, or "" if none is.

    Ask between any two measurements, since one may take longer than planned.
    """
    if cost.ns >= _race_ns(phase):
        return "time budget"
    if phase.direction == "write" and cost.written_bytes + phase.transfer_bytes > _race_bytes(phase):
        return "write budget"
    return ""


class _Requests:
    """The requests of a round, numbered, with the reference between them."""

    def __init__(self, phase: Phase, first_id: int) -> None:
        self.phase = phase
        self.next_id = first_id
        self.made: list[Request] = []

    def visit(self, point: Point, purpose: Purpose) -> None:
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
                purpose=purpose,
            )
        )
        self.next_id += 1


def _first_visits(phase: Phase, samples: Sequence[Sample], first_id: int) -> tuple[Request, ...]:
    """Return requests for every point that needs a clean sample, has none, and is not given up."""
    places, _ = estimate.places(phase)
    tries: dict[int | None, int] = {}
    measured: set[int | None] = set()
    for sample in samples:
        if not is_counted(sample, phase):
            continue
        place = places.get(sample.request.setting)
        tries[place] = tries.get(place, 0) + 1
        if not taint_reason(sample):
            measured.add(place)
    requests = _Requests(phase, first_id)

    def ask(points: Iterable[Point]) -> None:
        for point in points:
            place = places[point.setting]
            if place not in measured and tries.get(place, 0) < MAX_TRIES:
                requests.visit(point, "pass")

    ask(phase.points[: phase.sure_points])
    if phase.sure_points is not None and not requests.made:
        leaders = sorted(estimate.curve(phase, samples).points, key=lambda point: -point.likely_bytes_per_s)[:_LEADERS]
        ask(neighbours(phase.points, [leader.point for leader in leaders]))
    return tuple(requests.made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """The points on which the choice depends: cheaper ones, rivals of the best, and those the guarantee lacks.

    `ends` are the chosen point and the best, whose difference the doubts decide; they are no doubts themselves.
    """

    ends: tuple[PointStats, PointStats]
    cheaper: list[PointStats]
    rivals: list[PointStats]
    unbounded: list[PointStats]

    def __bool__(self) -> bool:
        return bool(self.cheaper or self.rivals or self.unbounded)


def doubts(curve: Curve, tolerance: float) -> Doubts:
    """Return the points that are still open, the most promising first."""
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
    """Return how often each point is measured in a round of `size` measurements.

    Each kind of doubt has its share, and the others have what one leaves. Within a kind all points are measured equally
    often, but of the rivals only the highest few, which decide how high the best is.
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
    """Return the points in random order, repeats of one spread evenly over the round: a drift must not favour any."""
    placed = [
        ((number + dice.random()) / count, place, point)
        for place, (point, count) in enumerate(visits.items())
        for number in range(count)
    ]
    return [point for *_, point in sorted(placed, key=lambda each: each[:2])]


def next_round(phase: Phase, samples: Sequence[Sample]) -> Round | RaceEnd:
    """Return what to measure next, given all samples of the phase so far in the order in which they were taken."""
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
    # A longer round would be cut off when the time is spent.
    size = min(size, max(1, (_race_ns(phase) - cost.ns) // max(phase.visit_ns, 1)))
    if phase.direction == "write":
        size = min(size, max(1, (_race_bytes(phase) - cost.written_bytes) // phase.transfer_bytes))
    requests = _Requests(phase, first_id)
    dice = random.Random(f"{phase.seed}/{phase.direction}/{first_id}")  # noqa: S311 - no secret
    for point in _spread(_shares(open_still, size), dice):
        requests.visit(point, "repeat")
    if size == 1:  # the last visit is for a point, not for the reference
        return Round(requests=(replace(requests.made[1], id=first_id),))
    return Round(requests=tuple(requests.made[:size]))


def _after(phase: Phase, samples: Sequence[Sample], first_id: int, done: RaceEnd) -> Round | RaceEnd:
    """Return the end of the race or, in a thorough sweep, the next sustained write with the chosen setting."""
    if not phase.sustain_bytes or not (points := estimate.curve(phase, samples)).points:
        return done
    setting = choose.choose(points, phase.tolerance).stats.point.setting
    request = steady_state.next_request(phase, samples, setting, first_id)
    return done if request is None else Round(requests=(request,))


def fit(phase: Phase, cost: Spent, request: Request) -> Request:
    """Return the request with its bytes cut to the rest of the write budget; call it just before measuring."""
    if phase.direction == "read" or request.purpose == "sustain":
        return request
    transfers_left = (_race_bytes(phase) - cost.written_bytes) // phase.transfer_bytes
    return replace(request, max_bytes=min(request.max_bytes, max(1, transfers_left) * phase.transfer_bytes))
