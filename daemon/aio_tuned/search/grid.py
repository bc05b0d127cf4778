"""The settings of a grid, and the points at a transfer size, each of which groups settings with identical I/O."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from aio_tuned.errors import ConfigError
from aio_tuned.model.measurement import Point
from aio_tuned.model.setting import Grid, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# A weight for each parameter; none is a multiple of a small fraction, so that the design contains every value.
_FRACTION_WEIGHTS = (1, 2, 3, 1, 2)

_Program = tuple[int, int, int, bool, bool]


def settings(grid: Grid) -> tuple[Setting, ...]:
    """Return every setting of the grid, in a fixed order."""
    return tuple(
        Setting(
            block_size=block,
            queue_depth=depth,
            io_parallelism=threads,
            overlap_events=overlap,
            single_submit=single,
        )
        for block, depth, threads, overlap, single in itertools.product(
            grid.block_size, grid.queue_depth, grid.io_parallelism, grid.overlap_events, grid.single_submit
        )
    )


def program(setting: Setting, transfer_bytes: int) -> _Program:
    """Return the effective parameters of a setting at a transfer size; settings with equal ones cause identical I/O.

    A block is at most as large as a thread's share of the transfer. A queue is at most as deep as the share has blocks.
    With one request in flight, overlapping and batching have no effect.
    """
    share = transfer_bytes // setting.io_parallelism
    block = min(setting.block_size, share)
    depth = min(setting.queue_depth, math.ceil(share / block))
    overlap, single = (setting.overlap_events, setting.single_submit) if depth > 1 else (False, False)
    return (setting.io_parallelism, block, depth, overlap, single)


def _cost(setting: Setting) -> tuple[int, int, bool, bool]:
    """Return a sort key for settings with identical I/O: least memory first, then DeepSpeed's defaults."""
    return (setting.in_flight_bytes, setting.queue_depth, not setting.overlap_events, setting.single_submit)


def points(chosen: Iterable[Setting], transfer_bytes: int) -> tuple[Point, ...]:
    """Return the points of the settings at that transfer size, each with all settings that cause its I/O."""
    groups: dict[_Program, list[Setting]] = {}
    for setting in chosen:
        groups.setdefault(program(setting, transfer_bytes), []).append(setting)
    return tuple(Point(setting=min(group, key=_cost), aliases=tuple(group)) for group in groups.values())


def _spanned(planned: Iterable[Point]) -> Grid:
    """Return the values of each parameter in the settings of the points, in rising order."""
    every = [setting for point in planned for setting in point.aliases]
    return Grid(**{item.name: tuple(sorted({getattr(each, item.name) for each in every})) for item in fields(Grid)})


def designed(planned: Sequence[Point], fraction: int) -> list[Point]:
    """Return one in `fraction` points, chosen so that they contain every value and nearly every pair of values.

    They are a regular fraction of the factorial (Box & Hunter 1961): the weighted sum of their indices in the lists of
    values is a multiple of the fraction.
    """
    grid = _spanned(planned)

    def place(setting: Setting) -> int:
        return sum(
            weight * getattr(grid, item.name).index(getattr(setting, item.name))
            for item, weight in zip(fields(grid), _FRACTION_WEIGHTS, strict=True)
        )

    return [point for point in planned if place(point.setting) % fraction == 0]


def beside(centre: Setting, grid: Grid) -> Iterator[Setting]:
    """Yield the settings one step away from `centre` in one parameter; the values of `centre` may be off the grid."""
    for item in fields(grid):
        here = getattr(centre, item.name)
        values = sorted({*getattr(grid, item.name), here})
        place = values.index(here)
        for value in (*values[max(0, place - 1) : place], *values[place + 1 : place + 2]):
            yield replace(centre, **{item.name: value})


def neighbours(planned: Sequence[Point], leaders: Sequence[Point]) -> list[Point]:
    """Return the points that differ from a leader by one step of one parameter, in the order of the plan."""
    grid = _spanned(planned)
    near = {setting for leader in leaders for centre in leader.aliases for setting in beside(centre, grid)}
    return [point for point in planned if not near.isdisjoint(point.aliases)]


def check_grid(chosen: Iterable[Setting], alignment_bytes: int) -> None:
    """Raise ConfigError if a block size of the settings does not fit the target's I/O alignment."""
    for block in dict.fromkeys(setting.block_size for setting in chosen):
        if block % alignment_bytes:
            raise ConfigError(
                f"[grid] block_size {block}: direct I/O on this target needs multiples of {alignment_bytes} bytes;"
                " change the list or pass --grid block_size=…"
            )
