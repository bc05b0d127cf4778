"""The race: what to measure next among the finalists, given the samples so far, or why to stop.

The same samples give the same answer. First each finalist is measured once; then, round by round, those on which the
choice depends, in random order: the chosen point, those that are the best in the draws of the posterior in which the
chosen one falls short (top-two sampling, Russo 2016), rungs of the ladder that are in doubt, and points that were
measured too seldom to be believed.

The race is settled when the chosen point is within the tolerance of the best with a probability of 95 %, by the joint
posterior of all finalists; when it and its rivals were visited often enough that no lucky mode of the drive can stand
for it; and when the race has lasted for so long that it cannot lie whole inside a slow spell. Else it ends when the
usual budget is spent, and continues to the whole budget only where that can help: where the choice is still poorly
known and the drive is noisy, has fallen over a cliff, or has slow spells.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import choose, estimate
from aio_tuned.search.posterior import posterior
from aio_tuned.search.step import PhaseEnd, Round, Spent, exhausted, next_id, round_of, spent, unmeasured
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
# The chosen point must have been visited this often, and each of its rivals so often.
_MIN_CHOSEN = 8
_MIN_RIVAL = 3
# A setting to keep is given up before that if it is within the tolerance with no more than this probability.
_HOPELESS = 0.02
# A direction is measured for this long, from its first measurement to its last: most slow spells are shorter. Where the
# drive has met one, and where the race is below this share of the pass's best, the race must last longer by itself.
# Where the usual time is shorter than 25 s, so are both: these parts of it.
_MIN_SPAN_NS, _MIN_PART = 3 * 10**9, 8
_SPELLS_SPAN_NS, _SPELLS_PART = 12 * 10**9, 2
_SUNK = 0.9
# A round is this share of the visits so far, and at least _MIN_ROUND visits.
_ROUND_SHARE = 0.08
_MIN_ROUND = 10
# Shares of a round: the chosen point's, and of the rest those of rungs in doubt and of points seldom visited.
_CHOSEN_SHARE = 0.3
_RUNGS_SHARE = 0.3
_SELDOM_SHARE = 0.5
# More measuring than usual is worth it if the choice may be this far below the best, and visits differ by this share.
_POOR = 0.1
_NOISY = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRules:
    """What ends a race besides its phase's budgets.

    It may take `usual_ns` and write `usual_bytes`, and more only where that can help. `level_bytes_per_s` is the best
    of the pass. `preferred` are settings to keep, the first one first. `spells` says that the drive has slow spells.
    """

    usual_ns: int
    usual_bytes: int
    level_bytes_per_s: float = 0.0
    preferred: tuple[Setting, ...] = ()
    spells: bool = False


def _lasted(phase: Phase, rules: RaceRules, samples: Sequence[Sample], best_bytes_per_s: float) -> bool:
    """Return whether the direction was measured for so long that it cannot lie whole inside a slow spell.

    Its pass counts, as long as the race is no slower than that; in longer transfers it may be, and then it must last as
    long by itself as where the drive has spells.
    """
    alone = rules.spells or best_bytes_per_s < _SUNK * rules.level_bytes_per_s

    def counts(sample: Sample) -> bool:
        return is_counted(sample, phase) if alone else sample.request.direction == phase.direction

    first = next((place for place, sample in enumerate(samples) if counts(sample)), len(samples))
    lasted_ns = sum(sample.wall_ns for sample in samples[first:])
    most_ns, part = (_SPELLS_SPAN_NS, _SPELLS_PART) if alone else (_MIN_SPAN_NS, _MIN_PART)
    return lasted_ns >= min(most_ns, rules.usual_ns // part)


def _seldom(known: Posterior, phase: Phase, rules: RaceRules, picked: Pick) -> list[int]:
    """Return the columns of points that were visited too seldom for what depends on them.

    A setting that would be kept must not be dropped for one unlucky visit.
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
    """Return each point's share of the next round's visits."""
    shortfall = known.shortfall[:, picked.column]
    # The best draws for a rival are those in which the chosen point falls short by more than the limit.
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
    """Return whole numbers of visits with the sum `size`, as near to the shares as possible."""
    wanted = weights * size
    counts = np.floor(wanted).astype(int)
    order = np.argsort(-(wanted - counts), kind="stable")
    counts[order[: size - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def _spread(visits: Sequence[tuple[Point, int]], dice: random.Random) -> list[Point]:
    """Return the points in random order, repeats of one spread evenly over the round: a drift must not favour any."""
    placed = [
        ((number + dice.random()) / count, place, point)
        for place, (point, count) in enumerate(visits)
        for number in range(count)
    ]
    return [point for *_, point in sorted(placed, key=lambda each: each[:2])]


def _may_go_on(rules: RaceRules, curve: Curve, regret95: float) -> bool:
    """Return whether more than the usual measuring can help."""
    return regret95 > _POOR and (curve.noise > _NOISY or curve.cliff is not None or rules.spells)


def next_round(phase: Phase, rules: RaceRules, samples: Sequence[Sample]) -> Round | PhaseEnd:
    """Return what to measure next, given all samples of the sweep so far in the order in which they were taken."""
    cost = spent(phase, samples)
    missing = unmeasured(phase, samples, phase.points)
    if missing and not exhausted(phase, cost):
        return round_of(phase, samples, missing)
    curve = estimate.curve(phase, samples)
    known = posterior(phase, curve, rules.preferred)
    if known is None:
        return PhaseEnd(reason="no point could be measured")
    if curve.cliff is not None and curve.cliff.before_counts:
        return PhaseEnd(reason=f"the drive fell over a cliff after {curve.cliff.after_bytes >> 20} MiB")
    picked = choose.pick(known, phase.tolerance, rules.preferred)
    regret95, limit = known.quantile(picked.column, CONFIDENCE), -math.log1p(-phase.tolerance)
    rungs, seldom = choose.undecided(known, phase.tolerance, picked), _seldom(known, phase, rules, picked)
    lasted = _lasted(phase, rules, samples, math.exp(float(known.mean.max())))
    sure = regret95 <= phase.tolerance and lasted and not seldom
    if sure and not rungs:
        return PhaseEnd(reason="the choice is clear", settled=True)
    left = _left(phase, rules, cost, whole=_may_go_on(rules, curve, regret95))
    if isinstance(left, str):
        reason = "the choice is clear, but for a cheaper setting" if sure else f"the {left} is spent"
        return PhaseEnd(reason=reason, settled=sure)
    size = max(_MIN_ROUND, int(sum(is_counted(sample, phase) for sample in samples) * _ROUND_SHARE))
    counts = _counts(_weights(known, picked, limit, rungs, seldom), min(size, left))
    visits = [(stats.point, count) for stats, count in zip(known.points, counts, strict=True) if count]
    dice = random.Random(f"{phase.seed}/{phase.direction}/{next_id(samples)}")  # noqa: S311 - no secret
    made = round_of(phase, samples, _spread(visits, dice), reference=len(visits) > 1)
    return Round(requests=made.requests[: min(size, left)])


def _left(phase: Phase, rules: RaceRules, cost: Spent, *, whole: bool) -> int | str:
    """Return how many visits the budget still pays for, or the name of the one that is spent."""
    if spent_budget := exhausted(phase, cost):
        return spent_budget
    most_ns = phase.time_budget_ns if whole else min(rules.usual_ns, phase.time_budget_ns)
    most_bytes = phase.write_budget_bytes if whole else min(rules.usual_bytes, phase.write_budget_bytes)
    if exhausted(replace(phase, time_budget_ns=most_ns, write_budget_bytes=most_bytes), cost):
        return "usual budget"
    left = max(1, (most_ns - cost.ns) // max(phase.visit_ns, 1))
    if phase.direction == "write":
        left = min(left, (most_bytes - cost.written_bytes) // phase.transfer_bytes)
    return left
