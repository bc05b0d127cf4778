"""The requests in flight that an engine needs at a request size, from the curves of a profile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.errors import NoProfileError
from aio_tuned.model.size_curve import SATURATED_SHARE, SizePoint
from aio_tuned.reader.types import RequestSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp, SizeCurve


def pick(
    curves: Iterable[SizeCurve], request_bytes: int, op: CurveOp, engine: Engine, max_p99_us: float | None = None
) -> RequestSettings | None:
    """Return the fewest requests in flight that saturate the drive; None if no curve is of that engine and operation.

    With a bound on the p99, only points whose p99 is known and within it count. Between two measured sizes the figures
    are interpolated, outside of them they are those of the nearest size; the note says so. Raise NoProfileError if no
    point is within the bound.
    """
    curve = next((each for each in curves if (each.engine, each.op) == (engine, op)), None)
    if curve is None or not curve.points:
        return None
    below, above = _neighbours(curve.sizes, request_bytes)
    low, high = (_best(curve, size, max_p99_us) for size in (below, above))
    note = ""
    if below != above:
        note = f"interpolated between {formatting.amount(below)} and {formatting.amount(above)}"
    elif below != request_bytes:
        which = "largest" if request_bytes > below else "smallest"
        note = f"measured with {formatting.amount(below)}, the {which} size of the curve"
    point = low if below == above else _between(low, high, request_bytes)
    return RequestSettings(
        engine=engine,
        direction=op,
        request_bytes=request_bytes,
        in_flight=point.in_flight,
        throughput_bytes_per_s=point.throughput_bytes_per_s,
        p50_us=point.p50_us,
        p99_us=point.p99_us,
        note=note,
    )


def _neighbours(sizes: Sequence[int], request_bytes: int) -> tuple[int, int]:
    """Return the nearest measured sizes below and above, which are equal for a measured size and outside of them."""
    below = max((size for size in sizes if size <= request_bytes), default=sizes[0])
    above = min((size for size in sizes if size >= request_bytes), default=sizes[-1])
    return below, above


def _best(curve: SizeCurve, size: int, max_p99_us: float | None) -> SizePoint:
    """Return the point of a size with the fewest requests in flight that give 95 % of the best one within the bound."""
    if max_p99_us is None:
        return curve.saturated(size)
    known = [point for point in curve.of_size(size) if point.p99_us is not None]
    within = [point for point in known if point.p99_us is not None and point.p99_us <= max_p99_us]
    if not within:
        name = f"{curve.engine} {curve.op} requests of {formatting.amount(size)}"
        lowest = f"the lowest is {min(each.p99_us or 0 for each in known):.0f} us" if known else "none is known"
        raise NoProfileError(f"{name}: no p99 of {max_p99_us:.0f} us or less was measured; {lowest}")
    least = SATURATED_SHARE * max(point.share for point in within)
    return next(point for point in within if point.share >= least)


def _between(low: SizePoint, high: SizePoint, request_bytes: int) -> SizePoint:
    """Interpolate two points; all figures follow powers of the size, so their logarithms are interpolated."""
    part = math.log(request_bytes / low.request_bytes) / math.log(high.request_bytes / low.request_bytes)

    def at(first: float, second: float) -> float:
        return math.exp(math.log(first) * (1 - part) + math.log(second) * part)

    p99_us = None if low.p99_us is None or high.p99_us is None else at(low.p99_us, high.p99_us)
    return SizePoint(
        request_bytes=request_bytes,
        in_flight=math.ceil(at(low.in_flight, high.in_flight) - 1e-9),
        throughput_bytes_per_s=round(at(low.throughput_bytes_per_s, high.throughput_bytes_per_s)),
        p50_us=at(low.p50_us, high.p50_us),
        p99_us=p99_us,
        share=min(low.share, high.share),
    )
