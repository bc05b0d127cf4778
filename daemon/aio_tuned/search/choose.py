"""The choice of a setting from the posterior: the earlier one while it is good, else the first rung that surely is.

The point with the highest figure is a matter of chance among dozens that are alike. So an earlier or a sibling's
setting is kept as long as it is within the tolerance of the best with 40 %; else the default is taken if it is
expected to be within 1 % of it, for there is nothing to gain; else the first rung of a short ladder that is within
the tolerance with 90 %; else the point with the least expected shortfall, and of those that are as good to
0.2 % the cheapest. Whatever the rule, a setting that may be below the default is never chosen: see allowed().
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

# The probability of being within the tolerance that keeps an earlier setting, and that lets a rung be taken.
KEEP = 0.4
ACCEPT = 0.9
# A rung that was visited this often and is in doubt still lies so near the tolerance's edge that more does not help.
MAX_RUNG_VISITS = 16
# Another point is a rival, which is not ruled out, if it is the best with more than this probability.
RIVAL = 0.005
# A point is a tie if it is as likely as not within the tolerance.
_TIE = 0.5
# Expected shortfalls that differ by less than this share are alike: the cheapest is taken.
_ALIKE = 0.002
# Less than this share is not worth a change from the default.
NOTHING = 0.01
# The probability of being below the default that no chosen setting may exceed.
MAX_BELOW_DEFAULT = 0.05
# As many classes (threads and block size) besides the chosen one's are named as challengers.
_CHALLENGERS = 3
# Up to 1 MiB, 8 MiB, 64 MiB, 512 MiB and so on cost the same.
_MEMORY_STEP_BYTES = 1 << 20
_MEMORY_STEPS = 3


def cost(setting: Setting) -> tuple[int, int, int, int, bool, bool]:
    """Return what a setting takes from the workload, as a sort key with the dearest part first.

    The parts are threads, then bytes in flight in steps of a factor of eight, then the CPU time per gigabyte: larger
    blocks, a queue that is refilled before it is empty, and batches lower it. Within a step of memory the deeper queue
    is preferred: it leaves no latency unused.
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
    """A column of the posterior, and why it was picked.

    It was `kept`, or it is the default: because it is `as_good` as any, or `floored` because nothing is surely as good.
    """

    column: int
    kept: bool = False
    as_good: bool = False
    floored: bool = False


def allowed(known: Posterior, margin: float = 0.0) -> NDArray[np.bool_]:
    """Return which points may be chosen: those that are not below the default.

    They were measured no slower than it, and are below it by more than `margin` (a share) with 5 % probability at the
    most. The default itself may be chosen, and everything where it was not measured.
    """
    own = known.default
    if own is None:
        return np.ones(len(known.points), dtype=np.bool_)
    below = (known.draws < known.draws[:, [own]] + math.log1p(-margin)).mean(0)
    measured = np.array([point.bytes_per_s for point in known.points])
    found: NDArray[np.bool_] = (below <= MAX_BELOW_DEFAULT) & (measured >= measured[own])
    found[own] = True
    return found


def pick(known: Posterior, tolerance: float, preferred: Sequence[Setting] = (), keep: float = KEEP) -> Pick:
    """Return the point to choose; `preferred` are settings to keep if they are good enough, the first one first.

    One is good enough if it is within the tolerance of the best with the probability `keep`.
    """
    within, expected = known.within(tolerance), known.expected()
    # That it is not below the default the sweep has shown that chose it: this one would have to contradict it.
    may_keep = allowed(known, NOTHING)
    for setting in preferred:
        column = known.place(setting)
        if column is not None and may_keep[column] and within[column] >= keep:
            return Pick(column, kept=True)
    may = np.flatnonzero(allowed(known))
    own = known.default
    # A check (keep is 0) knows nothing of what it has not measured: it confirms, or falls back to the default.
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
    """Return the columns of the rungs before the picked one that more measuring may still let through."""
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
    """Return the picked point's setting that is published: a preferred one, the default, a rung or the cheapest."""
    aliases = _aliases(known, picked.column)
    default = (known.reference.point.setting,) if known.reference else ()
    wanted = (*(preferred if picked.kept else ()), *default, *LADDER)
    return next((setting for setting in wanted if setting in aliases), min(aliases, key=cost))


def choose(known: Posterior, tolerance: float, preferred: Sequence[Setting] = (), keep: float = KEEP) -> Choice:
    """Return the choice of pick(), with what the posterior says of it."""
    picked = pick(known, tolerance, preferred, keep)
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
    """Return the best points of the likeliest other classes, each with its throughput over the chosen point's."""
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
    """A direction's log throughputs by setting, and the settings that may be chosen in it."""

    def __init__(self, known: Posterior) -> None:
        self.of: dict[Setting, tuple[float, PointStats]] = {
            setting: (level, point)
            for point, level in zip(known.points, known.mean.tolist(), strict=True)
            for setting in point.point.aliases
        }
        self.allowed = {
            setting
            for point, may in zip(known.points, allowed(known).tolist(), strict=True)
            if may
            for setting in point.point.aliases
        }
        self.best = float(known.mean.max())


def combine(
    read: Posterior, write: Posterior, read_weight: float, tolerance: float, preferred: Sequence[Setting] = ()
) -> CombinedChoice:
    """Return the setting with the best weighted geometric mean of its shares of the read and the write optimum.

    `read_weight` ranges from 0 (only writes count) to 1 (only reads). Ties within `tolerance` go to a preferred
    setting, else to the first rung of the ladder, else to the cheapest. Only settings measured in both directions take
    part, and none that may be below the default in one of them; raise MeasurementError if there is none.
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
        raise MeasurementError("no setting was measured in both directions")
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
        # Settings that are the same program in both directions are one tie, as they are in each direction by itself.
        ties=len({(reads.of[each][1].point.setting, writes.of[each][1].point.setting) for each in tied}),
    )
