"""The point that is best for all drives of a class: the one whose least share over them is largest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.fleet.report import Share
from aio_tuned.fleet.share_table import ShareTable
from aio_tuned.model.profile import SHARE_ONE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aio_tuned.fleet.report import DirectionReport
    from aio_tuned.model.setting import Setting

# The setting of the generation before stays if it loses no more, so that noise does not have a fleet check again. Most
# drives had it among their best once; drives with many equal points name others each time, so two are enough then.
_KEPT_LOSS = SHARE_ONE // 100
_KEPT_BY = 2


def rank(parts: Sequence[DirectionReport], refused: Collection[Setting], kept: Setting | None) -> tuple[Share, ...]:
    """Return the points that may be chosen with their least shares, the chosen one first.

    Only points that most drives have among their best may be. Any other has no share of its own on most of them, where
    it counts as the last of the best: a single drive could name a slow point, and lower the shares of all others.
    """
    table = ShareTable(parts)
    listed = {point: count for point, count in table.listed.items() if point not in refused}
    wanted = len(parts) // 2 + 1
    if listed and max(listed.values()) < wanted:
        wanted = max(listed.values())
    least = {point: min(wanted, _KEPT_BY) if point == kept else wanted for point in listed}
    found = [Share(point, min(table.shares(point))) for point, count in listed.items() if count >= least[point]]
    found.sort(key=lambda each: (-each.share, -listed[each.setting], each.setting.in_flight_bytes, repr(each.setting)))
    best = max((each.share for each in found), default=0)
    return tuple(sorted(found, key=lambda each: each.setting != kept or each.share < best - _KEPT_LOSS))


def challengers(ranked: Sequence[Share], most: int) -> tuple[Share, ...]:
    """Return the best points of other threads and block sizes, with shares relative to the chosen point's."""
    chosen = ranked[0]
    seen = {(chosen.setting.io_parallelism, chosen.setting.block_size)}
    found = []
    for each in ranked[1:]:
        kind = (each.setting.io_parallelism, each.setting.block_size)
        if kind not in seen:
            seen.add(kind)
            # A pinned setting may be the slowest there is; a result's challengers have twice its share at most.
            share = min(round(each.share * SHARE_ONE / chosen.share), 2 * SHARE_ONE)
            found.append(Share(each.setting, share))
    return tuple(found[:most])
