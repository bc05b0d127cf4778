"""The phases and curves of a stored sweep, computed again from its samples.

A plan is not stored. Its points follow from the settings that were measured, as grid.points makes them; its budgets and
its tolerance do not, and are 0 here: no curve depends on them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.measurement import Phase, Point, Sample
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid, Setting
from aio_tuned.search import effort, estimate, grid
from aio_tuned.search.taint import taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One direction of a stored sweep: its plan, its samples in the order in which they were taken, its curve."""

    phase: Phase
    samples: tuple[Sample, ...]
    curve: Curve

    @property
    def direction(self) -> Direction:
        """Return the direction."""
        return self.phase.direction


def _reference(samples: Iterable[Sample]) -> Setting:
    return next((each.request.setting for each in samples if each.request.purpose == "reference"), DEFAULT_SETTING)


def _visited(samples: Iterable[Sample], reference: Setting) -> list[Setting]:
    """Return the settings that were measured for their own sake, in the order of their first measurements.

    The reference is left out, as it need not be in the grid.
    """
    return list(
        dict.fromkeys(
            sample.request.setting
            for sample in samples
            if sample.request.purpose != "reference"
            and not (sample.request.purpose == "calibrate" and sample.request.setting == reference)
        )
    )


def _grid(visited: Sequence[Setting]) -> Grid:
    return Grid(**{item.name: tuple(sorted({getattr(each, item.name) for each in visited})) for item in fields(Grid)})


def _points(chosen: Iterable[Setting], visited: Sequence[Setting], transfer_bytes: int) -> tuple[Point, ...]:
    """Return the plan's points in the order of their first measurements, which is the plan's; others come last."""
    when = {grid.program(each, transfer_bytes): number for number, each in reversed(list(enumerate(visited)))}
    return tuple(
        sorted(
            grid.points(chosen, transfer_bytes),
            key=lambda point: when.get(grid.program(point.setting, transfer_bytes), len(visited)),
        )
    )


def replays(samples: Sequence[Sample], evidence: Evidence) -> tuple[Replay, ...]:
    """Return a replay of each direction that was measured, read before write.

    A check of another drive's settings has only those as its points, any other sweep a whole grid.
    """
    reference = _reference(samples)
    every = _visited(samples, reference)
    found = []
    for direction in get_args(Direction):
        own = tuple(sample for sample in samples if sample.request.direction == direction)
        sizes = Counter(
            sample.request.transfer_bytes
            for sample in own
            if sample.request.purpose not in ("calibrate", "sustain") and not taint_reason(sample)
        )
        if not sizes:
            continue
        transfer_bytes = sizes.most_common(1)[0][0]
        raced = [sample for sample in own if sample.request.purpose not in ("calibrate", "sustain")]
        visited = _visited(raced, reference)
        chosen = visited if evidence.checked_against else grid.settings(_grid(every))
        points = _points(chosen, visited, transfer_bytes)
        sure = None
        if evidence.effort == "quick":
            sure = len(grid.designed(points, effort.extent("quick", 0.0).fraction))
        phase = Phase(
            direction=direction,
            points=points,
            reference=Point(setting=reference, aliases=(reference,)),
            transfer_bytes=transfer_bytes,
            visit_ns=max(sample.request.min_ns for sample in raced),
            visit_bytes=max(sample.request.max_bytes for sample in raced),
            time_budget_ns=0,
            write_budget_bytes=0,
            tolerance=0.0,
            seed=evidence.seed,
            sure_points=sure,
        )
        found.append(Replay(phase=phase, samples=own, curve=estimate.curve(phase, own)))
    return tuple(found)
