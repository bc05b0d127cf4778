"""The throughput of each measured point, for those who compare drives by more than their chosen setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.setting import Setting
    from aio_tuned.sweep.decided import Decided


class MeasuredPoint(NamedTuple):
    """A setting and its throughput in bytes per second, with the limits of the 95 % confidence interval."""

    setting: Setting
    bytes_per_s: float
    low_bytes_per_s: float
    high_bytes_per_s: float


def measured_points(found: Decided) -> tuple[MeasuredPoint, ...]:
    """Return the points of one direction, fastest first; the one that has the chosen setting under that setting.

    The deciding measurements compare the finalists only. The other points have their throughput in the pass, where the
    drive may have been faster or slower: it is scaled by that of the default, which both have measured.
    """
    finalists = {each.point.setting: each for each in found.curve.points}
    then, now = found.screen.reference, found.curve.reference
    scale = now.bytes_per_s / then.bytes_per_s if then and now else 1.0
    rest = (each for each in found.screen.points if each.point.setting not in finalists)
    points = [
        *(_point(each, found.choice.setting, 1.0) for each in finalists.values()),
        *(_point(each, found.choice.setting, scale) for each in rest),
    ]
    return tuple(sorted(points, key=lambda each: -each.bytes_per_s))


def _point(stats: PointStats, chosen: Setting, scale: float) -> MeasuredPoint:
    setting = chosen if chosen in stats.point.aliases else stats.point.setting
    figures = (stats.bytes_per_s, stats.low_bytes_per_s, stats.high_bytes_per_s)
    return MeasuredPoint(setting, *(figure * scale for figure in figures))
