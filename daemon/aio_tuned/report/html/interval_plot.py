"""The forest plot of the intervals of the settings that are as good as the best, and of the next ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report.html import prose
from aio_tuned.report.html.figure import INK, LINE, SOFT, THEME, Sheet, dots
from aio_tuned.search import choose

if TYPE_CHECKING:
    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.profile import Result
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.replay import Replay

_MAX_TIES, _NEXT = 20, 6
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1000, 290, 220, 24, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The settings of the plot: the ties, the cheapest first, then those `behind` them, the best first.

    `hidden` of the ties are left out.
    """

    chosen: PointStats | None
    ties: tuple[PointStats, ...]
    hidden: int
    behind: tuple[PointStats, ...]
    reference: PointStats | None


def field(replay: Replay, result: Result) -> Field:
    """Select the settings; the ties are the points with the highest lower bounds, as many as the profile says."""
    ranked = sorted(replay.curve.points, key=choose.surely, reverse=True)
    tied = sorted(ranked[: result.ties], key=lambda point: choose.cost(point.point.setting))
    chosen = next((point for point in tied if result.setting in point.point.aliases), None)
    if chosen is not None:  # listed first, even if a sibling's setting was preferred to a cheaper one
        tied = [chosen, *(point for point in tied if point is not chosen)]
    shown = {setting for point in (*tied, *ranked[result.ties :][:_NEXT]) for setting in point.point.aliases}
    reference = replay.curve.reference
    return Field(
        chosen=chosen,
        ties=tuple(tied[:_MAX_TIES]),
        hidden=max(0, len(tied) - _MAX_TIES),
        behind=tuple(ranked[result.ties :][:_NEXT]),
        reference=None if reference is None or reference.point.setting in shown else reference,
    )


def draw(drawn: Field, name: str, label: str) -> Markup:
    """Return the plot, with a row for each setting."""
    gap = 30
    rows: list[tuple[float, PointStats, Setting, str]] = []
    notes: list[tuple[float, str]] = []
    top = float(_TOP + _ROW / 2)

    def group(heading: str, points: tuple[PointStats, ...], colour: str) -> None:
        nonlocal top
        notes.append((top, heading))
        top += _ROW
        for point in points:
            rows.append((top, point, point.point.setting, THEME["repeat"] if point is drawn.chosen else colour))
            top += _ROW

    group("as good as the best, the cheapest first", drawn.ties, INK)
    if drawn.hidden:
        notes.append((top, f"and {drawn.hidden} more that are dearer"))
        top += _ROW
    if drawn.behind:
        top += gap - _ROW
        group("next", drawn.behind, SOFT)
    if drawn.reference is not None:
        top += gap - _ROW
        group("the default", (drawn.reference,), THEME["reference"])
    bottom = top - _ROW / 2
    sheet = Sheet(_WIDTH, bottom + 46)
    axes = sheet.axes(_LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, bottom - _TOP)
    axes.set_ylim(bottom, _TOP)
    for at, point, setting, colour in rows:
        is_chosen = point is drawn.chosen
        low, high = point.low_bytes_per_s / 1e9, point.high_bytes_per_s / 1e9
        axes.plot((low, high), (at, at), color=colour, linewidth=4 if is_chosen else 2)
        dots(axes, [(point.bytes_per_s / 1e9, at)], colour, 11 if is_chosen else 8, square=is_chosen)
        likely = point.likely_bytes_per_s / 1e9
        axes.plot((likely, likely), (at - 8, at + 8), color=colour, linewidth=1.5)
        weight = "bold" if is_chosen else "normal"
        sheet.write(_LEFT - 14, at, prose.setting(setting), ha="right", color=INK, weight=weight)
        said = f"{formatting.throughput(point.bytes_per_s)}, {point.visits} visit{'s' if point.visits > 1 else ''}"
        sheet.write(_WIDTH - _RIGHT + 14, at, f"{said}, chosen" if is_chosen else said, color=INK, weight=weight)
    for at, note in notes:
        sheet.write(0, at, note, color=SOFT)
    low = min(point.low_bytes_per_s for _, point, *_ in rows) / 1e9
    high = max(point.high_bytes_per_s for _, point, *_ in rows) / 1e9
    axes.set_xlim(low - (high - low) * 0.04, high + (high - low) * 0.04)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("GB/s", color=SOFT)
    return sheet.markup(name, label)
