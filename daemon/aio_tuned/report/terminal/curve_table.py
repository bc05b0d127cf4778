"""One table of the curves of reads and writes, in 80 columns: for each request size what saturates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.size_curve import SizeCurve

TITLE = "requests of one size: how many in flight give 95 % of the most, and GB/s then"


def _cell(curve: SizeCurve, size: int) -> str:
    if size not in curve.sizes:
        return "-"
    point = curve.saturated(size)
    return f"{point.in_flight:>3} {point.throughput_bytes_per_s / 1e9:6.2f}"


def table(profile: Profile) -> list[tuple[str, ...]]:
    """Return the head and a row for each size; [] without curves. Mixes of reads and writes are left out."""
    curves = [curve for curve in profile.curves if curve.op != "mixed"]
    sizes = sorted({size for curve in curves for size in curve.sizes})
    if not sizes:
        return []
    head = ("size", *(f"{curve.engine} {curve.op}" for curve in curves))
    return [head, *((formatting.size(size), *(_cell(curve, size) for curve in curves)) for size in sizes)]
