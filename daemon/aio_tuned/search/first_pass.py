"""The first pass, which measures every point once in random order, with the reference in between.

A quick sweep measures a designed fraction of the points, then the neighbours of the best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import estimate
from aio_tuned.search.grid import neighbours
from aio_tuned.search.posterior import posterior
from aio_tuned.search.step import OTHER_PROCESSES, PhaseEnd, Round, exhausted, round_of, spent, unmeasured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Phase, Point, Sample

# A quick sweep measures the neighbours of this many leaders.
_LEADERS = 3


def _leaders(phase: Phase, samples: Sequence[Sample]) -> list[Point]:
    """Return the points with the highest mean throughput."""
    known = posterior(phase, estimate.curve(phase, samples))
    if known is None:
        return []
    return [known.points[column].point for column in np.argsort(-known.mean, kind="stable")[:_LEADERS].tolist()]


def next_round(phase: Phase, samples: Sequence[Sample]) -> Round | PhaseEnd:
    """Return the measurements that the pass still needs, or its end; equal samples give equal rounds.

    `samples` are all samples of the direction so far.
    """
    if reason := exhausted(phase, spent(phase, samples)):
        return PhaseEnd(reason=reason)
    missing = unmeasured(phase, samples, phase.points[: phase.sure_points])
    if phase.sure_points is not None and not missing:
        missing = unmeasured(phase, samples, neighbours(phase.points, _leaders(phase, samples)))
    if not missing:
        measured, planned = len(estimate.curve(phase, samples).points), len(phase.points[: phase.sure_points])
        if measured < planned:
            return PhaseEnd(reason=f"{OTHER_PROCESSES} during every attempt")
        quick = phase.sure_points is not None
        reason = "a quick sweep measures a part of the grid" if quick else "every setting was measured"
        return PhaseEnd(reason=reason, settled=True)
    return round_of(phase, samples, missing)
