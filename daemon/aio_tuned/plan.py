"""Settings and budgets -> Phase: which points there are, which are the same program, in which order.

Pure and seeded. The settings are those of a whole grid, or a few of them.
"""

from __future__ import annotations

import itertools
import math
import random
from typing import TYPE_CHECKING

from aio_tuned.errors import ConfigError, MeasurementError
from aio_tuned.model import Direction, Grid, Phase, Point, Request, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model import Sample

# A transfer shorter than this is mostly the start and the end of itself: 16 MiB at 7 GB/s take 2.4 ms, against
# some 0.1 ms to release and join eight threads.
LEAST_TRANSFER_BYTES = 16 << 20
# Shares of the budgets that measuring every point once may take; the rest buys certainty about the contenders.
_PASS_TIME_SHARE = 0.5
_PASS_WRITE_SHARE = 0.75
# Visits to the reference are this much of the pass (one in every REFERENCE_EVERY + 1).
REFERENCE_EVERY = 16
CALIBRATION_VISITS = 4

_Program = tuple[int, int, int, bool, bool]


def settings(grid: Grid) -> tuple[Setting, ...]:
    """Every setting of the grid, in a fixed order."""
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
    """What the helper will really do: settings with the same program make the same system calls.

    A block larger than a thread's share is one block of the share; a queue deeper than the share has blocks never
    fills; with one request in flight there is nothing to overlap or to batch.
    """
    share = transfer_bytes // setting.io_parallelism
    block = min(setting.block_size, share)
    depth = min(setting.queue_depth, math.ceil(share / block))
    overlap, single = (setting.overlap_events, setting.single_submit) if depth > 1 else (False, False)
    return (setting.io_parallelism, block, depth, overlap, single)


def _cost(setting: Setting) -> tuple[int, int, bool, bool]:
    """Order of preference among settings that are the same program: least memory, then DeepSpeed's defaults."""
    return (setting.in_flight_bytes, setting.queue_depth, not setting.overlap_events, setting.single_submit)


def points(chosen: Iterable[Setting], transfer_bytes: int) -> tuple[Point, ...]:
    """The distinct programs of the settings at that transfer size, each with all settings that amount to it."""
    groups: dict[_Program, list[Setting]] = {}
    for setting in chosen:
        groups.setdefault(program(setting, transfer_bytes), []).append(setting)
    return tuple(Point(setting=min(group, key=_cost), aliases=tuple(group)) for group in groups.values())


def check_grid(chosen: Iterable[Setting], alignment_bytes: int) -> None:
    """ConfigError if a block size of the settings cannot be used on a target with that I/O alignment."""
    for block in dict.fromkeys(setting.block_size for setting in chosen):
        if block % alignment_bytes:
            raise ConfigError(
                f"[grid] block_size {block}: this target needs multiples of {alignment_bytes} bytes for direct I/O;"
                " change the list or pass --grid block_size=…"
            )


def largest_transfer(chosen: Sequence[Setting], alignment_bytes: int, most_bytes: int) -> int:
    """The largest usable transfer of at most `most_bytes`; ConfigError if the thread counts have none in common."""
    quantum = transfer_quantum(chosen, alignment_bytes)
    if quantum > most_bytes:
        threads = ", ".join(dict.fromkeys(str(setting.io_parallelism) for setting in chosen))
        raise ConfigError(
            f"[grid] io_parallelism {threads}: no transfer of up to {most_bytes >> 20} MiB splits evenly for all of"
            " them; drop the odd ones, or raise transfer_bytes"
        )
    return most_bytes // quantum * quantum


def least_transfer(chosen: Sequence[Setting], alignment_bytes: int, most_bytes: int) -> int:
    """The smallest transfer worth timing, as calibration uses it."""
    least = max(transfer_quantum(chosen, alignment_bytes), LEAST_TRANSFER_BYTES)
    return largest_transfer(chosen, alignment_bytes, min(most_bytes, least))


def least_write_bytes(chosen: Sequence[Setting], alignment_bytes: int, most_bytes: int) -> int:
    """What a write phase costs at the very least: calibration, and one visit to each point with the least transfer."""
    transfer = least_transfer(chosen, alignment_bytes, most_bytes)
    return (_visits(len(points(chosen, transfer))) + 2 * CALIBRATION_VISITS) * transfer


def _visits(count: int) -> int:
    """Visits of a pass over that many points, the reference between them included."""
    return math.ceil(count * (1 + 1 / REFERENCE_EVERY)) + 1


