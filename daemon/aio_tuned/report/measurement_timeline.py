"""The measurements of one direction over time, each relative to its setting, with the drift and the pauses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import estimate
from aio_tuned.search.drift_fit import fit
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.profile import Evidence
    from aio_tuned.model.setting import Direction
    from aio_tuned.report.replay import Replay

# Shorter gaps are overhead: requests, checkpoints and the check for other I/O take milliseconds between measurements.
_PAUSE_S = 1.0


def _longest_s(evidence: Evidence) -> float:
    """Return the longest plausible pause in seconds; a longer gap is a step of the wall clock.

    Only the daemon pauses and records the total (None after `aio-tuned tune`). The total excludes the time before a
    sweep is resumed, which has no limit.
    """
    return math.inf if evidence.resumed else (evidence.paused_seconds or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One measurement: its middle in seconds of the direction's I/O clock, and its throughput over its setting's.

    `number` is that of the sample in the sweep, from 1. `relative` is None for measurements without a comparison:
    calibration, discarded ones, and the only one of a setting in its phase. `moved_bytes` is the total of the direction
    until the end of this measurement.
    """

    number: int
    sample: Sample
    time_s: float
    end_s: float
    moved_bytes: int
    relative: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Time without I/O: its place on the direction's I/O clock, and its duration by the wall clock."""

    time_s: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTimeline:
    """All measurements of a direction, and the drift in each of its phases, as (seconds, share of the usual level).

    Each phase has its own level, because transfers of another size give another throughput. `race_s` is the start of
    the first measurement of the race; None without both a pass and a race.
    """

    visits: tuple[Visit, ...]
    drifts: tuple[tuple[tuple[float, float], ...], ...]
    pauses: tuple[Pause, ...]
    cliffs_s: tuple[float, ...]
    race_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clocked:
    """A sample with its number in the sweep, the end and the middle of its time on two clocks, and the bytes moved.

    The direction's clock stops while the other direction is measured. The sweep's clock does not, and the drift is
    fitted over it.
    """

    number: int
    sample: Sample
    end_s: float
    sweep_end_s: float
    moved_bytes: int

    @property
    def time_s(self) -> float:
        return self.end_s - self.sample.elapsed_ns / 2e9

    @property
    def sweep_time_s(self) -> float:
        return self.sweep_end_s - self.sample.elapsed_ns / 2e9


def _clocked(samples: Sequence[Sample], direction: Direction) -> list[_Clocked]:
    found, clock_ns, sweep_ns, moved = [], 0, 0, 0
    for number, sample in enumerate(samples, start=1):
        sweep_ns += sample.wall_ns
        if sample.request.direction != direction:
            continue
        clock_ns += sample.wall_ns
        moved += sample.bytes
        found.append(
            _Clocked(number=number, sample=sample, end_s=clock_ns / 1e9, sweep_end_s=sweep_ns / 1e9, moved_bytes=moved)
        )
    return found


def _pauses(samples: Sequence[Sample], direction: Direction, longest_s: float) -> tuple[Pause, ...]:
    """Return the pauses before the direction's measurements."""
    found, end_ns = [], 0
    for before, after in zip((None, *samples), samples, strict=False):
        if after.request.direction != direction:
            continue
        if before is not None and before.at_s is not None and after.at_s is not None:
            idle_s = after.at_s - after.wall_ns / 1e9 - before.at_s
            # The gap includes the overhead between two measurements.
            if _PAUSE_S < idle_s <= longest_s + _PAUSE_S:
                found.append(Pause(time_s=end_ns / 1e9, seconds=idle_s))
        end_ns += after.wall_ns
    return tuple(found)


