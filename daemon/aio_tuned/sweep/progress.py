"""The progress of a phase of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.search import grid
from aio_tuned.search.taint import taint_reason

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.setting import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress:
    """The progress of a phase after a measurement; `left_ns` is the time that the sweep may still take at the most."""

    direction: Direction
    points_done: int
    points_planned: int
    visits: int
    repeating: bool
    best_bytes_per_s: float
    written_bytes: int
    left_ns: int


class PhaseProgress:
    """The running sums of a phase from which its progress is reported."""

    def __init__(self, phase: Phase) -> None:
        self.planned = {grid.program(point.setting, phase.transfer_bytes) for point in phase.points}
        self.done: set[object] = set()
        self.visits = 0
        self.repeating = False
        self.best_bytes_per_s = 0.0

    def add(self, sample: Sample) -> None:
        self.visits += 1
        self.repeating = self.repeating or sample.request.purpose == "repeat"
        done = grid.program(sample.request.setting, sample.request.transfer_bytes)
        if done in self.planned and not taint_reason(sample):
            self.done.add(done)
            self.best_bytes_per_s = max(self.best_bytes_per_s, sample.bytes_per_s)
