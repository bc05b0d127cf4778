"""The forest plot of the finalists' intervals: those that are probably as good as the best, then the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned import formatting
from aio_tuned.report.html import prose
from aio_tuned.report.html.figure import INK, LINE, SOFT, THEME, Sheet, dots

if TYPE_CHECKING:
    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.profile import Result
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.replay import Replay

# Without a race all points of the pass are candidates.
_MAX_TIES, _MAX_BEHIND = 24, 24
_TIE = 0.5
# The tolerance of sweeps whose profile does not have it.
_TOLERANCE_PERCENT = 2.0
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1000, 290, 290, 24, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting: its point's figures, its posterior mean, and its probability of being within the tolerance.

    `likely_bytes_per_s` is None for one that the posterior leaves out, as it cannot be the best.
    """

    setting: Setting
    stats: PointStats
    likely_bytes_per_s: float | None
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The settings of the plot, the likeliest best first, with the chosen one before all: the ties, then the others.

    Of the ties and of the others `hidden` are left out, and `reference` is the default if it is none of them.
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
    """Return a row for each point of the curve, the likeliest best first."""
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
    """Select the settings; a tie is as likely as not within the tolerance of the best."""
    percent = tolerance_percent(result)
    rows = _rows(replay, result.setting, percent / 100)
    chosen = next((row for row in rows if row.setting == result.setting), None)
    # Listed first, even if an earlier setting was kept although another is likelier to be the best.
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
    for at, row, colour in rows:
        is_chosen, point = row is drawn.chosen, row.stats
        low, high = point.low_bytes_per_s / 1e9, point.high_bytes_per_s / 1e9
        axes.plot((low, high), (at, at), color=colour, linewidth=4 if is_chosen else 2)
        dots(axes, [(point.bytes_per_s / 1e9, at)], colour, 11 if is_chosen else 8, square=is_chosen)
        if row.likely_bytes_per_s is not None:
            likely = row.likely_bytes_per_s / 1e9
            axes.plot((likely, likely), (at - 8, at + 8), color=colour, linewidth=1.5)
        weight = "bold" if is_chosen else "normal"
        sheet.write(_LEFT - 14, at, prose.setting(row.setting), ha="right", color=INK, weight=weight)
        sheet.write(_WIDTH - _RIGHT + 14, at, _beside(row, chosen=is_chosen), color=INK, weight=weight)
    for at, note in notes:
        sheet.write(0, at, note, color=SOFT)
    low = min(row.stats.low_bytes_per_s for _, row, _ in rows) / 1e9
    high = max(row.stats.high_bytes_per_s for _, row, _ in rows) / 1e9
    axes.set_xlim(low - (high - low) * 0.04, high + (high - low) * 0.04)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("GB/s", color=SOFT)
    return sheet.markup(name, label)


def _beside(row: Row, *, chosen: bool) -> str:
    visits = f"{row.stats.visits} visit{'s' if row.stats.visits > 1 else ''}"
    said = f"{formatting.throughput(row.stats.bytes_per_s)}, {visits}, {row.within:.0%}"
    return f"{said}, chosen" if chosen else said