class _Course:
    """A phase: the levels of its settings, and the measurements that its curve is made of."""

    def __init__(self, phase: Phase, curve: Curve, every: Sequence[_Clocked], *, decides: bool) -> None:
        self._phase = phase
        self._decides = decides
        self._places, self._reference = estimate.places(phase)
        self._level = {
            self._places[point.point.setting]: point.bytes_per_s for point in curve.points if point.visits > 1
        }
        if curve.reference is not None:
            self._level[self._reference] = curve.reference.bytes_per_s
        counted = [each for each in every if is_counted(each.sample, phase) and self._place(each) is not None]
        self._kept, self.cliff_s = self._side(curve, counted)

    def _place(self, each: _Clocked) -> int | None:
        """Return the index of the measured setting; None if the phase lacks it, or if the measurement is discarded."""
        return None if taint_reason(each.sample) else self._places.get(each.sample.request.setting)

    def relative(self, each: _Clocked) -> float | None:
        """Return the throughput over that of the same setting in this phase; None if that is unknown."""
        # Sustained writes use the chosen setting, and the transfer size of the phase that chose it.
        held = is_counted(each.sample, self._phase) or (self._decides and each.sample.request.purpose == "sustain")
        known = self._level.get(place) if held and (place := self._place(each)) is not None else None
        return None if known is None else each.sample.bytes_per_s / known

    def _side(self, curve: Curve, counted: Sequence[_Clocked]) -> tuple[Sequence[_Clocked], float | None]:
        """Return the measurements on the curve's side of the cliff, and the time of the fall.

        Without a cliff, return all of them and None.
        """
        if curve.cliff is None:
            return counted, None
        last = next(at for at, each in enumerate(counted) if each.moved_bytes >= curve.cliff.after_bytes)
        before, behind = counted[: last + 1], counted[last + 1 :]
        if curve.cliff.before_counts:
            return before, before[-1].end_s
        # As in estimate.curve(), measurements between the last at the old level and the next known one are left out.
        seen = {self._place(each) for each in before} if self._phase.stage == "race" else set[int | None]()
        for at, each in enumerate(behind):
            place = self._place(each)
            if place == self._reference or place in seen:
                return behind[at:], before[-1].end_s
            if self._phase.stage == "race":
                seen.add(place)
        return (), before[-1].end_s

    def drift(self) -> tuple[tuple[float, float], ...]:
        """Return the drift of the phase as (seconds of the direction's clock, share of the usual level)."""
        if not self._kept:
            return ()
        every = (*self._phase.points, self._phase.reference)
        fitted = fit(
            np.array([self._place(each) for each in self._kept], dtype=np.intp),
            np.array([each.sweep_time_s for each in self._kept]),
            np.log([each.sample.bytes_per_s for each in self._kept]),
            np.array([point.setting.io_parallelism for point in every], dtype=np.intp),
        )
        return tuple(
            (each.time_s, math.exp(level)) for each, level in zip(self._kept, fitted.drift.tolist(), strict=True)
        )


def build_timeline(replay: Replay, evidence: Evidence) -> MeasurementTimeline:
    """Return the timeline of one direction of the sweep that has that evidence."""
    every = _clocked(replay.samples, replay.direction)
    courses = [_Course(phase, curve, every, decides=phase is replay.phase) for phase, curve in replay.stages]

    def relative(each: _Clocked) -> float | None:
        return next((found for course in courses if (found := course.relative(each)) is not None), None)

    race = replay.race if replay.first_pass is not None else None
    return MeasurementTimeline(
        visits=tuple(
            Visit(
                number=each.number,
                sample=each.sample,
                time_s=each.time_s,
                end_s=each.end_s,
                moved_bytes=each.moved_bytes,
                relative=relative(each),
            )
            for each in every
        ),
        drifts=tuple(drift for course in courses if (drift := course.drift())),
        pauses=_pauses(replay.samples, replay.direction, _longest_s(evidence)),
        cliffs_s=tuple(course.cliff_s for course in courses if course.cliff_s is not None),
        race_s=next(
            (each.end_s - each.sample.wall_ns / 1e9 for each in every if race and is_counted(each.sample, race)), None
        ),
    )
