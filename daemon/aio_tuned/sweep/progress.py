"""The progress of a phase of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.search import grid
from aio_tuned.search.taint import is_of, taint_reason

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Phase, Request, Sample, Stage
    from aio_tuned.model.setting import Direction
    from aio_tuned.search.race import RaceRules
    from aio_tuned.search.step import Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress:
    """The progress of a phase after a measurement; `left_ns` is the time that the sweep may still take at the most.

    `activity` describes the phase, and `step` is its number and the number of all. `measured` counts its measurements,
    repeated ones included, and `expected` is how many it will have at most if they take as long as those so far.
    `after_choice` is true in the experiments after the choice, whose points are measurements.
    """

    direction: Direction
    points_done: int
    points_planned: int
    repeating: bool
    best_bytes_per_s: float
    written_bytes: int
    left_ns: int
    activity: str = ""
    step: tuple[int, int] = (1, 1)
    measured: int = 0
    expected: int = 0
    after_choice: bool = False


class PhaseProgress:
    """The running sums of one direction, from which its progress is reported.

    A `check` has no first pass.
    """

    def __init__(self, phase: Phase, *, check: bool = False) -> None:
        self.planned = {grid.program(point.setting, phase.transfer_bytes) for point in phase.points}
        self.done: set[object] = set()
        self.repeating = False
        self.best_bytes_per_s = 0.0
        self._check = check
        self._measured: dict[Stage, int] = {"pass": 0, "race": 0}
        self._expected = 0

    def begin(self, phase: Phase, samples: list[Sample]) -> None:
        """Count what the phase has measured already, as one that is resumed has."""
        for sample in samples:
            if is_of(sample, phase):
                self.add(phase, sample)

    def add(self, phase: Phase, sample: Sample) -> None:
        """Count a measurement of the phase."""
        self._measured[phase.stage] += 1
        self.repeating = self.repeating or sample.request.purpose == "repeat"
        done = grid.program(sample.request.setting, sample.request.transfer_bytes)
        if done in self.planned and not taint_reason(sample):
            self.done.add(done)
            self.best_bytes_per_s = max(self.best_bytes_per_s, sample.bytes_per_s)

    def expect(self, phase: Phase, rules: RaceRules | None, cost: Spent, requests: int) -> None:
        """Expect the requests of a round, and as many more as the budgets pay for.

        A pass, which has no rules, ends after a round unless measurements failed. A race ends at the latest when its
        usual budget is spent, or, if it continues after that, when a budget of the phase is spent.
        """
        measured = self._measured[phase.stage]
        left = float(requests)
        if rules and measured and cost.ns:
            most_ns = rules.usual_ns if cost.ns < rules.usual_ns else phase.time_budget_ns
            left = (min(most_ns, phase.time_budget_ns) - cost.ns) * measured / cost.ns
            if phase.direction == "write" and cost.written_bytes:
                usual = cost.written_bytes < rules.usual_bytes
                most_bytes = min(rules.usual_bytes if usual else phase.write_budget_bytes, phase.write_budget_bytes)
                left = min(left, (most_bytes - cost.written_bytes) * measured / cost.written_bytes)
        self._expected = measured + max(requests, int(left))

    def _activity(self, phase: Phase, request: Request) -> str:
        if request.purpose == "sustain":
            return "sustained writes"
        if self._check:
            return f"checking {len(phase.points)} settings"
        if phase.stage == "race":
            return f"comparing {len(phase.points)} finalists"
        if phase.sure_points is not None:
            return f"{phase.sure_points} of {len(phase.points)} settings"
        return "every setting once"

    def report(self, phase: Phase, request: Request, written_bytes: int, left_ns: int) -> SweepProgress:
        """Return the progress after the measurement that was requested."""
        measured = self._measured[phase.stage]
        return SweepProgress(
            direction=phase.direction,
            points_done=len(self.done),
            points_planned=len(self.planned),
            repeating=self.repeating,
            best_bytes_per_s=self.best_bytes_per_s,
            written_bytes=written_bytes,
            left_ns=left_ns,
            activity=self._activity(phase, request),
            step=(1, 1) if self._check else (1 if phase.stage == "pass" else 2, 2),
            measured=measured,
            expected=max(measured, self._expected),
        )
