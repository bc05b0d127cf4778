"""The budgets of each effort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.model.profile import Effort

# The usual seconds of a direction's pass and of its race.
_PASS_S = 12.0
_RACE_S = 25.0
# The usual bytes of writes.
_USUAL_BYTES = 20 << 30
_QUICK_S = 20.0
_THOROUGH_TIMES = 4
# One in five of the 320 points are 64, which contain every value of every parameter a dozen times.
_QUICK_FRACTION = 5
_QUICK_WRITE_SHARE = 1 / 8
_THOROUGH_WRITE_SHARE = 2.0
_SUSTAIN_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The time limits of an effort in seconds, and its shares of the budgets.

    `pass_s` and `race_s` are the usual seconds of one direction, and `usual_bytes` the usual bytes of writes. A sweep
    exceeds them only where that helps, up to `time_budget_s` and the write budget. `write_share` multiplies the drive's
    write budget, which never exceeds the largest one. One in `fraction` points is measured. `sustain_share` is the
    share of the bytes for sustained writes.
    """

    time_budget_s: float
    pass_s: float = _PASS_S
    race_s: float = _RACE_S
    usual_bytes: int | None = _USUAL_BYTES
    write_share: float = 1.0
    fraction: int = 1
    sustain_share: float = 0.0


def extent(effort: Effort, time_budget_s: float) -> Extent:
    """Return the budgets of the effort, given the configured time budget in seconds.

    "quick" gives a provisional profile with at most 20 s, an eighth of the bytes, and a fifth of the points plus the
    neighbours of the best. "thorough" has four times the time and twice the bytes, half of them for sustained writes
    until the drive is steady.
    """
    if effort == "quick":
        return Extent(
            time_budget_s=min(time_budget_s, _QUICK_S), write_share=_QUICK_WRITE_SHARE, fraction=_QUICK_FRACTION
        )
    if effort == "thorough":
        most_s = time_budget_s * _THOROUGH_TIMES
        return Extent(
            time_budget_s=most_s,
            race_s=most_s,
            usual_bytes=None,
            write_share=_THOROUGH_WRITE_SHARE,
            sustain_share=_SUSTAIN_SHARE,
        )
    return Extent(time_budget_s=time_budget_s)
