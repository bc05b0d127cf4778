"""The measurements of a phase over time, each relative to its point, with the drift and the pauses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import estimate
from aio_tuned.search.drift_fit import fit
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.profile import Evidence
    from aio_tuned.report.replay import Replay

# Shorter gaps are overhead: requests, the checkpoint and the check for other I/O take milliseconds between visits.
_PAUSE_S = 1.0


def _longest_s(evidence: Evidence) -> float:
    """Return the longest plausible pause in seconds; a longer one is a step of the wall clock.

    Only the daemon pauses (None is a sweep by hand), and it records the total. The time before a sweep is resumed is
    not in that total and has no limit.
    """
    return math.inf if evidence.resumed else (evidence.paused_seconds or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One measurement: its middle in seconds of the phase's own I/O clock, and its throughput relative to its point.

    `relative` is None for measurements without a comparison: calibration, discarded ones, and the only one of a point.
    `written_bytes` counts what the phase has moved when it ends.
    """

    sample: Sample
    place: int | None
    time_s: float
    end_s: float
    written_bytes: int
    relative: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Time without I/O: where on the phase's clock, which does not count it, and its seconds by the wall clock."""

    time_s: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTimeline:
    """All measurements of a phase, and the fitted drift, as (seconds, share of the usual level)."""

    visits: tuple[Visit, ...]
    drift: tuple[tuple[float, float], ...]
    pauses: tuple[Pause, ...]
    cliff_s: float | None


def _pauses(samples: Sequence[Sample], ends_s: Sequence[float], longest_s: float) -> tuple[Pause, ...]:
    found = []
    for before, after, end_s in zip(samples, samples[1:], ends_s, strict=False):
        if before.at_s is not None and after.at_s is not None:
            idle_s = after.at_s - after.wall_ns / 1e9 - before.at_s
            # A pause contains the overhead between two visits too.
            if _PAUSE_S < idle_s <= longest_s + _PAUSE_S:
                found.append(Pause(time_s=end_s, seconds=idle_s))
    return tuple(found)


def _kept(curve: Curve, counted: Sequence[Visit], reference: int) -> tuple[Sequence[Visit], float | None]:
    """Return the measurements on the side of the cliff that makes the curve, and when the fall was.

    Without a cliff, return all of them and None.
    """
    if curve.cliff is None:
        return counted, None
    moved = accumulate(visit.sample.bytes for visit in counted)
    last = next(at for at, count in enumerate(moved) if count >= curve.cliff.after_bytes)
    behind = next((at for at in range(last + 1, len(counted)) if counted[at].place == reference), len(counted))
    kept = counted[: last + 1] if curve.cliff.before_counts else counted[behind:]
    return kept, counted[last].end_s


def build_timeline(replay: Replay, evidence: Evidence) -> MeasurementTimeline:
    """Return the timeline of one direction of the sweep that has that evidence."""
    phase, curve = replay.phase, replay.curve
    places, reference = estimate.places(phase)
    level = {places[point.point.setting]: point.bytes_per_s for point in curve.points if point.visits > 1}
    if curve.reference is not None:
        level[reference] = curve.reference.bytes_per_s
    visits, clock_ns, moved = [], 0, 0
    for sample in replay.samples:
        clock_ns += sample.wall_ns
        moved += sample.bytes
        place = places.get(sample.request.setting)
        held = sample.request.purpose == "sustain" or is_counted(sample, phase)
        known = level.get(place) if place is not None and held and not taint_reason(sample) else None
        visits.append(
            Visit(
                sample=sample,
                place=place,
                time_s=(clock_ns - sample.elapsed_ns / 2) / 1e9,
                end_s=clock_ns / 1e9,
                written_bytes=moved,
                relative=None if known is None else sample.bytes_per_s / known,
            )
        )
    counted = [
        visit
        for visit in visits
        if visit.place is not None and is_counted(visit.sample, phase) and not taint_reason(visit.sample)
    ]
    kept, cliff_s = _kept(curve, counted, reference)
    drift: tuple[tuple[float, float], ...] = ()
    if kept:
        times = [visit.time_s for visit in kept]
        fitted = fit(
            np.array([visit.place for visit in kept], dtype=np.intp),
            np.array(times),
            np.log([visit.sample.bytes_per_s for visit in kept]),
            len(phase.points) + 1,
        )
        drift = tuple(zip(times, (math.exp(each) for each in fitted.drift.tolist()), strict=True))
    return MeasurementTimeline(
        visits=tuple(visits),
        drift=drift,
        pauses=_pauses(replay.samples, [visit.end_s for visit in visits], _longest_s(evidence)),
        cliff_s=cliff_s,
    )
