"""The sections of a profile on request sizes, one for each engine and direction, and on several processes at once."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.config.parsing import block_size
from aio_tuned.errors import ProfileError
from aio_tuned.model.measurement import Engine
from aio_tuned.model.profile import Concurrency
from aio_tuned.model.setting import Direction
from aio_tuned.model.size_curve import CurveOp, SizeCurve, SizePoint
from aio_tuned.profiles.values import fill, parse_value, plain, section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Consumers allocate memory by these numbers, and each reader reads all points: a curve has 11 sizes and 9 numbers of
# requests in flight at most as configured by default.
_MAX_IN_FLIGHT = 4096
_MAX_POINTS = 2048
_MAX_PROCESSES = 4096
_MAX_ROWS = 64
# The deepest queue on the most threads that a setting may have.
_MAX_DIVISOR = 4096 * 64

_COLUMNS: Mapping[str, Any] = {
    name: tuple[float, ...] if name in ("p50_us", "p99_us", "share") else tuple[int, ...] for name in SizePoint._fields
}
_KNOWN: Mapping[str, tuple[Engine, CurveOp]] = {
    SizeCurve(engine=engine, op=op, points=()).name: (engine, op)
    for engine in get_args(Engine)
    for op in get_args(CurveOp)
}
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_FIGURES = ("throughput_bytes_per_s", "p99_us", "slowest_share", "divisor")


def curve_table(curve: SizeCurve) -> dict[str, Any]:
    """Return the curve's section, with an array for each column; an unknown p99 is 0."""
    columns = zip(*(point._replace(p99_us=point.p99_us or 0.0) for point in curve.points), strict=True)
    return {
        column: plain(values, f"{curve.name}.{column}")
        for column, values in zip(SizePoint._fields, columns, strict=True)
    }


def curves(document: Mapping[str, object]) -> tuple[SizeCurve, ...]:
    """Return the curves of a document in its order; raise ProfileError if one is invalid.

    Curves of other engines are ignored, since a later version may have written them.
    """
    return tuple(
        SizeCurve(engine=_KNOWN[name][0], op=_KNOWN[name][1], points=_points(section(document, name), name))
        for name in document
        if name in _KNOWN
    )


def _points(table: Mapping[str, object], name: str) -> tuple[SizePoint, ...]:
    """Return the points of a curve, which readers look up by size and by requests in flight."""
    columns = [parse_value(kind, _of(table, column, name), f"{name}.{column}") for column, kind in _COLUMNS.items()]
    if len({len(column) for column in columns}) != 1 or not columns[0]:
        raise ProfileError(f"[{name}] has arrays of different lengths, or empty ones")
    if len(columns[0]) > _MAX_POINTS:
        raise ProfileError(f"[{name}] has {len(columns[0])} points, more than {_MAX_POINTS}")
    points = tuple(SizePoint(*row)._replace(p99_us=row[4] or None) for row in zip(*columns, strict=True))
    best: dict[int, float] = {}
    for point in points:
        best[point.request_bytes] = max(point.share, best.get(point.request_bytes, 0.0))
    if (
        not all(map(_is_possible, points))
        or not _ascend([(point.request_bytes, point.in_flight) for point in points])
        or set(best.values()) != {1.0}
    ):
        raise ProfileError(f"[{name}] has impossible figures")
    return points


def _of(table: Mapping[str, object], key: str, name: str) -> object:
    if key not in table:
        raise ProfileError(f"{name}.{key} is missing")
    return table[key]


def _is_possible(point: SizePoint) -> bool:
    try:
        block_size(point.request_bytes)
    except ValueError:
        return False
    return (
        1 <= point.in_flight <= _MAX_IN_FLIGHT
        and point.throughput_bytes_per_s > 0
        and point.p50_us > 0
        and (point.p99_us is None or point.p99_us > 0)
        and 0 < point.share <= 1
    )


def _ascend(keys: Sequence[object]) -> bool:
    return list(keys) == sorted(set(keys))  # type: ignore[type-var]  # numbers, or pairs of them


def concurrency(document: Mapping[str, object]) -> Concurrency | None:
    """Return the section on several processes, None if there is none; raise ProfileError if it is invalid."""
    name = "concurrency"
    if name not in document:
        return None
    table = section(document, name)
    found = fill(Concurrency, table, name)
    directions = [direction for direction in _DIRECTIONS if any(f"{direction}_{key}" in table for key in _FIGURES)]
    for direction in directions:
        for key in _FIGURES:
            _of(table, f"{direction}_{key}", name)
    count = len(found.processes)
    if (
        not (directions and 0 < count <= _MAX_ROWS and _ascend(found.processes))
        or any(len(array) != count for item in fields(found) if (array := getattr(found, item.name)) is not None)
        or not 0 < found.processes[0] <= found.processes[-1] <= _MAX_PROCESSES
        or not all(_are_possible(found, direction) for direction in directions)
    ):
        raise ProfileError(f"[{name}] has impossible figures")
    return found


def _are_possible(found: Concurrency, direction: Direction) -> bool:
    rates, p99s_us, shares, divisors = (getattr(found, f"{direction}_{key}") for key in _FIGURES)
    return (
        all(rate > 0 for rate in rates)
        and all(p99_us >= 0 for p99_us in p99s_us)
        and all(0 < share <= 1 for share in shares)
        and all(1 <= divisor <= _MAX_DIVISOR for divisor in divisors)
    )
