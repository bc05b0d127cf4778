"""The phases and curves of a stored sweep, computed again from its samples.

The plan is not stored. Its points follow from the measured settings, as in grid.points. Its budgets and tolerance are
unknown, and are 0 here; no curve depends on them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.measurement import Phase, Point, Purpose, Sample, Stage
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid, Setting
from aio_tuned.search import effort, estimate, grid
from aio_tuned.search.posterior import Posterior, posterior
from aio_tuned.search.step import unmeasured
from aio_tuned.search.taint import STAGE_PURPOSES, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Evidence

_OF_CHOICE: tuple[Purpose, ...] = ("calibrate", "reference", "pass", "repeat", "sustain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One direction of a stored sweep: its phases, all samples of the sweep in order, and the curves from them.

    `first_pass` is None for a check; `race` is None without a complete race. `phase` is the deciding one, with `curve`
    and the posterior `known`. `screen` is the curve of every setting: the pass's, or without a pass that of `phase`.
    """

    first_pass: Phase | None
    race: Phase | None
    phase: Phase
    samples: tuple[Sample, ...]
    screen: Curve
    curve: Curve
    known: Posterior

    @property
    def direction(self) -> Direction:
        """The direction."""
        return self.phase.direction

    @property
    def screened(self) -> Phase:
        """The phase of `screen`."""
        return self.first_pass or self.phase

    @property
    def stages(self) -> tuple[tuple[Phase, Curve], ...]:
        """The phases with their curves; the pass comes first."""
        screen = () if self.first_pass in (None, self.phase) else ((self.screened, self.screen),)
        return (*screen, (self.phase, self.curve))


def _reference(samples: Iterable[Sample]) -> Setting:
    return next((each.request.setting for each in samples if each.request.purpose == "reference"), DEFAULT_SETTING)


def _visited(samples: Iterable[Sample], reference: Setting) -> list[Setting]:
    """Return the settings that were measured as candidates, in the order of their first measurements.

    The reference is left out, because it need not be in the grid.
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
    """Return the plan's points in the order of their first measurements; points without one come last."""
    when = {grid.program(each, transfer_bytes): number for number, each in reversed(list(enumerate(visited)))}
    return tuple(
        sorted(
            grid.points(chosen, transfer_bytes),
            key=lambda point: when.get(grid.program(point.setting, transfer_bytes), len(visited)),
        )
    )


def replays(samples: Sequence[Sample], evidence: Evidence) -> tuple[Replay, ...]:
    """Return a replay of each direction that was measured, read before write.

    A check of a sibling's settings has only those settings; any other sweep has a whole grid, and then finalists. What
    was measured after the choice is of no concern here.
    """
    samples = [sample for sample in samples if sample.request.purpose in _OF_CHOICE]
    reference = _reference(samples)
    # A race and its sustained writes also use settings outside the grid: the default, and those of an earlier sweep.
    screened = [sample for sample in samples if sample.request.purpose in (*STAGE_PURPOSES["pass"], "calibrate")]
    whole = grid.settings(_grid(_visited(screened, reference)))
    found = (_replay(direction, samples, evidence, reference, whole) for direction in get_args(Direction))
    return tuple(each for each in found if each is not None)


def _replay(
    direction: Direction,
    samples: Sequence[Sample],
    evidence: Evidence,
    reference: Setting,
    whole: tuple[Setting, ...],
) -> Replay | None:
    first_pass = _phase(direction, "pass", samples, evidence, reference, whole)
    race = _phase(direction, "race", samples, evidence, reference, None)
    if race is not None and unmeasured(race, samples, race.points):
        race = None
    phase = race or first_pass
    if phase is None:
        return None
    curve = estimate.curve(phase, samples)
    known = posterior(phase, curve)
    if known is None:
        return None
    screen = curve if first_pass in (None, phase) else estimate.curve(first_pass, samples)
    return Replay(
        first_pass=first_pass,
        race=race,
        phase=phase,
        samples=tuple(samples),
        screen=screen,
        curve=curve,
        known=known,
    )


def _phase(
    direction: Direction,
    stage: Stage,
    samples: Sequence[Sample],
    evidence: Evidence,
    reference: Setting,
    chosen: tuple[Setting, ...] | None,
) -> Phase | None:
    """Return the plan of one stage from its samples; if `chosen` is None, its settings are the measured ones."""
    own = [
        sample
        for sample in samples
        if sample.request.direction == direction and sample.request.purpose in STAGE_PURPOSES[stage]
    ]
    sizes = Counter(sample.request.transfer_bytes for sample in own if not taint_reason(sample))
    if not sizes:
        return None
    transfer_bytes = sizes.most_common(1)[0][0]
    visited = _visited(own, reference) if stage == "pass" else list(dict.fromkeys(each.request.setting for each in own))
    points = _points(visited if chosen is None else chosen, visited, transfer_bytes)
    quick = stage == "pass" and evidence.effort == "quick"
    return Phase(
        direction=direction,
        stage=stage,
        points=points,
        reference=Point(setting=reference, aliases=(reference,)),
        transfer_bytes=transfer_bytes,
        visit_ns=max(sample.request.min_ns for sample in own),
        visit_bytes=max(sample.request.max_bytes for sample in own),
        time_budget_ns=0,
        write_budget_bytes=0,
        tolerance=0.0,
        seed=evidence.seed,
        sure_points=len(grid.designed(points, effort.extent("quick", 0.0).fraction)) if quick else None,
    )
