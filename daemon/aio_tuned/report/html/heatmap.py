"""Heat maps of block size by queue depth, one for each thread count and each mode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import Result
from aio_tuned.model.setting import Setting
from aio_tuned.report.html import prose
from aio_tuned.report.html.figure import GROUND, INK, LINE, SOFT, Sheet, wide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.axes import Axes

    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.profile import Profile
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.replay import Replay

_CELL_W, _CELL_H, _GAP, _LEFT, _TOP = 38, 24, 14, 78, 92
_MIN_W = 700
# The words beside a panel need this height.
_MIN_PANEL_H = 68
_BAR_STEPS = 48
_IDENTICAL = "identical I/O to another setting"
# viridis is perceptually uniform and safe for colour-blind readers; ratios need a diverging map.
_VIRIDIS, _AROUND_ONE = "viridis", "PuOr"
_MIN_SWING = 0.02
# A smaller difference is shown as 0 %.
_SMALLEST_SHOWN = 0.005
# Pixels between the lines of a hatch, along the horizontal.
_HATCH = 9
# The scale covers this share of the ratios, so that single outliers do not stretch it.
_SHOWN = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One setting: its value, its text and its tip, and whether it performs the same I/O as another setting."""

    value: float
    words: str
    tip: str
    same: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """The cells of the settings; settings that were planned but not measured are not in `cells`."""

    cells: dict[Setting, Cell]
    chosen: Setting | None
    reference: Setting | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The range of the colours, the words at its ends, and the colour map."""

    low: float
    high: float
    low_words: str
    high_words: str
    colours: str = _VIRIDIS

    def share(self, value: float) -> float:
        """Return the value's position between the ends, from 0 to 1."""
        return min(max((value - self.low) / max(self.high - self.low, 1e-12), 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One small map: its upper left corner, its axes' values, and a setting with what all of its cells share."""

    left: float
    top: float
    blocks: tuple[int, ...]
    depths: tuple[int, ...]
    of: Setting


def _figure(bytes_per_s: float, top: float) -> str:
    return f"{bytes_per_s / 1e9:.2f}" if top >= 1e9 else f"{bytes_per_s / 1e6:.0f}"  # noqa: PLR2004 - a unit


def scale(replays: Iterable[Replay]) -> Scale:
    """Return one scale for every setting that the replays have measured.

    The slowest tenth shares one colour, which leaves more of the range for the rest.
    """
    rates = sorted(point.bytes_per_s for each in replays for point in each.screen.points)
    low, high = rates[len(rates) // 10], rates[-1]
    below = " and below" if low > rates[0] else ""
    return Scale(
        low=low, high=high, low_words=f"{formatting.throughput(low)}{below}", high_words=formatting.throughput(high)
    )


def chosen(profile: Profile, direction: str) -> Setting | None:
    """Return the profile's setting for the direction; None if none was measured."""
    part = getattr(profile, direction)
    return part.setting if isinstance(part, Result) else None


def _tip(setting: Setting, point: PointStats) -> str:
    rate = point.bytes_per_s
    limits = formatting.throughput_range(point.low_bytes_per_s, point.high_bytes_per_s, rate)
    known = prose.ONE_MEASUREMENT if point.visits == 1 else f"{limits}, {prose.count(point.visits, 'measurement')}"
    said = f"{prose.setting(setting)}: {formatting.throughput(rate)}, {known}"
    return said if setting == point.point.setting else f"{said}; identical I/O to {prose.setting(point.point.setting)}"


def throughput(replay: Replay, profile: Profile, top: float) -> Map:
    """Return the map of a direction's throughputs in its pass; `top`, the scale's upper end, determines the unit."""
    cells = {
        setting: Cell(
            value=point.bytes_per_s,
            words=_figure(point.bytes_per_s, top),
            tip=_tip(setting, point),
            same=setting != point.point.setting,
        )
        for point in replay.screen.points
        for setting in point.point.aliases
    }
    return Map(cells=cells, chosen=chosen(profile, replay.direction), reference=replay.screened.reference.setting)


def _apart(first: PointStats, second: PointStats) -> str:
    """Return whether the intervals overlap; a single measurement has none."""
    if 1 in {first.visits, second.visits}:
        both = "each" if first.visits == second.visits else f"in {'A' if first.visits == 1 else 'B'}"
        return f"; {prose.ONE_MEASUREMENT} {both}"
    highest_low = max(first.low_bytes_per_s, second.low_bytes_per_s)
    apart = highest_low > min(first.high_bytes_per_s, second.high_bytes_per_s)
    return "; the intervals do not overlap" if apart else "; the intervals overlap"


def ratio(first: Replay, second: Replay) -> tuple[Map, Scale]:
    """Return the map of the second's throughputs over the first's, where both were measured, and its scale."""
    before = {setting: point for point in first.screen.points for setting in point.point.aliases}
    cells = {}
    for point in second.screen.points:
        for setting in point.point.aliases:
            if (other := before.get(setting)) is not None:
                value = point.bytes_per_s / other.bytes_per_s
                cells[setting] = Cell(
                    value=value,
                    words="0" if abs(value - 1) < _SMALLEST_SHOWN else f"{(value - 1) * 100:+.0f}",
                    tip=f"{prose.setting(setting)}: {formatting.throughput(other.bytes_per_s)} and"
                    f" {formatting.throughput(point.bytes_per_s)}{_apart(other, point)}",
                    same=setting not in {point.point.setting, other.point.setting},
                )
    swings = sorted(abs(cell.value - 1) for cell in cells.values())
    swing = min(max(swings[int((len(swings) - 1) * _SHOWN)] if swings else 0.0, _MIN_SWING), 1.0)
    ends = Scale(
        low=1 - swing,
        high=1 + swing,
        low_words=f"-{swing:.0%} and below",
        high_words=f"+{swing:.0%} and above",
        colours=_AROUND_ONE,
    )
    return Map(cells=cells, chosen=None, reference=None), ends


def settings(replays: Iterable[Replay]) -> list[Setting]:
    """Return all settings of these plans."""
    return list(dict.fromkeys(each for one in replays for point in one.screened.points for each in point.aliases))


def _readable(colour: tuple[float, float, float, float]) -> str:
    """Return black or white, whichever has the larger contrast (WCAG's relative luminance)."""
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]  # noqa: PLR2004
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


class _Painter:
    """The drawing functions for one sheet."""

    def __init__(self, sheet: Sheet, ends: Scale) -> None:
        import matplotlib as mpl

        self.sheet, self.ends = sheet, ends
        self.axes: Axes = sheet.canvas()
        self.colours = mpl.colormaps[ends.colours]

    def box(self, left: float, top: float, size: tuple[float, float], **how: object) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((left, top), *size, **{"linewidth": 0, **how}))  # type: ignore[arg-type]

    def cell(self, left: float, top: float, cell: Cell | None) -> None:
        size = (_CELL_W - 2, _CELL_H - 2)
        if cell is None:
            self.box(left + 1, top + 1, size, facecolor="none", edgecolor=LINE, linewidth=1)
            return
        colour = self.colours(self.ends.share(cell.value))
        over = _readable(colour)
        self.box(left + 1, top + 1, size, facecolor=colour, gid=self.sheet.tip(cell.tip))
        if cell.same:
            self.hatch(left + 1, top + 1, size, over, self.sheet.tip(cell.tip))
        else:
            place = (left + _CELL_W / 2, top + _CELL_H / 2 + 4)
            self.axes.text(*place, cell.words, color=over, ha="center", size=11).set_gid(self.sheet.tip(cell.tip))

    def hatch(self, left: float, top: float, size: tuple[float, float], colour: str, gid: str | None = None) -> None:
        """Draw diagonal lines over a box.

        matplotlib's hatches are SVG patterns, which a browser prints as an image for each cell: a PDF of 29 MB.
        """
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path as Outline

        width, height = size
        ends: list[tuple[float, float]] = []
        for across in range(_HATCH // 2, int(width + height), _HATCH):
            low = (left + min(across, width), top + max(0.0, across - width))
            ends += [low, (left + max(0.0, across - height), top + min(across, height))]
        outline = Outline(ends, [Outline.MOVETO, Outline.LINETO] * (len(ends) // 2))
        self.axes.add_patch(PathPatch(outline, fill=False, edgecolor=colour, linewidth=0.8, gid=gid))

    def mark(self, left: float, top: float, *, dashed: bool) -> None:
        """Draw a frame around a cell, with an edge in the background's colour, which separates it from any cell."""
        size = (_CELL_W, _CELL_H)
        self.box(left, top, size, fill=False, edgecolor=GROUND, linewidth=5)
        style: dict[str, object] = {"linestyle": (0, (3, 2)), "linewidth": 2} if dashed else {"linewidth": 3}
        self.box(left, top, size, fill=False, edgecolor=INK, **style)

    def key(self, marks: Map, every: Sequence[Setting]) -> None:
        """Draw the scale of the colours, and the meaning of the frames and hatches."""
        left = float(_LEFT)
        self.sheet.write(left, 14, self.ends.low_words)
        left += wide(self.ends.low_words) + 14
        for step in range(_BAR_STEPS):
            self.box(left + 4 * step, 6, (4.5, 16), facecolor=self.colours(step / (_BAR_STEPS - 1)))
        self.sheet.write(left + 4 * _BAR_STEPS + 10, 14, self.ends.high_words)
        left = float(_LEFT)
        for said, how in _entries(marks, every):
            self.box(left, 36, (26, 14), **how)
            if said == _IDENTICAL:
                self.hatch(left, 36, (26, 14), SOFT)
            self.sheet.write(left + 34, 43, said)
            left += 34 + wide(said) + 20

    def panel(self, drawn: Map, panel: Panel) -> None:
        """Draw one small map, and its frames over it."""
        marked = []
        for (line, block), (place, depth) in product(enumerate(panel.blocks), enumerate(panel.depths)):
            setting = replace(panel.of, block_size=block, queue_depth=depth)
            corner = (panel.left + place * _CELL_W, panel.top + line * _CELL_H)
            self.cell(*corner, drawn.cells.get(setting))
            if setting in {drawn.reference, drawn.chosen}:
                marked.append((setting == drawn.chosen, corner))
        for is_chosen, corner in sorted(marked):
            self.mark(*corner, dashed=not is_chosen)

    def beside(self, panel: Panel, height: float) -> None:
        """Write the labels of the rows: the block sizes and the mode."""
        for line, block in enumerate(panel.blocks):
            place = panel.top + (line + 0.5) * _CELL_H
            self.sheet.write(panel.left - 8, place, formatting.size(block), ha="right", color=SOFT)
        # Some versions of matplotlib split a text of several lines into several elements.
        for part, said in enumerate(prose.mode(panel.of).split(", ")):
            self.sheet.write(8 + 15 * part, panel.top + height / 2, said, rotation=90, ha="center", va="center")


def _entries(marks: Map, every: Sequence[Setting]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the frames and hatches on the map: their words, and how they look."""
    if marks.chosen in every:
        said = "chosen, the default" if marks.chosen == marks.reference else "chosen"
        yield said, {"fill": False, "edgecolor": INK, "linewidth": 3}
    if marks.reference in every and marks.reference != marks.chosen:
        yield "default", {"fill": False, "edgecolor": INK, "linewidth": 2, "linestyle": (0, (3, 2))}
    if any(cell.same for cell in marks.cells.values()):
        yield _IDENTICAL, {"facecolor": "none", "edgecolor": SOFT, "linewidth": 1}
    if any(each not in marks.cells for each in every):
        yield "not measured", {"facecolor": "none", "edgecolor": LINE, "linewidth": 1}


def draw(drawn: Map, every: Sequence[Setting], ends: Scale, name: str, label: str) -> Markup:
    """Return the chart of a map, over all values of the settings `every`."""
    blocks = tuple(sorted({each.block_size for each in every}))
    depths = tuple(sorted({each.queue_depth for each in every}))
    threads = sorted({each.io_parallelism for each in every})
    modes = sorted({(each.overlap_events, each.single_submit) for each in every}, key=lambda way: (not way[0], way[1]))
    panel_w, panel_h = len(depths) * _CELL_W, len(blocks) * _CELL_H
    pitch = max(panel_h, _MIN_PANEL_H) + _GAP
    width = max(_LEFT + len(threads) * (panel_w + _GAP) - _GAP + 6, _MIN_W)
    bottom = _TOP + (len(modes) - 1) * pitch + panel_h
    sheet = Sheet(width, max(bottom, _TOP + len(modes) * pitch - _GAP) + 48)
    painter = _Painter(sheet, ends)
    grid = []
    for (row, (overlap, single)), (column, count) in product(enumerate(modes), enumerate(threads)):
        panel = Panel(
            left=_LEFT + column * (panel_w + _GAP),
            top=_TOP + row * pitch,
            blocks=blocks,
            depths=depths,
            of=Setting(
                block_size=blocks[0],
                queue_depth=depths[0],
                io_parallelism=count,
                overlap_events=overlap,
                single_submit=single,
            ),
        )
        grid += [replace(panel.of, block_size=block, queue_depth=depth) for block in blocks for depth in depths]
        painter.panel(drawn, panel)
        if row == 0:
            said = "1 thread" if count == 1 else f"{count} threads"
            sheet.write(panel.left + panel_w / 2, _TOP - 14, said, ha="center", weight="bold")
        if column == 0:
            painter.beside(panel, panel_h)
    for column, (place, depth) in product(range(len(threads)), enumerate(depths)):
        middle = _LEFT + column * (panel_w + _GAP) + (place + 0.5) * _CELL_W
        sheet.write(middle, bottom + 12, f"{depth}", ha="center", color=SOFT)
    painter.key(drawn, grid)
    sheet.write(_LEFT, bottom + 38, "requests in flight per thread (queue depth)", color=SOFT)
    return sheet.markup(name, label)
