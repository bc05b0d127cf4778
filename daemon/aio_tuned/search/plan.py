"""The plans of a pass and of a race: the points, their order, and the sizes that fit the budgets."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from aio_tuned.errors import ConfigError, MeasurementError
from aio_tuned.model.measurement import Phase, Point, Request, Sample
from aio_tuned.search.grid import designed, points

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.model.setting import Direction, Setting

# In a shorter transfer, starting and joining the threads would dominate: 16 MiB at 7 GB/s take 2.4 ms, and releasing
# and joining eight threads takes 0.1 ms.
MIN_TRANSFER_BYTES = 16 << 20

# A slow device needs no more bytes than it moves in this time, which is several times those 2.4 ms.
_MIN_TRANSFER_NS = 20_000_000
_SLOW_MIN_TRANSFER_BYTES = 8 << 20

# A pass is planned for 30 % of its time, since points far slower than the mean take the rest.
_PASS_TIME_SHARE = 0.3

# The share of the bytes for measuring every point once; the rest is for the race.
_PASS_WRITE_SHARE = 0.25

# The transfers of a race are sized so that its budgets allow this many measurements of each finalist.
RACE_ROUNDS = 3

# A measurement takes at least this many times its overhead, and from 10 to 200 ms.
_OVERHEADS = 20

_MIN_VISIT_NS = 10_000_000

_MAX_VISIT_NS = 200_000_000

# A volume with a token-bucket limit (in a cloud, in a guest) spends the tokens saved since the previous measurement at
# once: in an emulated guest, measurements of 0.2 s were 10 % above the limit. Limits above 1 GB/s are rare, so only
# slower devices get the longer measurement.
_SLOW_NS_PER_BYTE = 1.0

_SLOW_VISIT_NS = 1_000_000_000

# The reference is measured before every 16 points of a pass.
REFERENCE_EVERY = 16

CALIBRATION_VISITS = 4


def largest_transfer(chosen: Sequence[Setting], alignment_bytes: int, max_bytes: int) -> int:
    """Return the largest transfer of at most `max_bytes` that splits evenly for all thread counts, in bytes.

    Raise ConfigError if there is none.
    """
    quantum = transfer_quantum(chosen, alignment_bytes)
    if quantum > max_bytes:
        threads = ", ".join(dict.fromkeys(str(setting.io_parallelism) for setting in chosen))
        raise ConfigError(
            f"[grid] io_parallelism {threads}: no transfer of up to {max_bytes >> 20} MiB divides evenly by all of"
            " them; use powers of two or raise transfer_bytes"
        )
    return max_bytes // quantum * quantum


def min_transfer(chosen: Sequence[Setting], alignment_bytes: int, max_bytes: int) -> int:
    """Return the smallest transfer whose time is meaningful, in bytes; calibration uses it."""
    least = max(transfer_quantum(chosen, alignment_bytes), MIN_TRANSFER_BYTES)
    return largest_transfer(chosen, alignment_bytes, min(max_bytes, least))


def min_write_bytes(chosen: Sequence[Setting], alignment_bytes: int, max_bytes: int, fraction: int = 1) -> int:
    """Return the least bytes of a write phase, which are calibration and one measurement of each point.

    Only one in `fraction` points is measured.
    """
    transfer = min_transfer(chosen, alignment_bytes, max_bytes)
    measured = math.ceil(len(points(chosen, transfer)) / fraction)
    return (_measurements(measured) + 2 * CALIBRATION_VISITS) * transfer


def _measurements(count: int) -> int:
    """Return the number of measurements in a pass over `count` points, those of the reference included."""
    return math.ceil(count * (1 + 1 / REFERENCE_EVERY)) + 1


def transfer_quantum(chosen: Iterable[Setting], alignment_bytes: int) -> int:
    """Return the divisor of every transfer size in bytes, with which each thread's share is whole aligned blocks."""
    return math.lcm(*(setting.io_parallelism for setting in chosen), 1) * max(alignment_bytes, 4096)


def _lightest(chosen: Iterable[Setting]) -> Setting:
    """Return the setting with the fewest bytes in flight, which is probably the slowest."""
    return min(
        chosen,
        key=lambda setting: (setting.in_flight_bytes, setting.overlap_events, not setting.single_submit),
    )


def calibration(
    direction: Direction, chosen: Iterable[Setting], reference: Setting, transfer_bytes: int, first_id: int
) -> tuple[Request, ...]:
    """Return the calibration requests, which estimate the device's speed with the reference and the lightest setting.

    On a volume with a limit on requests the lightest setting may be ten times slower, and a plan fitted to the
    reference alone would overrun its time.
    """
    chosen_settings = (*(reference for _ in range(CALIBRATION_VISITS - 1)), _lightest(chosen))
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
        for number, setting in enumerate(chosen_settings)
    )


