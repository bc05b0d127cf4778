"""The chart of throughput over time, relative to each setting's own, with the drive's temperature below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report.html.figure import GROUND, INK, LINE, SOFT, THEME, Sheet, dots, legend
from aio_tuned.report.html.search_plot import PURPOSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.measurement_timeline import MeasurementTimeline

_WIDTH, _LEFT, _RIGHT = 1000, 78, 16
# The panel covers this share of the measurements; stalls lie at its edge.
_SHOWN = 0.985
_MIN_PERCENT = 3.0
_MAX_PERCENT = 100.0


def _reach(course: MeasurementTimeline) -> float:
    """Return the percentage that the panel covers above and below 0."""
    away = sorted(abs(visit.relative - 1) * 100 for visit in course.visits if visit.relative is not None)
    swing = [abs(part - 1) * 100 for drift in course.drifts for _, part in drift]
    if not away:
        return _MIN_PERCENT
    most = max(away[int((len(away) - 1) * _SHOWN)], *swing, _MIN_PERCENT)
    return min(most * 1.15, _MAX_PERCENT)


def _bytes_above(axes: Axes, course: MeasurementTimeline, end_s: float) -> None:
    """Write the bytes written so far along the upper edge."""
    written = [(visit.end_s, visit.moved_bytes) for visit in course.visits]
    total = written[-1][1]
    upper = axes.twiny()
    upper.set_xlim(0, end_s)
    marks = [next(each for each in written if each[1] >= total * part / 5) for part in range(1, 6)]
    shown = [marks[0]]
    for mark in marks[1:]:
        if mark[0] - shown[-1][0] > end_s / 16:
            shown.append(mark)
    upper.set_xticks([time_s for time_s, _ in shown], [formatting.size(count) for _, count in shown])
    upper.tick_params(colors=SOFT, length=3)
    for each in (axes, upper):  # the lower axes would paint over the upper
        each.patch.set_visible(False)
    for side in ("left", "right", "bottom", "top"):
        upper.spines[side].set_visible(False)


def draw(course: MeasurementTimeline, name: str, label: str, *, written: bool) -> Markup:
    """Return the panels; with `written`, the bytes written so far are along the upper edge."""
    warm = [(visit.end_s, visit.sample.celsius) for visit in course.visits if visit.sample.celsius is not None]
    head = 60 if written else 40
    sheet = Sheet(_WIDTH, head + 280 + (110 if warm else 0))
    wide = _WIDTH - _LEFT - _RIGHT
    legend(
        sheet,
        _LEFT,
        12,
        [
            (said, THEME[purpose], purpose == "reference")
            for purpose, said in PURPOSES
            if any(visit.sample.request.purpose == purpose and visit.relative for visit in course.visits)
        ],
    )
    end_s = course.visits[-1].end_s * 1.005
    reach = _reach(course)
    low = -reach
    axes = sheet.axes(_LEFT, head, wide, 230)
    for purpose, _ in PURPOSES:
        places = [
            (visit.time_s, min(max((visit.relative - 1) * 100, low), reach))
            for visit in course.visits
            if visit.relative is not None and visit.sample.request.purpose == purpose
        ]
        dots(axes, places, THEME[purpose], 6 if purpose == "sustain" else 3.5, square=purpose == "reference")
    for drift in course.drifts:
        axes.plot(
            [time_s for time_s, _ in drift],
            [(part - 1) * 100 for _, part in drift],
            color=INK,
            linewidth=2,
        )
    axes.set_ylim(low * 1.04, reach * 1.04)
    axes.axhline(0, color=SOFT, linewidth=1)
    axes.set_ylabel("% off own setting")
    if written:
        sheet.write(_LEFT - 12, head - 14, "written", ha="right", color=SOFT)
        _bytes_above(axes, course, end_s)
    axes.set_xlim(0, end_s)
    _events(axes, course, reach)
    panels = [axes]
    if warm:
        panels.append(sheet.axes(_LEFT, head + 254, wide, 76))
        panels[1].plot(
            [time_s for time_s, _ in warm], [celsius for _, celsius in warm], color=THEME["reference"], linewidth=2
        )
        panels[1].set_ylabel("°C")
        panels[1].margins(y=0.2)
        axes.tick_params(labelbottom=False)
    panels[-1].set_xlabel("seconds of I/O", color=SOFT)
    for panel in panels:
        panel.set_xlim(0, end_s)
        panel.grid(visible=True, color=LINE, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.yaxis.set_label_coords(-0.058, 0.5)
    return sheet.markup(name, label)


def _label(axes: Axes, time_s: float, reach: float, words: str) -> None:
    """Write words beside a line, on a filled background, because dots may lie below them."""
    ground = {"facecolor": GROUND, "edgecolor": "none", "pad": 2}
    late = time_s > axes.get_xlim()[1] * 0.8
    axes.text(
        time_s,
        -reach * 0.93,
        f" {words} ",
        ha="right" if late else "left",
        va="center_baseline",
        size=11,
        color=INK,
        bbox=ground,
    )


def _events(axes: Axes, course: MeasurementTimeline, reach: float) -> None:
    """Draw lines at the start of the race, at pauses, and at lasting falls of the throughput."""
    if course.race_s is not None:
        axes.axvline(course.race_s, color=SOFT, linewidth=1)
    for pause in course.pauses:
        axes.axvline(pause.time_s, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        _label(axes, pause.time_s, reach, f"paused {formatting.duration(pause.seconds)}")
    for cliff_s in course.cliffs_s:
        axes.axvline(cliff_s, color=THEME["warn"], linewidth=2)
        _label(axes, cliff_s, reach, "lasting fall")
