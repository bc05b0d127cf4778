"""Curve -> Choice: the cheapest setting among those that cannot be told from the best. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.model import Choice, CombinedChoice

if TYPE_CHECKING:
    from aio_tuned.model import Curve, PointStats, Setting


def cost(setting: Setting, latency_p99_us: float) -> tuple[int, int, float, int, bool, bool]:
    """What a setting takes from the workload: threads, then memory in flight, then tail latency.

    The rest only makes the order total, so that two sweeps that tie alike choose alike.
    """
    return (
        setting.io_parallelism,
        setting.in_flight_bytes,
        latency_p99_us,
        setting.queue_depth,
        not setting.overlap_events,
        setting.single_submit,
    )


def best(curve: Curve) -> PointStats:
    """The point with the highest throughput; MeasurementError if there is none."""
    if not curve.points:
        raise MeasurementError(f"no point of the {curve.direction} phase could be measured")
    return max(curve.points, key=lambda stats: stats.bytes_per_s)


def choose(curve: Curve, tolerance: float, preferred: Setting | None = None) -> Choice:
    """The cheapest point within `tolerance` (0.01: one percent) of the best, or the preferred one if it is within.

    A twin's setting is preferred: drives that are alike shall have the same settings.
    """
    top = best(curve)
    tied = [stats for stats in curve.points if stats.bytes_per_s >= top.bytes_per_s * (1 - tolerance)]
    chosen = min(
        tied,
        key=lambda stats: (preferred not in stats.point.aliases, cost(stats.point.setting, stats.latency_p99_us)),
    )
    return Choice(
        stats=chosen,
        best=top,
        ties=len(tied),
        saturating_concurrency=min(
            stats.point.setting.concurrency
            for stats in tied
            if stats.point.setting.block_size <= chosen.point.setting.block_size
        ),
    )


def combine(
    read: Curve, write: Curve, read_weight: float, tolerance: float, preferred: Setting | None = None
) -> CombinedChoice:
    """The setting with the best weighted geometric mean of its shares of the read and the write optimum.

    `read_weight` from 0 (only writes count) to 1. Ties within `tolerance` go to the preferred one, else the cheapest.
    Only settings measured in both directions take part; MeasurementError if there is none.
    """
    read_best, write_best = best(read).bytes_per_s, best(write).bytes_per_s
    read_of = {setting: stats for stats in read.points for setting in stats.point.aliases}
    write_of = {setting: stats for stats in write.points for setting in stats.point.aliases}
    candidates: list[tuple[float, CombinedChoice]] = []
    for setting, read_stats in read_of.items():
        if (write_stats := write_of.get(setting)) is None:
            continue
        read_share = read_stats.bytes_per_s / read_best
        write_share = write_stats.bytes_per_s / write_best
        candidates.append(
            (
                read_share**read_weight * write_share ** (1 - read_weight),
                CombinedChoice(
                    setting=setting,
                    read=read_stats,
                    write=write_stats,
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
    chosen = min(
        tied,
        key=lambda choice: (
            choice.setting != preferred,
            cost(choice.setting, max(choice.read.latency_p99_us, choice.write.latency_p99_us)),
        ),
    )
    return CombinedChoice(
        setting=chosen.setting,
        read=chosen.read,
        write=chosen.write,
        read_share=chosen.read_share,
        write_share=chosen.write_share,
        # Settings that are the same program in both directions are one tie, as they are in each direction by itself.
        ties=len({(choice.read.point.setting, choice.write.point.setting) for choice in tied}),
    )
