"""How thoroughly a drive is swept: the budgets of each effort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.model.profile import Effort

_QUICK_S = 20.0
_THOROUGH_TIMES = 4
# One point in five of the 320: 64 settings, in random order, touch every value of every parameter a dozen times.
_QUICK_FRACTION = 5
_QUICK_WRITE_SHARE = 1 / 8
_SUSTAIN_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The time for measuring in seconds, and the parts of the budgets.

    `write_share` is the share of the write budget. One of `fraction` points is measured. `sustain_share` is the share
    of the bytes for sustained writes.
    """

    time_budget_s: float
    write_share: float = 1.0
    fraction: int = 1
    sustain_share: float = 0.0


def extent(effort: Effort, time_budget_s: float) -> Extent:
    """Return the budgets of the effort, given the configured time for measuring in seconds.

    Quick is for a provisional profile: 20 s at most, an eighth of the bytes, a fifth of the points and the neighbours
    of the best. Thorough has four times the time, and half of the bytes for sustained writes until the drive is steady.
    """
    if effort == "quick":
        return Extent(
            time_budget_s=min(time_budget_s, _QUICK_S), write_share=_QUICK_WRITE_SHARE, fraction=_QUICK_FRACTION
        )
    if effort == "thorough":
        return Extent(time_budget_s=time_budget_s * _THOROUGH_TIMES, sustain_share=_SUSTAIN_SHARE)
    return Extent(time_budget_s=time_budget_s)
