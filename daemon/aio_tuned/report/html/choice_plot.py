"""The chart of the first screen: the chosen setting, its closest rivals and the default, in percent of the chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.report.html import prose
from aio_tuned.report.html.figure import GROUND, INK, LINE, SOFT, THEME, Sheet, dots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.interval_plot import Field
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.replay import Replay

# Beside the chosen setting and the default; more rows would not fit on the first screen.
_RIVALS = 2
_WIDTH, _MARGIN, _ROW, _HEAD = 440, 8, 35, 24

# Hides the lines of the grid behind words.
_PLAIN = {"facecolor": GROUND, "edgecolor": "none", "pad": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A setting with its measured figures, and whether it is the chosen one or the default."""

    setting: Setting
    stats: PointStats
    is_chosen: bool
    is_default: bool

    @property
    def beside(self) -> str:
        """The throughput, and what the setting is."""
        words = (
            formatting.throughput(self.stats.bytes_per_s),
            "chosen" if self.is_chosen else "",
            "default" if self.is_default else "",
        )
        return ", ".join(word for word in words if word)


def bars(field: Field, replay: Replay) -> tuple[Bar, ...]:
    """Return the chosen setting, its likeliest rivals and the default; nothing without the chosen setting's figures."""
    if field.chosen is None:
        return ()

    def bar(setting: Setting, stats: PointStats) -> Bar:
        is_default = DEFAULT_SETTING in stats.point.aliases
        return Bar(setting=setting, stats=stats, is_chosen=stats is chosen.stats, is_default=is_default)

    chosen = field.chosen
    rivals = [row for row in (*field.ties, *field.behind) if row is not chosen][:_RIVALS]
    found = [bar(row.setting, row.stats) for row in (chosen, *rivals)]
    default = replay.curve.reference
    if default is not None and not any(each.is_default for each in found):
        found.append(bar(default.point.setting, default))
    return tuple(found)


def draw(groups: Sequence[tuple[str, tuple[Bar, ...]]], name: str, label: str) -> Markup:
    """Return the chart of each direction's bars, with one axis in percent of the direction's chosen setting."""
    bottom = sum(_HEAD + _ROW * len(found) for _, found in groups)
    sheet = Sheet(_WIDTH, bottom + 42)
    axes = sheet.axes(_MARGIN, 0, _WIDTH - 2 * _MARGIN, bottom)
    axes.set_ylim(bottom, 0)
    ends, top = [0.0], 0.0
    for heading, found in groups:
        sheet.write(0, top + 14, heading, color=SOFT, weight="bold", bbox=_PLAIN)
        top += _HEAD
        level = found[0].stats.bytes_per_s
        for each in found:
            ends += _bar(axes, each, level, top + 25)
            weight = "bold" if each.is_chosen else "normal"
            sheet.write(0, top + 9, prose.setting(each.setting), color=INK, weight=weight, bbox=_PLAIN)
            sheet.write(_WIDTH, top + 9, each.beside, ha="right", color=INK, weight=weight, bbox=_PLAIN)
            top += _ROW
    low, high = min(ends), max(ends)
    around = max(high - low, 1.0) * 0.04
    axes.set_xlim(low - around, high + around)
    axes.axvline(0, color=SOFT, linewidth=1, zorder=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("% above or below the chosen setting", color=SOFT)
    return sheet.markup(name, label)


def _bar(axes: Axes, each: Bar, level: float, at: float) -> tuple[float, ...]:
    """Draw an interval with its mean, or a ring for a single measurement; return their ends in percent of the level."""
    colour = THEME["repeat"] if each.is_chosen else THEME["reference"] if each.is_default else INK
    middle, *ends = (
        (rate / level - 1) * 100
        for rate in (each.stats.bytes_per_s, each.stats.low_bytes_per_s, each.stats.high_bytes_per_s)
    )
    if each.stats.visits > 1:
        axes.plot(ends, (at, at), color=colour, linewidth=5 if each.is_chosen else 3, solid_capstyle="butt")
    dots(axes, [(middle, at)], colour, 11 if each.is_chosen else 9, square=each.is_chosen)
    if each.stats.visits > 1:
        return middle, *ends
    dots(axes, [(middle, at)], GROUND, 4)
    return (middle,)
