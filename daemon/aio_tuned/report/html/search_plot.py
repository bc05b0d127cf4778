"""The chart of which points were measured when, and how the uncertainty shrank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.report.html.figure import INK, LINE, SOFT, THEME, Sheet, dots, legend
from aio_tuned.search import estimate as search_estimate
from aio_tuned.search.taint import is_counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.measurement import Purpose
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.measurement_timeline import MeasurementTimeline
    from aio_tuned.report.replay import Replay

# A curve of 300 points takes some 30 ms.
_STEPS = 28
PURPOSES: tuple[tuple[Purpose, str], ...] = (
    ("pass", "every point once"),
    ("repeat", "repeated"),
    ("reference", "reference"),
    ("sustain", "written on"),
)
_WIDTH, _LEFT, _RIGHT = 1000, 78, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The knowledge at a time: how many points could still be the best, and the chosen one's figures, if any."""

    time_s: float
    candidates: int
    chosen: PointStats | None


def steps(replay: Replay, course: MeasurementTimeline, chosen: Setting | None) -> list[Step]:
    """Return the knowledge at some thirty times, each from the curve of the samples so far.

    A point could still be the best if it has not been measured, or if its interval overlaps that of the leader.
    """
    raced = [number for number, visit in enumerate(course.visits, start=1) if is_counted(visit.sample, replay.phase)]
    if not raced:
        return []
    ends = sorted({raced[round((len(raced) - 1) * step / _STEPS)] for step in range(_STEPS + 1)})
    found = []
    for end in ends:
        curve = search_estimate.curve(replay.phase, replay.samples[:end], smooth=False)
        if not curve.points:
            continue
        floor = max(point.low_bytes_per_s for point in curve.points)
        found.append(
            Step(
                time_s=course.visits[end - 1].end_s,
                candidates=len(replay.phase.points) - sum(point.high_bytes_per_s < floor for point in curve.points),
                chosen=next((point for point in curve.points if chosen in point.point.aliases), None),
            )
        )
    return found


def ranks(replay: Replay) -> dict[Setting, int]:
    """Return the rank of each setting's point among all, the fastest first."""
    ordered = sorted(replay.curve.points, key=lambda point: -point.bytes_per_s)
    return {setting: place for place, point in enumerate(ordered, start=1) for setting in point.point.aliases}


def _log_ticks(most: int) -> list[int]:
    return [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000) if tick <= max(most, 1)]


def draw(replay: Replay, course: MeasurementTimeline, known: Sequence[Step], name: str, label: str) -> Markup:
    """Return three panels over one time: the measured points, the candidates left, the chosen point's estimate."""
    sheet = Sheet(_WIDTH, 520)
    wide = _WIDTH - _LEFT - _RIGHT
    rank = ranks(replay)
    legend(
        sheet,
        _LEFT,
        12,
        [
            (said, THEME[purpose], purpose == "reference")
            for purpose, said in PURPOSES
            if any(each.request.purpose == purpose and each.request.setting in rank for each in replay.samples)
        ],
    )
    end_s = course.visits[-1].end_s
    most = max(len(replay.curve.points), 2)
    path = sheet.axes(_LEFT, 36, wide, 214)
    for purpose, _ in PURPOSES:
        places = [
            (visit.time_s, math.log10(rank[visit.sample.request.setting]))
            for visit in course.visits
            if visit.sample.request.purpose == purpose and visit.sample.request.setting in rank
        ]
        square = purpose == "reference"
        dots(path, places, THEME[purpose], 4 if purpose == "pass" else 3, square=square)
    path.set_ylim(math.log10(most) + 0.06, -0.08)
    ticks = _log_ticks(most)
    path.set_yticks([math.log10(tick) for tick in ticks], [f"{tick}" for tick in ticks])
    path.set_ylabel("rank at the end")

    left = sheet.axes(_LEFT, 274, wide, 80)
    times = [step.time_s for step in known]
    left.plot(times, [math.log10(step.candidates) for step in known], color=INK, linewidth=2, drawstyle="steps-post")
    left.set_ylim(-0.08, math.log10(max(2, *(step.candidates for step in known), 2)) + 0.1)
    ticks = [tick for tick in (1, 10, 100, 1000) if tick <= most * 1.1]
    left.set_yticks([math.log10(tick) for tick in ticks], [f"{tick}" for tick in ticks])
    left.set_ylabel("could be best")

    estimate = sheet.axes(_LEFT, 378, wide, 96)
    seen = [(step.time_s, step.chosen) for step in known if step.chosen is not None]
    if seen:
        times = [time_s for time_s, _ in seen]
        low = [point.low_bytes_per_s / 1e9 for _, point in seen]
        high = [point.high_bytes_per_s / 1e9 for _, point in seen]
        middle = [point.bytes_per_s / 1e9 for _, point in seen]
        estimate.fill_between(times, low, high, color=THEME["repeat"], alpha=0.25, linewidth=0)
        estimate.plot(times, middle, color=THEME["repeat"], linewidth=2)
        # Early estimates have wide intervals; the scale fits the later ones.
        late = max(1, len(seen) // 2)
        span = max(max(high[-late:]) - min(low[-late:]), middle[-1] * 0.02)
        estimate.set_ylim(middle[-1] - 1.5 * span, middle[-1] + 1.5 * span)
    estimate.set_ylabel("chosen, GB/s")
    estimate.set_xlabel("seconds of I/O", color=SOFT)
    for axes in (path, left, estimate):
        axes.set_xlim(0, end_s * 1.005)
        axes.grid(visible=True, color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.yaxis.set_label_coords(-0.058, 0.5)
        if axes is not estimate:
            axes.tick_params(labelbottom=False)
    return sheet.markup(name, label)
