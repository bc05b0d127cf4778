"""One step of a phase, which is a round of measurements or the end of the phase, and the cost of the phase so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned.model.measurement import Request
from aio_tuned.search import estimate
from aio_tuned.search.plan import REFERENCE_EVERY
from aio_tuned.search.taint import is_counted, is_of, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.measurement import Phase, Point, Purpose, Sample

# A point is left out after this many tainted measurements; a finding gives the number of such points.
MAX_TRIES = 4
# Reasons for the end of a phase. Profiles publish them as `stopped_because`, and reports show them after "stopped
# because".
TIME_BUDGET_ENDED = "the time budget ran out"
WRITE_BUDGET_ENDED = "the write budget ran out"
USUAL_TIME_ENDED = "the usual measuring time ran out"
USUAL_WRITES_ENDED = "the usual write volume ran out"
OTHER_PROCESSES = "other processes used the drive"
# The purpose of the reference's measurements, and of the other points', in each stage.
_REFERENCE: dict[str, Purpose] = {"pass": "reference", "race": "repeat"}
_POINT: dict[str, Purpose] = {"pass": "pass", "race": "repeat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Measurements to make in this order before the next step is decided."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnd:
    """The end of a phase, with the published reason; `settled` if the choice is within the tolerance with 95 %."""

    reason: str
    settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The time and the bytes that a phase has taken so far, without calibration and sustained writes."""

    ns: int = 0
    written_bytes: int = 0

    def plus(self, phase: Phase, sample: Sample) -> Spent:
        """Add a sample of the sweep; one of another phase adds nothing."""
        if not is_of(sample, phase):
            return self
        return Spent(ns=self.ns + sample.wall_ns, written_bytes=self.written_bytes + sample.bytes)


def spent(phase: Phase, samples: Iterable[Sample]) -> Spent:
    """Return the cost of the samples that belong to the phase."""
    cost = Spent()
    for sample in samples:
        cost = cost.plus(phase, sample)
    return cost


def exhausted(phase: Phase, cost: Spent) -> str:
    """Return which budget ran out, as a clause, or "" if none did.

    Call it before each measurement, since one may take longer than planned.
    """
    if cost.ns >= phase.time_budget_ns:
        return TIME_BUDGET_ENDED
    if phase.direction == "write" and cost.written_bytes + phase.transfer_bytes > phase.write_budget_bytes:
        return WRITE_BUDGET_ENDED
    return ""


def next_id(samples: Iterable[Sample]) -> int:
    """Return the number of the next request."""
    return max((sample.request.id for sample in samples), default=0) + 1


class Requests:
    """The numbered requests of a round, with the reference between them."""

    def __init__(self, phase: Phase, first_id: int, *, reference: bool = True) -> None:
        self._phase = phase
        self._next_id = first_id
        self._with_reference = reference
        self.made: list[Request] = []

    def visit(self, point: Point) -> None:
        """Add a measurement of the point, after one of the reference if that is due."""
        stage = self._phase.stage
        if self._with_reference and len(self.made) % (REFERENCE_EVERY + 1) == 0:
            self._add(self._phase.reference, _REFERENCE[stage])
        self._add(point, _POINT[stage])

    def _add(self, point: Point, purpose: Purpose) -> None:
        self.made.append(
            Request(
                id=self._next_id,
                direction=self._phase.direction,
                setting=point.setting,
                transfer_bytes=self._phase.transfer_bytes,
                min_ns=self._phase.visit_ns,
                max_bytes=self._phase.visit_bytes,
                purpose=purpose,
            )
        )
        self._next_id += 1


def round_of(phase: Phase, samples: Sequence[Sample], points: Iterable[Point], *, reference: bool = True) -> Round:
    """Return a round that measures the points in this order; with `reference`, the reference is measured in between."""
    requests = Requests(phase, next_id(samples), reference=reference)
    for point in points:
        requests.visit(point)
    return Round(requests=tuple(requests.made))


def unmeasured(phase: Phase, samples: Sequence[Sample], points: Iterable[Point]) -> list[Point]:
    """Return the points without a clean sample of the phase, except those that were tried MAX_TRIES times."""
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
    return [
        point
        for point in points
        if (place := places[point.setting]) not in measured and tries.get(place, 0) < MAX_TRIES
    ]


def cut(phase: Phase, cost: Spent, request: Request) -> Request:
    """Return the request with its bytes limited to the rest of the write budget; call it just before measuring."""
    if phase.direction == "read" or request.purpose == "sustain":
        return request
    transfers_left = (phase.write_budget_bytes - cost.written_bytes) // phase.transfer_bytes
    return replace(request, max_bytes=min(request.max_bytes, max(1, transfers_left) * phase.transfer_bytes))
