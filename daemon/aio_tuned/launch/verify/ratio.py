"""The ratio of two throughputs from pairs of measurements, with a 95 % interval.

The number of pairs follows Stein's procedure in two stages (1945). The spread of the first PILOT pairs alone decides
how many pairs are measured, and the interval has that spread and its degrees of freedom, whatever the later pairs are.
So nobody looks at the ratio, or at the present width of the interval, to decide when to stop: the mean of normal
differences is independent of their spread, and the interval has its 95 %. A rule that stops once the interval is narrow
enough would stop where the spread has been underestimated. A budget that ends early depends on neither.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.search.estimate import student_t

if TYPE_CHECKING:
    from collections.abc import Sequence

PILOT = 10
CONFIDENCE = 0.95
# The interval of a ratio r is to be r / 1.03 to r * 1.03 at most.
MAX_HALF_WIDTH = math.log(1.03)
# Fewer pairs give no interval worth its name.
MIN_PAIRS = 3
# Rounding of the half-width when it is compared with its limit.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio with its interval; `variance` is that of its logarithm, with `freedom` degrees of freedom."""

    log_ratio: float
    variance: float
    freedom: float
    pairs: int

    @property
    def ratio(self) -> float:
        """The ratio."""
        return math.exp(self.log_ratio)

    @property
    def half_width(self) -> float:
        """The half-width of the interval of the logarithm."""
        return student_t(CONFIDENCE, self.freedom) * math.sqrt(self.variance)

    @property
    def ci95(self) -> tuple[float, float]:
        """The interval of the ratio."""
        return math.exp(self.log_ratio - self.half_width), math.exp(self.log_ratio + self.half_width)

    @property
    def precise(self) -> bool:
        """Whether the interval is within 3 %."""
        return self.half_width <= MAX_HALF_WIDTH + _ROUNDING


def pairs_needed(log_ratios: Sequence[float]) -> int:
    """Return the number of pairs that make the interval narrow enough, by the first PILOT pairs' spread alone."""
    if len(log_ratios) < PILOT:
        return PILOT
    reach = student_t(CONFIDENCE, PILOT - 1) / MAX_HALF_WIDTH
    return max(PILOT, math.ceil(statistics.variance(log_ratios[:PILOT]) * reach**2))


def ratio_of(log_ratios: Sequence[float]) -> Ratio:
    """Return the ratio by the logarithms of the pairs' ratios; there must be MIN_PAIRS."""
    pilot = log_ratios[:PILOT]
    return Ratio(
        log_ratio=statistics.fmean(log_ratios),
        variance=statistics.variance(pilot) / len(log_ratios),
        freedom=len(pilot) - 1,
        pairs=len(log_ratios),
    )


def mean_of(one: Ratio, other: Ratio) -> Ratio:
    """Return the geometric mean of two ratios, with the degrees of freedom of Welch and Satterthwaite."""
    total = one.variance + other.variance
    parts = one.variance**2 / one.freedom + other.variance**2 / other.freedom
    return Ratio(
        log_ratio=(one.log_ratio + other.log_ratio) / 2,
        variance=total / 4,
        freedom=total**2 / parts if parts else one.freedom + other.freedom,
        pairs=min(one.pairs, other.pairs),
    )
