"""The chart of the order of the measurements, and of the growing confidence in the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.report.html.figure import INK, LINE, SOFT, THEME, Sheet, dots, legend
from aio_tuned.search import estimate
from aio_tuned.search.posterior import posterior
from aio_tuned.search.taint import is_counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.curve import Curve
    from aio_tuned.model.measurement import Purpose
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.markup import Markup
    from aio_tuned.report.measurement_timeline import MeasurementTimeline, Visit
    from aio_tuned.report.replay import Replay

# A posterior of 24 finalists takes about 10 ms, one of all settings of a pass 0.3 s.
_STEPS = 28
_FEW_STEPS = 6
# A setting may be the best above this probability, which is that of search/choose.py.
RIVAL = 0.005
PURPOSES: tuple[tuple[Purpose, str], ...] = (
    ("pass", "every setting once"),
    ("repeat", "finalists"),
    ("reference", "default"),
    ("sustain", "sustained writes"),
)
_WIDTH, _LEFT, _RIGHT = 1000, 78, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The knowledge at one time: how many settings may be the best, and the bound on the chosen one's shortfall.

    `regret95` is a share, with 95 % confidence. It is None until every finalist has been measured, and where the
    posterior leaves the chosen setting out.
    """

    time_s: float
    candidates: int
    regret95: float | None


def steps(replay: Replay, course: MeasurementTimeline, chosen: Setting | None) -> list[Step]:
    """Return the knowledge at up to 29 times of the deciding phase, each from the samples until then.

    A setting that is not yet measured may be the best.
    """
    counted = [visit for visit in course.visits if is_counted(visit.sample, replay.phase)]
    if not counted:
        return []
    many = _STEPS if replay.phase.stage == "race" else _FEW_STEPS
    found = []
    for place in sorted({round((len(counted) - 1) * step / many) for step in range(many + 1)}):
        visit = counted[place]
        curve = estimate.curve(replay.phase, replay.samples[: visit.number])
        known = posterior(replay.phase, curve, () if chosen is None else (chosen,))
        if known is None:
            continue
        complete = len(curve.points) >= len(replay.curve.points)
        own = known.place(chosen) if complete and chosen is not None else None
        found.append(
            Step(
                time_s=visit.end_s,
                candidates=len(replay.phase.points)
                - len(curve.points)
                + sum(chance > RIVAL for chance in known.best_chances().tolist()),
                regret95=None if own is None else known.quantile(own),
            )
        )
    return found


def ranks(curve: Curve) -> dict[Setting, int]:
    """Return the rank of each setting among all of the curve; 1 is the fastest."""
    ordered = sorted(curve.points, key=lambda point: -point.bytes_per_s)
    return {setting: place for place, point in enumerate(ordered, start=1) for setting in point.point.aliases}


def _ranked(replay: Replay, course: MeasurementTimeline) -> list[tuple[Visit, int]]:
    """Return the measurements with the final rank of their setting among the settings of their phase."""
    found = []
    for phase, curve in replay.stages:
        rank = ranks(curve)
        found += [
            (visit, rank[visit.sample.request.setting])
            for visit in course.visits
            if is_counted(visit.sample, phase) and visit.sample.request.setting in rank
        ]
    return found


def _log_ticks(most: int) -> list[int]:
    return [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000) if tick <= max(most, 1)]


def draw(
    replay: Replay, course: MeasurementTimeline, known: Sequence[Step], tolerance_percent: float, name: str, label: str
) -> Markup:
    """Return three panels over time: the measurements by rank, the candidates, and the chosen setting's shortfall."""
    sheet = Sheet(_WIDTH, 520)
    wide = _WIDTH - _LEFT - _RIGHT
    ranked = _ranked(replay, course)
    legend(
        sheet,
        _LEFT,
        12,
        [
            (said, THEME[purpose], purpose == "reference")
            for purpose, said in PURPOSES
            if any(visit.sample.request.purpose == purpose for visit, _ in ranked)
        ],
    )
    end_s = course.visits[-1].end_s
    most = max((rank for _, rank in ranked), default=2)
    path = sheet.axes(_LEFT, 36, wide, 214)
    for purpose, _ in PURPOSES:
        places = [(visit.time_s, math.log10(rank)) for visit, rank in ranked if visit.sample.request.purpose == purpose]
        square = purpose == "reference"
        dots(path, places, THEME[purpose], 4 if purpose == "pass" else 3, square=square)
    path.set_ylim(math.log10(max(most, 2)) + 0.06, -0.08)
    ticks = _log_ticks(most)
    path.set_yticks([math.log10(tick) for tick in ticks], [f"{tick}" for tick in ticks])
    path.set_ylabel("final rank")

    left = sheet.axes(_LEFT, 274, wide, 80)
    times = [step.time_s for step in known]
    left.plot(times, [step.candidates for step in known], color=INK, linewidth=2, drawstyle="steps-post")
    left.set_ylim(0, max(2, *(step.candidates for step in known), 2) * 1.1)
    left.set_ylabel("may be best")

    short = sheet.axes(_LEFT, 378, wide, 96)
    seen = [(step.time_s, step.regret95 * 100) for step in known if step.regret95 is not None]
    short.axhline(tolerance_percent, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    if seen:
        short.plot([time_s for time_s, _ in seen], [below for _, below in seen], color=THEME["repeat"], linewidth=2)
    # Early bounds are wide; the scale fits the later ones.
    late = [below for _, below in seen[len(seen) // 2 :]]
    short.set_ylim(0, 1.2 * max(2 * tolerance_percent, *late, 0.0))
    short.set_ylabel("% below best")
    short.set_xlabel("seconds of I/O", color=SOFT)
    for axes in (path, left, short):
        if course.race_s is not None:
            axes.axvline(course.race_s, color=SOFT, linewidth=1)
        axes.set_xlim(0, end_s * 1.005)
        axes.grid(visible=True, color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.yaxis.set_label_coords(-0.058, 0.5)
        if axes is not short:
            axes.tick_params(labelbottom=False)
    return sheet.markup(name, label)