def transfer_quantum(chosen: Iterable[Setting], alignment_bytes: int) -> int:
    """Every transfer must be a multiple of this: each thread's share must be whole aligned blocks."""
    return math.lcm(*(setting.io_parallelism for setting in chosen), 1) * max(alignment_bytes, 4096)


def _lightest(chosen: Iterable[Setting]) -> Setting:
    """The setting that asks least of the device at a time, likely the slowest."""
    return min(
        chosen,
        key=lambda setting: (setting.in_flight_bytes, setting.overlap_events, not setting.single_submit),
    )


def calibration(
    direction: Direction, chosen: Iterable[Setting], reference: Setting, transfer_bytes: int, first_id: int
) -> tuple[Request, ...]:
    """The first visits of a phase, to learn roughly how fast the device is: the reference, then the lightest setting.

    On a volume that is limited in requests the lightest may be ten times slower, and a plan fitted to the reference
    alone would not end within its time.
    """
    visits = (*(reference for _ in range(CALIBRATION_VISITS - 1)), _lightest(chosen))
    return tuple(
        Request(
            id=first_id + number,
            direction=direction,
            setting=setting,
            transfer_bytes=transfer_bytes,
            min_ns=20_000_000,
            min_transfers=2 if setting == reference else 1,
            max_bytes=2 * transfer_bytes if direction == "write" else 0,
            purpose="calibrate",
        )
        for number, setting in enumerate(visits)
    )


def _ns_per_byte(calibrated: Sequence[Sample]) -> float:
    """What a byte takes on average over the settings: midway between the settings that calibration visited."""
    of_setting: dict[Setting, list[float]] = {}
    for sample in calibrated:
        of_setting.setdefault(sample.request.setting, []).append(sample.elapsed_ns / sample.bytes)
    medians = [sorted(found)[len(found) // 2] for found in of_setting.values()]
    return sum(medians) / len(medians)


def phase(  # noqa: PLR0913 - the facts of one direction
    direction: Direction,
    *,
    chosen: Sequence[Setting],
    reference: Setting,
    calibrated: Sequence[Sample],
    alignment_bytes: int,
    most_transfer_bytes: int,
    time_budget_ns: int,
    write_budget_bytes: int,
    tolerance: float,
    seed: int,
    may_drop_caches: bool = True,
) -> Phase:
    """The plan of one direction, fitted to the device's speed as the calibration visits saw it.

    The transfer is the largest power-of-two part of `most_transfer_bytes` with which visiting every point once is
    expected to take half of the time budget and, for writes, three quarters of the bytes. MeasurementError if the
    write budget does not even pay for one pass with the smallest transfer.
    """
    if not calibrated:
        raise MeasurementError(f"no calibration visit of the {direction} phase succeeded")
    ns_per_byte = _ns_per_byte(calibrated)
    quantum = transfer_quantum(chosen, alignment_bytes)
    transfer = largest_transfer(chosen, alignment_bytes, most_transfer_bytes)
    while True:
        planned = points(chosen, transfer)
        visits = _visits(len(planned))
        fits_time = visits * transfer * ns_per_byte <= _PASS_TIME_SHARE * time_budget_ns
        fits_bytes = direction == "read" or visits * transfer <= _PASS_WRITE_SHARE * write_budget_bytes
        smaller = transfer // 2 // quantum * quantum
        if (fits_time and fits_bytes) or smaller < LEAST_TRANSFER_BYTES:
            break
        transfer = smaller
    if direction == "write" and visits * transfer > write_budget_bytes:
        raise MeasurementError(
            f"the write budget of {write_budget_bytes >> 20} MiB does not pay for one visit to each of {len(planned)}"
            f" points of {transfer >> 20} MiB: pass --write-budget {-(-visits * transfer >> 20)}M or more,"
            " a smaller --grid, or --read-only"
        )
    visit_ns = int(_PASS_TIME_SHARE * time_budget_ns / visits)
    visit_bytes = 0
    if direction == "write":
        visit_bytes = max(transfer, int(_PASS_WRITE_SHARE * write_budget_bytes / visits))
    order = list(planned)
    random.Random(f"{seed}/{direction}").shuffle(order)  # noqa: S311 - an experiment's order, no secret
    return Phase(
        direction=direction,
        points=tuple(order),
        reference=Point(setting=reference, aliases=(reference,)),
        transfer_bytes=transfer,
        visit_ns=visit_ns,
        visit_bytes=visit_bytes,
        time_budget_ns=time_budget_ns,
        write_budget_bytes=write_budget_bytes,
        tolerance=tolerance,
        seed=seed,
        may_drop_caches=may_drop_caches,
    )
