"""The race, which measures the finalists again until the choice is clear or a limit is reached.

Equal samples give equal rounds. First each finalist is measured once. Then rounds in random order measure the points on
which the choice depends:
- the chosen point,
- points that are the best in those draws of the posterior in which the chosen point falls short (top-two sampling,
  Russo 2016),
- undecided rungs of the ladder,
- points with too few measurements.

The race is settled when three conditions hold. By the joint posterior of all finalists the chosen point is within the
tolerance of the best with a probability of 95 %. It and its rivals have enough measurements to exclude that one of them
met a fast mode of the drive by chance. The race is longer than most slow spells. Otherwise the race ends at the usual
time or write volume. It continues up to the budgets only where that can help: if the choice is still uncertain, and the
drive is noisy, has fallen over a cliff, or has slow spells.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import choose, estimate
from aio_tuned.search.posterior import posterior
from aio_tuned.search.step import (
    TIME_BUDGET_ENDED,
    USUAL_TIME_ENDED,
    USUAL_WRITES_ENDED,
    PhaseEnd,
    Round,
    Spent,
    exhausted,
    next_id,
    round_of,
    spent,
    unmeasured,
)
from aio_tuned.search.taint import is_counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.measurement import Phase, Point, Sample
    from aio_tuned.model.setting import Setting
    from aio_tuned.search.choose import Pick
    from aio_tuned.search.posterior import Posterior

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
# The least number of measurements of the chosen point, and of each rival.
_MIN_CHOSEN = 8
_MIN_RIVAL = 3
# A preferred setting needs no more measurements if it is within the tolerance with no more than this probability.
_HOPELESS = 0.02
# The least time between the first and the last measurement of a direction, since most slow spells are shorter than 3 s.
# If the pass met a slow spell, or the best of the race is below 90 % of the best of the pass, the race alone must last
# 12 s. A usual time of less than 25 s shortens both: to an eighth and a half of it.
_MIN_SPAN_NS, _MIN_PART = 3 * 10**9, 8
_SPELLS_SPAN_NS, _SPELLS_PART = 12 * 10**9, 2
_SUNK = 0.9
# A round has this share of the number of measurements so far, and at least _MIN_ROUND measurements.
_ROUND_SHARE = 0.08
_MIN_ROUND = 10
# Shares of a round: for the chosen point, then for undecided rungs, then for points with too few measurements.
_CHOSEN_SHARE = 0.3
_RUNGS_SHARE = 0.3
_SELDOM_SHARE = 0.5
# The race exceeds the usual time only if the choice may be this far below the best and measurements vary by this share.
_POOR = 0.1
_NOISY = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRules:
    """The rules that end a race besides the budgets of its phase.

    The race takes `usual_ns` and writes `usual_bytes` at most, unless more can help. `level_bytes_per_s` is the best
    throughput of the pass. `preferred` are settings to keep, in order of preference. `spells` is true if the drive has
    slow spells.
    """

    usual_ns: int
    usual_bytes: int
    level_bytes_per_s: float = 0.0
    preferred: tuple[Setting, ...] = ()
    spells: bool = False


def _lasted(phase: Phase, rules: RaceRules, samples: Sequence[Sample], best_bytes_per_s: float) -> bool:
    """Return whether the direction was measured for longer than most slow spells last.

    The time of the pass counts too, unless the race is slower than the pass or the drive has slow spells: the whole
    race may lie in a spell then.
    """
    alone = rules.spells or best_bytes_per_s < _SUNK * rules.level_bytes_per_s

    def counts(sample: Sample) -> bool:
        return is_counted(sample, phase) if alone else sample.request.direction == phase.direction

    first = next((place for place, sample in enumerate(samples) if counts(sample)), len(samples))
    lasted_ns = sum(sample.wall_ns for sample in samples[first:])
    most_ns, part = (_SPELLS_SPAN_NS, _SPELLS_PART) if alone else (_MIN_SPAN_NS, _MIN_PART)
    return lasted_ns >= min(most_ns, rules.usual_ns // part)


def _seldom(known: Posterior, phase: Phase, rules: RaceRules, picked: Pick) -> list[int]:
    """Return the columns of the points that decide the choice and have too few measurements.

    A preferred setting is among them, so that one slow measurement does not drop it.
    """
    chances, within = known.best_chances(), known.within(phase.tolerance)
    kept = {known.place(setting) for setting in rules.preferred}
    found = []
    for column, point in enumerate(known.points):
        visits = point.visits
        decides = column == picked.column or (column in kept and within[column] > _HOPELESS)
        if (decides and visits < _MIN_CHOSEN) or (chances[column] > choose.RIVAL and visits < _MIN_RIVAL):
            found.append(column)
    return found


def _weights(known: Posterior, picked: Pick, limit: float, rungs: list[int], seldom: list[int]) -> Floats:
    """Return the share of each point in the measurements of the next round."""
    shortfall = known.shortfall[:, picked.column]
    # Rivals get their shares from the draws in which the chosen point falls short by more than the limit.
    short = shortfall > min(limit, float(np.quantile(shortfall, CONFIDENCE)))
    if not short.any():
        short = shortfall >= shortfall.max()
    count = len(known.points)
    weights: Floats = np.bincount(known.draws[short].argmax(1), minlength=count) / short.sum()
    weights *= 1 - _CHOSEN_SHARE
    weights[picked.column] += _CHOSEN_SHARE
    for columns, share in ((rungs, _RUNGS_SHARE), (seldom, _SELDOM_SHARE)):
        if columns:
            weights *= 1 - share
            weights[columns] += share / len(columns)
    return weights


def _counts(weights: Floats, size: int) -> list[int]:
    """Return whole numbers of measurements with the sum `size`, as near to the shares as possible."""
    wanted = weights * size
    counts = np.floor(wanted).astype(int)
    order = np.argsort(-(wanted - counts), kind="stable")
    counts[order[: size - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def _spread(visits: Sequence[tuple[Point, int]], rng: random.Random) -> list[Point]:
    """Return the points in random order, with repeats spread evenly over the round so that a drift favours no point."""
    placed = [
        ((number + rng.random()) / count, place, point)
        for place, (point, count) in enumerate(visits)
        for number in range(count)
    ]
    return [point for *_, point in sorted(placed, key=lambda each: each[:2])]


def _may_go_on(rules: RaceRules, curve: Curve, regret95: float) -> bool:
    """Return whether more than the usual time and writes can help."""
    return regret95 > _POOR and (curve.noise > _NOISY or curve.cliff is not None or rules.spells)


def next_round(phase: Phase, rules: RaceRules, samples: Sequence[Sample]) -> Round | PhaseEnd:
    """Return the next round of the race or its end; `samples` are all samples of the sweep so far, oldest first."""
    cost = spent(phase, samples)
    missing = unmeasured(phase, samples, phase.points)
    if missing and not exhausted(phase, cost):
        return round_of(phase, samples, missing)
    curve = estimate.curve(phase, samples)
    known = posterior(phase, curve, rules.preferred)
    if known is None:
        return PhaseEnd(reason="no setting could be measured")
    if curve.cliff is not None and curve.cliff.before_counts:
        return PhaseEnd(reason=f"throughput fell after {curve.cliff.after_bytes >> 20} MiB and stayed low")
    picked = choose.pick(known, phase.tolerance, rules.preferred)
    regret95, limit = known.quantile(picked.column, CONFIDENCE), -math.log1p(-phase.tolerance)
    rungs, seldom = choose.undecided(known, phase.tolerance, picked), _seldom(known, phase, rules, picked)
    lasted = _lasted(phase, rules, samples, math.exp(float(known.mean.max())))
    sure = regret95 <= phase.tolerance and lasted and not seldom
    if sure and not rungs:
        return PhaseEnd(reason="the choice is clear", settled=True)
    left = _left(phase, rules, cost, whole=_may_go_on(rules, curve, regret95))
    if isinstance(left, str):
        return PhaseEnd(reason="the choice is clear, but a cheaper one may equal it" if sure else left, settled=sure)
    size = max(_MIN_ROUND, int(sum(is_counted(sample, phase) for sample in samples) * _ROUND_SHARE))
    counts = _counts(_weights(known, picked, limit, rungs, seldom), min(size, left))
    visits = [(stats.point, count) for stats, count in zip(known.points, counts, strict=True) if count]
    rng = random.Random(f"{phase.seed}/{phase.direction}/{next_id(samples)}")  # noqa: S311 - no secret
    made = round_of(phase, samples, _spread(visits, rng), reference=len(visits) > 1)
    return Round(requests=made.requests[: min(size, left)])


def _left(phase: Phase, rules: RaceRules, cost: Spent, *, whole: bool) -> int | str:
    """Return how many measurements the limits still allow, or the limit that was reached, as a clause.

    `whole` lifts the usual limits, so that only the budgets apply.
    """
    if ended := exhausted(phase, cost):
        return ended
    most_ns = phase.time_budget_ns if whole else min(rules.usual_ns, phase.time_budget_ns)
    most_bytes = phase.write_budget_bytes if whole else min(rules.usual_bytes, phase.write_budget_bytes)
    if ended := exhausted(replace(phase, time_budget_ns=most_ns, write_budget_bytes=most_bytes), cost):
        return USUAL_TIME_ENDED if ended == TIME_BUDGET_ENDED else USUAL_WRITES_ENDED
    left = max(1, (most_ns - cost.ns) // max(phase.visit_ns, 1))
    if phase.direction == "write":
        left = min(left, (most_bytes - cost.written_bytes) // phase.transfer_bytes)
    return left
