"""The choice of a setting from a curve: the cheapest of those that are as good as the best.

The point with the highest figure is a matter of chance among dozens that are alike. Two rules make two sweeps agree.
The likely throughput decides, to which neighbouring points contribute, and the best point is the one with the highest
lower bound, so that a lucky measurement wins nothing. The cost is compared in coarse steps: a cost that counts every
byte puts many settings of nearly equal throughput next to each other, and the edge of the tolerance then falls between
two of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.model.curve import Choice, CombinedChoice
from aio_tuned.search import estimate

if TYPE_CHECKING:
    from aio_tuned.model.curve import Curve, PointStats
    from aio_tuned.model.setting import Setting

# Up to 1 MiB, 8 MiB, 64 MiB, 512 MiB and so on cost the same.
_MEMORY_STEP_BYTES = 1 << 20
_MEMORY_STEPS = 3
_PLATEAU_PART = 50


def cost(setting: Setting) -> tuple[int, int, int, int, bool, bool]:
    """Return what a setting takes from the workload, as a sort key with the dearest part first (docs/choosing.md).

    The parts are threads, then bytes in flight in steps of a factor of eight, then the CPU time per gigabyte: larger
    blocks, a queue that is refilled before it is empty, and batches lower it. Within a step of memory the deeper queue
    is preferred: it leaves no latency unused.
    """
    return (
        setting.io_parallelism,
        max(0, math.ceil(math.log2(setting.in_flight_bytes / _MEMORY_STEP_BYTES) / _MEMORY_STEPS)),
        -setting.block_size,
        -setting.queue_depth,
        not setting.overlap_events,
        setting.single_submit,
    )


def surely(point: PointStats) -> float:
    """Return the likely throughput less its standard error, in bytes/s."""
    return point.likely_bytes_per_s * math.exp(-point.likely_error)


def best(curve: Curve) -> PointStats:
    """Return the point with the highest lower bound; raise MeasurementError if the curve has no points."""
    if not curve.points:
        raise MeasurementError(
            f"no point of the {curve.direction} phase could be measured; try again when nothing else uses the drive"
        )
    return max(curve.points, key=surely)


def plateau(curve: Curve) -> float:
    """Return the mean of the highest fiftieth of the likely throughputs, in bytes/s.

    The single highest of many is partly luck, and the set of points within a tolerance of it would change from sweep to
    sweep.
    """
    highest = sorted((point.likely_bytes_per_s for point in curve.points), reverse=True)
    count = max(1, len(highest) // _PLATEAU_PART)
    return sum(highest[:count]) / count


def ties(curve: Curve, tolerance: float) -> list[PointStats]:
    """Return the best point, and those within `tolerance` (0.01: 1 %) of the plateau even less a standard error.

    Without the standard error, the cheapest of many poorly known points that seem good enough would be a lucky one.
    """
    top, floor = best(curve), plateau(curve) * (1 - tolerance)
    return [point for point in curve.points if point is top or surely(point) >= floor]


def choose(curve: Curve, tolerance: float, preferred: Setting | None = None) -> Choice:
    """Return the cheapest point within `tolerance` (a share) of the best, or the preferred one if it is within.

    A sibling's setting is preferred, so that drives of the same model get the same settings.
    """
    tied = ties(curve, tolerance)
    chosen = min(tied, key=lambda point: (preferred not in point.point.aliases, cost(point.point.setting)))
    return Choice(
        stats=chosen,
        best=best(curve),
        ties=len(tied),
        saturating_concurrency=min(
            point.point.setting.concurrency
            for point in tied
            if point.point.setting.block_size <= chosen.point.setting.block_size
        ),
        within=shortfall(curve, chosen),
    )


def shortfall(curve: Curve, chosen: PointStats) -> float:
    """Return the most that the chosen point is below the true best, as a share, with 95 % over all points together."""
    bounds = estimate.simultaneous(curve)
    low = bounds[curve.points.index(chosen)][0]
    # The chosen point is not compared with itself.
    above = max(
        (high for point, (_, high) in zip(curve.points, bounds, strict=True) if point is not chosen), default=low
    )
    return max(0.0, 1 - math.exp(low - above))


def combine(
    read: Curve, write: Curve, read_weight: float, tolerance: float, preferred: Setting | None = None
) -> CombinedChoice:
    """Return the setting with the best weighted geometric mean of its shares of the read and the write optimum.

    `read_weight` ranges from 0 (only writes count) to 1 (only reads). Ties within `tolerance` go to the preferred
    setting, else to the cheapest. Only settings measured in both directions take part; raise MeasurementError if there
    is none.
    """
    read_best, write_best = best(read).likely_bytes_per_s, best(write).likely_bytes_per_s
    read_of = {setting: point for point in read.points for setting in point.point.aliases}
    write_of = {setting: point for point in write.points for setting in point.point.aliases}
    candidates: list[tuple[float, CombinedChoice]] = []
    for setting, read_point in read_of.items():
        if (write_point := write_of.get(setting)) is None:
            continue
        read_share = min(1.0, read_point.likely_bytes_per_s / read_best)
        write_share = min(1.0, write_point.likely_bytes_per_s / write_best)
        candidates.append(
            (
                read_share**read_weight * write_share ** (1 - read_weight),
                CombinedChoice(
                    setting=setting,
                    read=read_point,
                    write=write_point,
                    read_share=read_share,
                    write_share=write_share,
                    ties=0,
                ),
            )
        )
    if not candidates:
        raise MeasurementError("no setting was measured in both directions")
    top = max(score for score, _ in candidates)
    tied = [choice for score, choice in candidates if score >= top * (1 - tolerance)]
    chosen = min(tied, key=lambda choice: (choice.setting != preferred, cost(choice.setting)))
    return CombinedChoice(
        setting=chosen.setting,
        read=chosen.read,
        write=chosen.write,
        read_share=chosen.read_share,
        write_share=chosen.write_share,
        # Settings that are the same program in both directions are one tie, as they are in each direction by itself.
        ties=len({(choice.read.point.setting, choice.write.point.setting) for choice in tied}),
    )
