"""Curves by request size, as a profile has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.model.size_curve import SizeCurve, SizePoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp


def curve(
    engine: Engine, op: CurveOp, in_flight: Mapping[int, int], rates: Mapping[int, int] | None = None
) -> SizeCurve:
    """Return a curve whose sizes are saturated by these numbers in flight, at 6 GB/s or these rates.

    Each size was measured with half and with double of its number, too.
    """
    points = []
    for size, number in in_flight.items():
        rate = (rates or {}).get(size, 6_000_000_000)
        if number > 1:
            points.append(SizePoint(size, number // 2, rate // 2, 400.0, 900.0, 0.5))
        points.append(SizePoint(size, number, int(rate * 0.97), 500.0, 1000.0, 0.97))
        points.append(SizePoint(size, 2 * number, rate, 1000.0, 2000.0, 1.0))
    return SizeCurve(engine=engine, op=op, points=tuple(points))