def _ns_per_byte(calibrated: Sequence[Sample]) -> float:
    """Return the nanoseconds per byte as the mean of the settings that calibration measured."""
    of_setting: dict[Setting, list[float]] = {}
    for sample in calibrated:
        of_setting.setdefault(sample.request.setting, []).append(sample.elapsed_ns / sample.bytes)
    medians = [sorted(found)[len(found) // 2] for found in of_setting.values()]
    return sum(medians) / len(medians)


def _visit_ns(calibrated: Sequence[Sample], ns_per_byte: float, max_ns: int, max_turn_ns: int | None) -> int:
    """Return the least time of a measurement with a small overhead, in nanoseconds and at most `max_ns`.

    `max_turn_ns` limits it too, except on slow devices, whose own limits show only in a longer measurement.
    """
    besides = sorted(sample.wall_ns - sample.elapsed_ns for sample in calibrated)
    usual_ns = min(max(_OVERHEADS * besides[len(besides) // 2], _MIN_VISIT_NS), max_turn_ns or _MAX_VISIT_NS)
    return min(_SLOW_VISIT_NS if ns_per_byte > _SLOW_NS_PER_BYTE else usual_ns, max_ns)


def _sized(  # noqa: PLR0913 - the limits of one size
    direction: Direction,
    chosen: Sequence[Setting],
    alignment_bytes: int,
    max_transfer_bytes: int,
    *,
    ns_per_byte: float,
    most_ns: float,
    most_written_bytes: float,
    max_transfer_ns: int | None,
    least_bytes: int = MIN_TRANSFER_BYTES,
    fraction: int = 1,
) -> tuple[tuple[Point, ...], int, int]:
    """Return the points, the measurements of a pass over them, and the bytes of a transfer.

    The transfer is `max_transfer_bytes`, halved until one takes at most `max_transfer_ns` and all measurements take at
    most `most_ns` and write at most `most_written_bytes`, but not below `least_bytes`.
    """
    most_bytes = most_ns / ns_per_byte
    if direction == "write":
        most_bytes = min(most_bytes, most_written_bytes)
    longest_bytes = max_transfer_bytes if max_transfer_ns is None else max_transfer_ns / ns_per_byte
    quantum = transfer_quantum(chosen, alignment_bytes)
    transfer = largest_transfer(chosen, alignment_bytes, max_transfer_bytes)
    while True:
        planned = points(chosen, transfer)
        measurements = _measurements(math.ceil(len(planned) / fraction))
        smaller = transfer // 2 // quantum * quantum
        if (measurements * transfer <= most_bytes and transfer <= longest_bytes) or smaller < least_bytes:
            return planned, measurements, transfer
        transfer = smaller


def first_pass(  # noqa: PLR0913 - the facts of one direction
    direction: Direction,
    *,
    chosen: Sequence[Setting],
    reference: Setting,
    calibrated: Sequence[Sample],
    alignment_bytes: int,
    max_transfer_bytes: int,
    usual_ns: int,
    time_budget_ns: int,
    usual_bytes: int,
    write_budget_bytes: int,
    tolerance: float,
    seed: int,
    fraction: int = 1,
    max_transfer_ns: int | None = None,
) -> Phase:
    """Return the plan of one direction's pass, fitted to the device's speed in the calibration samples.

    The transfer is `max_transfer_bytes`, halved until measuring every point once is expected to take 30 % of `usual_ns`
    and, for writes, a quarter of `usual_bytes`. One in `fraction` points is measured. `max_transfer_ns` limits the
    expected time of a measurement, except for the smallest transfer and the slowest devices. Raise MeasurementError
    without calibration samples, or if the write budget is too small for a pass with the smallest transfer.
    """
    if not calibrated:
        raise MeasurementError(f"{direction}: no usable measurement (calibration); try again when the drive is idle")
    ns_per_byte = _ns_per_byte(calibrated)
    planned, measurements, transfer = _sized(
        direction,
        chosen,
        alignment_bytes,
        max_transfer_bytes,
        ns_per_byte=ns_per_byte,
        most_ns=_PASS_TIME_SHARE * usual_ns,
        most_written_bytes=_PASS_WRITE_SHARE * usual_bytes,
        max_transfer_ns=max_transfer_ns,
        least_bytes=int(min(max(_MIN_TRANSFER_NS / ns_per_byte, _SLOW_MIN_TRANSFER_BYTES), MIN_TRANSFER_BYTES)),
        fraction=fraction,
    )
    min_bytes = measurements * transfer
    if direction == "write" and min_bytes > write_budget_bytes:
        raise MeasurementError(
            f"write budget of {write_budget_bytes >> 20} MiB: too small to measure each of {len(planned)} settings once"
            f" with {transfer >> 20} MiB; pass --write-budget {-(-min_bytes >> 20)}M or more, a smaller --grid,"
            " or --read-only"
        )
    order = list(planned)
    random.Random(f"{seed}/{direction}").shuffle(order)  # noqa: S311 - an experiment's order, no secret
    sure = set(designed(order, fraction))
    order.sort(key=lambda point: point not in sure)
    return Phase(
        direction=direction,
        stage="pass",
        points=tuple(order),
        reference=Point(setting=reference, aliases=(reference,)),
        transfer_bytes=transfer,
        visit_ns=_visit_ns(calibrated, ns_per_byte, int(_PASS_TIME_SHARE * usual_ns / measurements), max_transfer_ns),
        # Two measurements tell more than one of twice the length, so each writes only its share of the pass.
        visit_bytes=max(transfer, int(_PASS_WRITE_SHARE * usual_bytes / measurements)) if direction == "write" else 0,
        time_budget_ns=time_budget_ns,
        write_budget_bytes=write_budget_bytes,
        tolerance=tolerance,
        seed=seed,
        sure_points=len(sure) if fraction > 1 else None,
    )


def race(  # noqa: PLR0913 - the facts of one direction
    direction: Direction,
    *,
    chosen: Sequence[Setting],
    reference: Setting,
    samples: Sequence[Sample],
    alignment_bytes: int,
    max_transfer_bytes: int,
    usual_ns: int,
    time_budget_ns: int,
    usual_bytes: int,
    write_budget_bytes: int,
    tolerance: float,
    seed: int,
    sustain_ns: int = 0,
    sustain_bytes: int = 0,
    max_transfer_ns: int | None = None,
    rounds: int = RACE_ROUNDS,
) -> Phase | None:
    """Return the plan of a race among the settings in `chosen`; None if the budgets are too small to measure each once.

    `samples` are clean samples of the direction, from which the device's speed is estimated. The transfer is
    `max_transfer_bytes`, halved until measuring each setting `rounds` times is expected to take at most `usual_ns` and,
    for writes, `usual_bytes`. `max_transfer_ns` limits the transfer as in a pass.
    """
    ns_per_byte = _mean_ns_per_byte(chosen, samples)
    planned, measurements, transfer = _sized(
        direction,
        chosen,
        alignment_bytes,
        max_transfer_bytes,
        ns_per_byte=ns_per_byte,
        most_ns=usual_ns / rounds,
        most_written_bytes=usual_bytes / rounds,
        max_transfer_ns=max_transfer_ns,
    )
    if measurements * transfer * ns_per_byte > time_budget_ns:
        return None
    if direction == "write" and measurements * transfer > write_budget_bytes:
        return None
    order = list(planned)
    random.Random(f"{seed}/{direction}/race").shuffle(order)  # noqa: S311 - an experiment's order, no secret
    # The reference comes first, so that the first measurements have the order of the points.
    order.sort(key=lambda point: reference not in point.aliases)
    longest_ns = int(usual_ns / rounds / measurements)
    return Phase(
        direction=direction,
        stage="race",
        points=tuple(order),
        reference=Point(setting=reference, aliases=(reference,)),
        transfer_bytes=transfer,
        visit_ns=_visit_ns(samples, ns_per_byte, longest_ns, max_transfer_ns),
        visit_bytes=max(transfer, int(usual_bytes / rounds / measurements)) if direction == "write" else 0,
        time_budget_ns=time_budget_ns,
        write_budget_bytes=write_budget_bytes,
        tolerance=tolerance,
        seed=seed,
        sustain_ns=sustain_ns,
        sustain_bytes=sustain_bytes,
    )


def _mean_ns_per_byte(chosen: Sequence[Setting], samples: Sequence[Sample]) -> float:
    """Return the mean nanoseconds per byte over the chosen settings, or over all samples if none of them has one."""
    of_setting: dict[Setting, list[float]] = {}
    for sample in samples:
        of_setting.setdefault(sample.request.setting, []).append(sample.elapsed_ns / sample.bytes)
    known = [sum(found) / len(found) for setting in chosen if (found := of_setting.get(setting))]
    every = known or [sample.elapsed_ns / sample.bytes for sample in samples]
    return sum(every) / len(every)
