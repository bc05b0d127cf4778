"""The choice of a setting from the posterior.

Among dozens of equal points, chance decides which has the highest throughput. So the first of these rules that applies
makes the choice:
1. An earlier setting, or a sibling's, is kept if it is within the tolerance of the best with a probability of 40 %.
2. The default is chosen if its expected shortfall is at most 1 %, since there is nothing to gain.
3. The first rung of the ladder is chosen that is within the tolerance with a probability of 90 %.
4. The cheapest of the points is chosen whose expected shortfall is within 0.2 % of the least.
No rule chooses a setting that may be below the default: see allowed().
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio_tuned.errors import MeasurementError
from aio_tuned.model.curve import Choice, CombinedChoice
from aio_tuned.search.finalists import LADDER, ladder_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.setting import Setting
    from aio_tuned.search.posterior import Posterior

# The least probabilities of being within the tolerance: to keep an earlier setting, and to choose a rung.
KEEP = 0.4
ACCEPT = 0.9
# A rung that is undecided after this many measurements is so near the tolerance that more of them do not help.
MAX_RUNG_VISITS = 16
# A point is a rival, which is not ruled out, if it is the best with more than this probability.
RIVAL = 0.005
# A point is a tie if it is within the tolerance with at least this probability.
_TIE = 0.5
# Among expected shortfalls that differ by less than this share, the cheapest point is chosen.
_ALIKE = 0.002
# A smaller gain is not worth a change from the default.
NOTHING = 0.01


# The largest probability of being below the default with which a setting may be chosen, and that of a published one
# which was measured fewer times than a settled race measures it. With 5 % for both, 9 of 18,700 sweeps with budgets
# from 2 s published a setting that was 1 to 4 % below the default; three were measured once, at a fast moment.
MAX_BELOW_DEFAULT = 0.05
MAX_BELOW_IF_SELDOM = 0.01
SELDOM_VISITS = 8
MIN_VISITS = 2
# The number of challengers, each from another class (threads and block size).
_CHALLENGERS = 3
# The cost of memory has steps: up to 1 MiB, 8 MiB, 64 MiB, 512 MiB and so on.
_MEMORY_STEP_BYTES = 1 << 20
_MEMORY_STEPS = 3


def cost(setting: Setting) -> tuple[int, int, int, int, bool, bool]:
    """Return the cost of a setting for the workload, as a sort key with the most expensive part first.

    The parts are threads, then bytes in flight in steps of a factor of eight, then the CPU time per gigabyte, which
    larger blocks, a queue that is refilled before it is empty, and batches lower. Within a step of memory the deeper
    queue is preferred, since it hides more latency.
    """
    return (
        setting.io_parallelism,
        max(0, math.ceil(math.log2(setting.in_flight_bytes / _MEMORY_STEP_BYTES) / _MEMORY_STEPS)),
        -setting.block_size,
        -setting.queue_depth,
        not setting.overlap_events,
        setting.single_submit,
    )


class Pick(NamedTuple):
    """A column of the posterior, with the reason for its choice.

    `kept`: a preferred setting. `as_good`: the default, which no point exceeds enough. `floored`: the default, because
    no other point may be chosen.
    """

    column: int
    kept: bool = False
    as_good: bool = False
    floored: bool = False


def allowed(known: Posterior, margin: float = 0.0, *, published: bool = False) -> NDArray[np.bool_]:
    """Return which points may be chosen, as a mask: those that are not below the default, and the default itself.

    They were measured no slower than the default, and are below it by more than `margin` (a share) with a probability
    of at most 5 %; those to be `published` that were measured seldom with at most 1 %, and none that was measured once.
    If the default was not measured, every point may be chosen.
    """
    own = known.default
    if own is None:
        return np.ones(len(known.points), dtype=np.bool_)
    below = (known.draws < known.draws[:, [own]] + math.log1p(-margin)).mean(0)
    measured = np.array([point.bytes_per_s for point in known.points])
    found: NDArray[np.bool_] = (below <= MAX_BELOW_DEFAULT) & (measured >= measured[own])
    if published:
        visits = np.array([point.visits for point in known.points])
        found &= (visits >= SELDOM_VISITS) | ((visits >= MIN_VISITS) & (below <= MAX_BELOW_IF_SELDOM))
    found[own] = True
    return found


def pick(
    known: Posterior,
    tolerance: float,
    preferred: Sequence[Setting] = (),
    keep: float = KEEP,
    *,
    published: bool = False,
) -> Pick:
    """Return the point to choose, while a race continues or to be `published`.

    The first of the `preferred` settings is kept that is within the tolerance of the best with the probability `keep`.
    """
    within, expected = known.within(tolerance), known.expected()
    # The earlier sweep showed that its setting is not below the default, so only a clear contradiction counts.
    may_keep = allowed(known, NOTHING)
    for setting in preferred:
        column = known.place(setting)
        if column is not None and may_keep[column] and within[column] >= keep:
            return Pick(column, kept=True)
    may = np.flatnonzero(allowed(known, published=published))
    own = known.default
    # A check (keep is 0) measures only a few settings, so it confirms the sibling's or falls back to the default.
    if own is not None and (expected[own] <= NOTHING or not keep):
        return Pick(own, as_good=True)
    rungs = [column for column in may.tolist() if _rung(known, column) < len(LADDER)]
    sure = [column for column in rungs if within[column] >= ACCEPT]
    if sure:
        return Pick(min(sure, key=lambda column: _rung(known, column)))
    alike = [column for column in may.tolist() if expected[column] <= expected[may].min() + _ALIKE]
    best = min(alike, key=lambda column: (_rung(known, column), cost(_cheapest(known, column))))
    return Pick(best, floored=best == own and len(may) == 1 and len(known.points) > 1)


def _aliases(known: Posterior, column: int) -> tuple[Setting, ...]:
    return known.points[column].point.aliases


def _rung(known: Posterior, column: int) -> int:
    return ladder_place(_aliases(known, column))


def undecided(known: Posterior, tolerance: float, picked: Pick) -> list[int]:
    """Return the columns of cheaper rungs than the picked one that more measurements may show to be good enough."""
    if picked.kept or picked.as_good:
        return []
    within, mine = known.within(tolerance), _rung(known, picked.column)
    return [
        column
        for column in np.flatnonzero((within > 1 - ACCEPT) & (within < ACCEPT)).tolist()
        if column != picked.column and _rung(known, column) < mine and known.points[column].visits < MAX_RUNG_VISITS
    ]


def _cheapest(known: Posterior, column: int) -> Setting:
    return min(_aliases(known, column), key=cost)


def _setting(known: Posterior, picked: Pick, preferred: Sequence[Setting]) -> Setting:
    """Return the published setting of the picked point: a preferred one, the default, a rung or the cheapest."""
    aliases = _aliases(known, picked.column)
    default = (known.reference.point.setting,) if known.reference else ()
    wanted = (*(preferred if picked.kept else ()), *default, *LADDER)
    return next((setting for setting in wanted if setting in aliases), min(aliases, key=cost))


def choose(known: Posterior, tolerance: float, preferred: Sequence[Setting] = (), keep: float = KEEP) -> Choice:
    """Return the choice of pick() with its figures from the posterior."""
    picked = pick(known, tolerance, preferred, keep, published=True)
    column = picked.column
    setting = _setting(known, picked, preferred)
    within = known.within(tolerance)
    tied = np.flatnonzero(within >= _TIE).tolist()
    default = column if known.default is None else known.default
    gain = np.expm1(known.draws[:, column] - known.draws[:, default])
    low, middle, high = (float(each) for each in np.quantile(gain, (0.025, 0.5, 0.975)))
    return Choice(
        stats=known.points[column],
        setting=setting,
        ties=len({*tied, column}),
        rivals=sum(chance > RIVAL for place, chance in enumerate(known.best_chances().tolist()) if place != column),
        saturating_concurrency=min(
            (
                each.concurrency
                for one in {*tied, column}
                for each in _aliases(known, one)
                if each.block_size <= setting.block_size
            ),
            default=setting.concurrency,
        ),
        regret95=known.quantile(column),
        expected_shortfall=float(known.expected()[column]),
        probability_within=float(within[column]),
        versus_default=middle,
        versus_default_ci95=(low, high),
        kept=picked.kept,
        floored=picked.floored,
        challengers=_challengers(known, column),
    )


def _challengers(known: Posterior, column: int) -> tuple[tuple[Setting, float], ...]:
    """Return the best points of the fastest other classes, each with its throughput relative to the chosen point."""
    classes = {(each.io_parallelism, each.block_size) for each in (_cheapest(known, column),)}
    found: list[tuple[Setting, float]] = []
    for other in np.argsort(-known.mean, kind="stable").tolist():
        setting = _cheapest(known, other)
        kind = (setting.io_parallelism, setting.block_size)
        if kind not in classes and len(found) < _CHALLENGERS:
            classes.add(kind)
            found.append((setting, float(np.exp(known.mean[other] - known.mean[column]))))
    return tuple(found)


class _Levels:
    """The log throughputs of a direction by setting, and the settings that may be chosen in it."""

    def __init__(self, known: Posterior) -> None:
        self.of: dict[Setting, tuple[float, PointStats]] = {
            setting: (level, point)
            for point, level in zip(known.points, known.mean.tolist(), strict=True)
            for setting in point.point.aliases
        }
        self.allowed = {
            setting
            for point, may in zip(known.points, allowed(known, published=True).tolist(), strict=True)
            if may
            for setting in point.point.aliases
        }
        self.best = float(known.mean.max())


def combine(
    read: Posterior, write: Posterior, read_weight: float, tolerance: float, preferred: Sequence[Setting] = ()
) -> CombinedChoice:
    """Return the setting with the best weighted geometric mean of its shares of the read and the write optimum.

    `read_weight` ranges from 0 (only writes count) to 1 (only reads count). Among ties within `tolerance`, a preferred
    setting is chosen, else the first rung of the ladder, else the cheapest setting. A setting takes part if it was
    measured in both directions and may be below the default in neither. Raise MeasurementError if there is none.
    """
    reads, writes = _Levels(read), _Levels(write)
    scores = {
        setting: read_weight * (reads.of[setting][0] - reads.best)
        + (1 - read_weight) * (writes.of[setting][0] - writes.best)
        for setting in reads.of
        if setting in writes.of
    }
    may = {setting: score for setting, score in scores.items() if setting in reads.allowed & writes.allowed}
    if not may:
        raise MeasurementError("combined: no setting was measured in both directions; try again when the drive is idle")
    edge = math.log1p(-tolerance)
    chosen = min(
        (setting for setting, score in may.items() if score >= max(may.values()) + edge),
        key=lambda each: (each not in preferred, ladder_place((each,)), cost(each)),
    )
    tied = {chosen, *(setting for setting, score in scores.items() if score >= max(scores.values()) + edge)}
    read_level, read_point = reads.of[chosen]
    write_level, write_point = writes.of[chosen]
    return CombinedChoice(
        setting=chosen,
        read=read_point,
        write=write_point,
        read_share=min(1.0, math.exp(read_level - reads.best)),
        write_share=min(1.0, math.exp(write_level - writes.best)),
        # Settings with identical I/O in both directions count as one tie, as in each direction.
        ties=len({(reads.of[each][1].point.setting, writes.of[each][1].point.setting) for each in tied}),
    )
