"""The forest plot of the finalists' intervals: those probably within the tolerance of the best, then the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned import formatting
from aio_tuned.report.html import prose
from aio_tuned.report.html.figure import GROUND, INK, LINE, SOFT, THEME, Sheet, dots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.profile import Result
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.replay import Replay

# Without a race every setting of the pass is a candidate; these many are shown.
_MAX_TIES, _MAX_BEHIND = 24, 24
_TIE = 0.5
_GB, _MB = 1e9, 1e6
# Profiles of schema 1 have no tolerance.
_TOLERANCE_PERCENT = 2.0
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1040, 290, 330, 24, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting: its figures, its posterior mean, and its probability of being within the tolerance.

    `likely_bytes_per_s` is None for a setting that the posterior leaves out because it cannot be the best.
    """

    setting: Setting
    stats: PointStats
    likely_bytes_per_s: float | None
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The settings of the plot: the chosen setting, the other ties, then the rest, each by decreasing likelihood.

    `hidden` counts the settings that are left out. `reference` is the default if no row shows it.
    """

    chosen: Row | None
    ties: tuple[Row, ...]
    hidden: int
    behind: tuple[Row, ...]
    reference: Row | None
    tolerance_percent: float


def tolerance_percent(result: Result | None) -> float:
    """Return the tolerance of the sweep in percent."""
    known = result.tolerance_percent if result else None
    return _TOLERANCE_PERCENT if known is None else known


def _rows(replay: Replay, chosen: Setting, tolerance: float) -> list[Row]:
    """Return a row for each point of the curve, by decreasing likelihood of being the best."""
    known = replay.known
    within, expected = known.within(tolerance), known.expected()
    columns = {stats.point: column for column, stats in enumerate(known.points)}

    def row(stats: PointStats) -> tuple[float, Row]:
        setting = chosen if chosen in stats.point.aliases else stats.point.setting
        column = columns.get(stats.point)
        if column is None:
            return 1.0, Row(setting=setting, stats=stats, likely_bytes_per_s=None, within=0.0)
        likely, near = float(np.exp(known.mean[column])), float(within[column])
        return float(expected[column]), Row(setting=setting, stats=stats, likely_bytes_per_s=likely, within=near)

    found = [row(stats) for stats in replay.curve.points]
    return [each for _, each in sorted(found, key=lambda pair: (pair[0], -pair[1].stats.bytes_per_s))]


def field(replay: Replay, result: Result) -> Field:
    """Select the settings; a tie is within the tolerance of the best with a probability of 50 % or more."""
    percent = tolerance_percent(result)
    rows = _rows(replay, result.setting, percent / 100)
    chosen = next((row for row in rows if row.setting == result.setting), None)
    # The chosen setting comes first, also where an earlier one was kept although another is likelier to be the best.
    rows.sort(key=lambda row: row is not chosen)
    ties = [row for row in rows if row.within >= _TIE]
    behind = [row for row in rows if row.within < _TIE]
    shown = (*ties[:_MAX_TIES], *behind[:_MAX_BEHIND])
    default = replay.curve.reference
    is_shown = default is None or any(default.point.setting in row.stats.point.aliases for row in shown)
    return Field(
        chosen=chosen,
        ties=tuple(ties[:_MAX_TIES]),
        hidden=len(rows) - len(shown),
        behind=tuple(behind[:_MAX_BEHIND]),
        reference=None
        if default is None or is_shown
        else Row(setting=default.point.setting, stats=default, likely_bytes_per_s=None, within=0.0),
        tolerance_percent=percent,
    )


def draw(drawn: Field, name: str, label: str) -> Markup:
    """Return the plot, with a row for each setting."""
    gap = 30
    rows: list[tuple[float, Row, str]] = []
    notes: list[tuple[float, str]] = []
    top = float(_TOP + _ROW / 2)

    def group(heading: str, found: tuple[Row, ...], colour: str) -> None:
        nonlocal top
        if not found:
            return
        if notes:
            top += gap - _ROW
        notes.append((top, heading))
        top += _ROW
        for row in found:
            rows.append((top, row, THEME["repeat"] if row is drawn.chosen else colour))
            top += _ROW

    within = f"within {drawn.tolerance_percent:g} % of the best"
    group(f"probably {within}", drawn.ties, INK)
    group(f"probably not {within}", drawn.behind, SOFT)
    if drawn.hidden:
        notes.append((top, f"and {drawn.hidden} more"))
        top += _ROW
    group("the default", (drawn.reference,) if drawn.reference else (), THEME["reference"])
    bottom = top - _ROW / 2
    sheet = Sheet(_WIDTH, bottom + 46)
    axes = sheet.axes(_LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, bottom - _TOP)
    axes.set_ylim(bottom, _TOP)
    unit = _GB if max(row.stats.bytes_per_s for _, row, _ in rows) >= _GB else _MB
    for at, row, colour in rows:
        is_chosen = row is drawn.chosen
        _interval(axes, row, at, unit, colour, chosen=is_chosen)
        weight = "bold" if is_chosen else "normal"
        sheet.write(_LEFT - 14, at, prose.setting(row.setting), ha="right", color=INK, weight=weight)
        sheet.write(_WIDTH - _RIGHT + 14, at, _beside(row, chosen=is_chosen), color=INK, weight=weight)
    for at, note in notes:
        sheet.write(0, at, note, color=SOFT)
    low, high = (end / unit for end in _ends([row for _, row, _ in rows]))
    around = max((high - low) * 0.04, high * 0.001)
    axes.set_xlim(low - around, high + around)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("GB/s" if unit == _GB else "MB/s", color=SOFT)
    return sheet.markup(name, label)


def _interval(axes: Axes, row: Row, at: float, unit: float, colour: str, *, chosen: bool) -> None:
    """Draw a row's interval with the measured throughput, or a ring for a single measurement, and its estimate."""
    point = row.stats
    measured = [(point.bytes_per_s / unit, at)]
    if point.visits > 1:
        ends = (point.low_bytes_per_s / unit, point.high_bytes_per_s / unit)
        axes.plot(ends, (at, at), color=colour, linewidth=4 if chosen else 2)
    dots(axes, measured, colour, 11 if chosen else 8, square=chosen)
    if point.visits == 1:
        dots(axes, measured, GROUND, 4)
    if row.likely_bytes_per_s is not None:
        likely = row.likely_bytes_per_s / unit
        axes.plot((likely, likely), (at - 8, at + 8), color=colour, linewidth=1.5)


def _ends(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the lowest and the highest throughput that the plot shows, in bytes/s."""
    found = [row.likely_bytes_per_s for row in rows if row.likely_bytes_per_s is not None]
    for row in rows:
        once = row.stats.visits == 1
        found += [row.stats.bytes_per_s] if once else [row.stats.low_bytes_per_s, row.stats.high_bytes_per_s]
    return min(found), max(found)


def _beside(row: Row, *, chosen: bool) -> str:
    measured = prose.count(row.stats.visits, "measurement")
    said = f"{formatting.throughput(row.stats.bytes_per_s)}, {measured}, {row.within:.0%}"
    return f"{said}, chosen" if chosen else said
