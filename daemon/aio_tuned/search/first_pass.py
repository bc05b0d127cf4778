"""The pass: every point once, in the plan's random order, with the reference in between.

A quick sweep measures a designed fraction of the points, and then the neighbours of the best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import estimate
from aio_tuned.search.grid import neighbours
from aio_tuned.search.posterior import posterior
from aio_tuned.search.step import PhaseEnd, Round, exhausted, round_of, spent, unmeasured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Phase, Point, Sample

# A quick sweep visits the neighbours of this many leaders.
_LEADERS = 3


def _leaders(phase: Phase, samples: Sequence[Sample]) -> list[Point]:
    known = posterior(phase, estimate.curve(phase, samples))
    if known is None:
        return []
    return [known.points[column].point for column in np.argsort(-known.mean, kind="stable")[:_LEADERS].tolist()]


def next_round(phase: Phase, samples: Sequence[Sample]) -> Round | PhaseEnd:
    """Return the measurements that the pass lacks, given all samples of the direction so far; the same for the same."""
    if reason := exhausted(phase, spent(phase, samples)):
        return PhaseEnd(reason=f"the {reason} is spent")
    missing = unmeasured(phase, samples, phase.points[: phase.sure_points])
    if phase.sure_points is not None and not missing:
        missing = unmeasured(phase, samples, neighbours(phase.points, _leaders(phase, samples)))
    if not missing:
        measured, planned = len(estimate.curve(phase, samples).points), len(phase.points[: phase.sure_points])
        if measured < planned:
            return PhaseEnd(reason="others used the drive at each try")
        return PhaseEnd(reason="every point was measured", settled=True)
    return round_of(phase, samples, missing)
