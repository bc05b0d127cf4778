"""The requests in flight that an engine needs at a request size, from the curves of a profile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import formatting
from aio_tuned.errors import LatencyError, NoCurveError
from aio_tuned.model.size_curve import SizePoint
from aio_tuned.reader.types import RequestSettings, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp, SizeCurve
    from aio_tuned.reader.types import FoundProfile


class Picked(NamedTuple):
    """The point of a curve for a request size; `note` is a remark on a size that was not measured itself, or ""."""

    request_bytes: int
    in_flight: int
    throughput_bytes_per_s: int
    p50_us: float
    p99_us: float | None
    engine: Engine
    direction: CurveOp
    interpolated: bool
    note: str


def request_settings(
    found: FoundProfile, request_bytes: int, op: CurveOp, engine: Engine, max_p99_us: float | None
) -> RequestSettings:
    """Return the settings for a request size from a profile; errors are those of api.requests_for()."""
    curves = found.profile.curves
    curve = _find(curves, engine, op)
    if curve is None and curves:
        present = ", ".join(f"{each.engine} {each.op}" for each in curves)
        raise NoCurveError(f"{found.path}: no curve of request sizes for {engine} {op}; the profile has {present}")
    if curve is None:
        raise NoCurveError(
            f"{found.path}: no curves of request sizes; to measure them, run aio-tuned tune {found.disk.node}"
        )
    smallest, largest = curve.sizes[0], curve.sizes[-1]
    if not smallest <= request_bytes <= largest:
        raise NoCurveError(
            f"{found.path}: requests of {formatting.amount(request_bytes)} were not measured for {engine} {op}; give"
            f" {formatting.size(smallest)} to {formatting.size(largest)}"
        )
    picked = _pick_from(curve, request_bytes, max_p99_us)
    note = "; ".join(text for text in (found.note, picked.note) if text)
    source = Source(found.profile.state, str(found.path), found.profile.device.name, curve.name, note)
    return RequestSettings(*picked[:-1], source)


def pick(
    curves: Iterable[SizeCurve], request_bytes: int, op: CurveOp, engine: Engine, max_p99_us: float | None = None
) -> Picked | None:
    """Return the fewest requests in flight that saturate the drive; None if no curve is of that engine and operation.

    With a bound on the p99, return those with the most throughput whose p99 is known and within it. Between two
    measured sizes the figures are interpolated, outside of them they are those of the nearest size; the note says so.
    Raise LatencyError if no point is within the bound.
    """
    curve = _find(curves, engine, op)
    return _pick_from(curve, request_bytes, max_p99_us) if curve and curve.points else None


def _find(curves: Iterable[SizeCurve], engine: Engine, op: CurveOp) -> SizeCurve | None:
    return next((curve for curve in curves if (curve.engine, curve.op) == (engine, op)), None)


def _pick_from(curve: SizeCurve, request_bytes: int, max_p99_us: float | None) -> Picked:
    below, above = _neighbours(curve.sizes, request_bytes)
    low, high = (_best(curve, size, max_p99_us) for size in (below, above))
    note = ""
    if below != above:
        note = f"interpolated between {formatting.amount(below)} and {formatting.amount(above)}"
    elif below != request_bytes:
        which = "largest" if request_bytes > below else "smallest"
        note = f"measured with {formatting.amount(below)}, the {which} size of the curve"
    point = low if below == above else _between(low, high, request_bytes)
    return Picked(request_bytes, *point[1:5], curve.engine, curve.op, below != above, note)


def _neighbours(sizes: Sequence[int], request_bytes: int) -> tuple[int, int]:
    """Return the nearest measured sizes below and above, which are equal for a measured size and outside of them."""
    below = max((size for size in sizes if size <= request_bytes), default=sizes[0])
    above = min((size for size in sizes if size >= request_bytes), default=sizes[-1])
    return below, above


def _best(curve: SizeCurve, size: int, max_p99_us: float | None) -> SizePoint:
    """Return the point of a size that saturates it with the fewest requests, or the fastest one within the bound."""
    if max_p99_us is None:
        return curve.saturated(size)
    known = [(point.p99_us, point) for point in curve.of_size(size) if point.p99_us is not None]
    within = [point for p99_us, point in known if p99_us <= max_p99_us]
    if within:
        return max(within, key=lambda point: point.throughput_bytes_per_s)  # of equals the fewest in flight
    amount, bound = formatting.amount(size), formatting.latency(max_p99_us)
    if not known:
        raise LatencyError(
            f"{curve.engine} {curve.op} requests of {amount}: no p99 was measured, so none is within {bound}",
            None,
            None,
        )
    lowest_us, lowest = min(known)
    low = formatting.latency(lowest_us)
    raise LatencyError(
        f"{curve.engine} {curve.op} requests of {amount}: no p99 within {bound} was measured; the lowest is {low} with"
        f" {lowest.in_flight} in flight",
        lowest_us,
        lowest.in_flight,
    )


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
