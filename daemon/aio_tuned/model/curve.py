"""The measured points of one direction and the chosen point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Point
    from aio_tuned.model.setting import Direction, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class PointStats:
    """The figures of one point, with the limits of the 95 % confidence interval of `bytes_per_s`.

    `cpu_s_per_gb` is the processor time for 10^9 bytes over all threads, 0 if unknown. `error` is the standard error of
    the logarithm of the throughput, with `freedom` degrees of freedom.
    """

    point: Point
    bytes_per_s: float
    low_bytes_per_s: float
    high_bytes_per_s: float
    visits: int
    latency_p99_us: float
    error: float
    freedom: float
    cpu_s_per_gb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """A lasting fall of the reference's throughput, caused by a full write cache or spent I/O credits.

    If `before_counts`, the curve uses the measurements before the fall, else those after it.
    """

    before_counts: bool
    after_bytes: int
    before_bytes_per_s: float
    behind_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """The result of sustained writes with one setting.

    `bytes_per_s` is the throughput at the end, `steady` is true if it was steady then. `fell_after_bytes` is None if
    the throughput did not fall.
    """

    bytes_per_s: float
    steady: bool
    fell_after_bytes: int | None
    written_bytes: int
    first_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """All measured points of one direction, in the order of the plan.

    Throughputs are those at the drive's usual level in the phase, the median over its measurements. `noise` is the
    relative standard deviation between measurements of one point. `drift` is the relative change of the level from the
    first measurement to the last. `tail` is the log distance by which the worst 5 % of the measurements lie below their
    points. `memory` is the correlation between deviations of successive measurements after removal of the drift.
    """

    direction: Direction
    points: tuple[PointStats, ...]
    reference: PointStats | None
    transfer_bytes: int
    planned: int
    noise: float
    drift: float
    tail: float = 0.0
    memory: float = 0.0
    cliff: Cliff | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The setting chosen for one direction, with its figures from the joint posterior of all points.

    `ties` counts the points within the tolerance of the best with a probability of at least 50 %, this one included,
    and `rivals` the other points that may be the best. `saturating_concurrency` is the least number of requests in
    flight, over all threads, among the ties whose blocks are no larger. Shares are of the best point's throughput: the
    setting is at most `regret95` below it with 95 % confidence, `expected_shortfall` below it on average, and within
    the tolerance with the probability `probability_within`. `versus_default` is the gain over the default setting, with
    the 95 % interval `versus_default_ci95`. `kept` is true if an earlier or a sibling's setting was kept, `floored` if
    the default was chosen because no other point may be. `challengers` are the best settings of other classes (threads
    and block size), each with its throughput relative to this setting.
    """

    stats: PointStats
    setting: Setting
    ties: int
    rivals: int
    saturating_concurrency: int
    regret95: float
    expected_shortfall: float
    probability_within: float
    versus_default: float
    versus_default_ci95: tuple[float, float]
    kept: bool
    floored: bool
    challengers: tuple[tuple[Setting, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedChoice:
    """One setting for both directions, with its shares of the best of each direction."""

    setting: Setting
    read: PointStats
    write: PointStats
    read_share: float
    write_share: float
    ties: int
