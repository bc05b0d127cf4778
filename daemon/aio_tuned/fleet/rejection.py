"""Which sweeps of a class do not count, and how those that do differ: by grid, by throughput, by their best points."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet.report import DIRECTIONS
from aio_tuned.fleet.share_table import ShareTable
from aio_tuned.model.profile import SHARE_ONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.fleet.report import DirectionReport, DriveReport
    from aio_tuned.model.setting import Direction, Grid, Setting

# Two alike drives may differ by this share of their throughput, however little the others do.
MARGIN = 0.05
# The interval of a class contains those of its sweeps: with a wider one, a check would confirm it on any drive.
_MAX_WIDTH = 0.4
# Fewer reports tell that one of them is odd, but not which.
ENOUGH_TO_REJECT = 4
# A median absolute deviation of normally distributed values, times this, is their standard deviation.
_MAD_TO_DEVIATION = 1.4826
_DEVIATIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The sweeps that count, those that do not with the reasons, and how those that count differ, or ""."""

    accepted: tuple[DriveReport, ...]
    rejected: tuple[tuple[DriveReport, str], ...]
    disagreement: str


def judge(reports: Sequence[DriveReport]) -> Verdict:
    """Return which of a class's sweeps count.

    With four or more, one whose throughput is outside max(3 * 1.4826 * MAD, 5 %) of the median is rejected, be it too
    fast or too slow, one whose interval is wider than 40 %, and one that contradicts the others' best points. Those
    that count and still differ disagree.
    """
    accepted = list(reports)
    rejected: list[tuple[DriveReport, str]] = []
    if len(reports) >= ENOUGH_TO_REJECT:
        for find in (_odd_grids, _too_wide, _odd_speeds, _odd_points):
            why = {(each.node, each.drive): reason for each, reason in find(accepted)}
            rejected += [(each, why[each.node, each.drive]) for each in accepted if (each.node, each.drive) in why]
            accepted = [each for each in accepted if (each.node, each.drive) not in why]
    left = next(iter((*_odd_grids(accepted), *_too_wide(accepted), *_apart(accepted), *_odd_points(accepted))), None)
    return Verdict(
        accepted=tuple(accepted),
        rejected=tuple(rejected),
        disagreement=f"{left[0].node}: {left[1]}" if left else "",
    )


def parts_of(reports: Iterable[DriveReport], direction: Direction) -> list[tuple[DriveReport, DirectionReport]]:
    """Return the reports that have the direction, with their parts of it."""
    every = ((each, getattr(each, direction)) for each in reports)
    return [(each, part) for each, part in every if part]


def grid_values(grid: Grid) -> tuple[frozenset[int], ...]:
    """Return the values of each parameter, whatever their order in the configuration."""
    return tuple(frozenset(getattr(grid, key)) for key in SETTING_KEYS)


def _odd_grids(reports: Sequence[DriveReport]) -> list[tuple[DriveReport, str]]:
    """Return the reports whose grid is not that of most; all of them if no grid is."""
    counts = Counter(grid_values(each.grid) for each in reports)
    usual = next((grid for grid, count in counts.items() if 2 * count > len(reports)), None)
    return [(each, "measured another grid") for each in reports if grid_values(each.grid) != usual]


def _too_wide(reports: Sequence[DriveReport]) -> list[tuple[DriveReport, str]]:
    """Return the reports whose figures are too uncertain."""
    found = []
    for direction in DIRECTIONS:
        for each, part in parts_of(reports, direction):
            middle, low, high = part.rate
            if high - low > _MAX_WIDTH * middle:
                interval = f"{formatting.throughput(low)} to {formatting.throughput(high)}"
                found.append((each, f"{direction}: its interval, {interval}, is too wide to tell anything"))
    return found


def best_log(part: DirectionReport) -> float:
    """Return the logarithm of the throughput of the drive's best point, which the chosen one may be a little below."""
    return math.log(part.rate.bytes_per_s * SHARE_ONE / part.share_of(part.setting))


def _off_median(reports: Sequence[DriveReport], direction: Direction, *, widen: bool) -> list[tuple[DriveReport, str]]:
    """Return the reports that are further from the median than 5 %, or, widened, than the reports' own spread."""
    parts = parts_of(reports, direction)
    if not parts:
        return []
    logs = [best_log(part) for _, part in parts]
    middle = median(logs)
    spread = _DEVIATIONS * _MAD_TO_DEVIATION * median(abs(each - middle) for each in logs)
    limit = max(spread, MARGIN) if widen else MARGIN
    usual = f"the median of {len(parts)} sweeps, {formatting.throughput(math.exp(middle))}"
    return [
        (each, f"{direction}: {formatting.throughput(math.exp(log))}, {_apart_by(log - middle)} than {usual}")
        for (each, _), log in zip(parts, logs, strict=True)
        if abs(log - middle) > limit
    ]


def _apart_by(log: float) -> str:
    return f"{abs(math.expm1(log)) * 100:.1f} % {'faster' if log > 0 else 'slower'}"


def _odd_speeds(reports: Sequence[DriveReport]) -> list[tuple[DriveReport, str]]:
    return [odd for direction in DIRECTIONS for odd in _off_median(reports, direction, widen=True)]


def _apart(reports: Sequence[DriveReport]) -> list[tuple[DriveReport, str]]:
    return [odd for direction in DIRECTIONS for odd in _off_median(reports, direction, widen=False)]


def _odd_points(reports: Sequence[DriveReport]) -> list[tuple[DriveReport, str]]:
    """Return the reports that contradict most of the others about the points.

    The point that most drives like best must not be 5 % below the best of a report, and most of the others must have a
    report's own best point within 5 % of theirs.
    """
    found = []
    for direction in DIRECTIONS:
        parts = parts_of(reports, direction)
        if len(parts) < 2:  # noqa: PLR2004 - one report contradicts nobody
            continue
        table = ShareTable(part for _, part in parts)
        usual = table.shares(_usual_point(table))
        # A report's own share of its best point, which is the largest there is, is left out.
        there = {
            point: median(sorted(table.shares(point))[:-1]) for point in {part.best[0].setting for _, part in parts}
        }
        for (each, part), share in zip(parts, usual, strict=True):
            if min(share, there[part.best[0].setting]) < SHARE_ONE * (1 - MARGIN):
                found.append((each, f"{direction}: its best points are not those of the other sweeps"))
    return found


def _usual_point(table: ShareTable) -> Setting:
    """Return the point with the highest median share, which less than half of the reports cannot choose."""
    return max(table.listed, key=lambda point: (median(table.shares(point)), table.listed[point]))
