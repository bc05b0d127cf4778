"""The measured points of one direction, and the point that was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Point
    from aio_tuned.model.setting import Direction, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class PointStats:
    """The figures of one point; `bytes_per_s` lies within `low` and `high` with 95 % confidence.

    `cpu_s_per_gb` is the processor time for 10^9 bytes, over all threads; 0 if unknown. `error` is the standard error
    of the throughput's logarithm, with `freedom` degrees of freedom.
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
    """A lasting fall of the reference's throughput: a write cache was full, or I/O credits were spent.

    The curve is made of the measurements before it if `before_counts`, else of those behind it.
    """

    before_counts: bool
    after_bytes: int
    before_bytes_per_s: float
    behind_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """The result of sustained writes with one setting.

    `bytes_per_s` is the throughput at the end, and `steady` whether that was steady. `fell_after_bytes` is None if the
    throughput did not fall.
    """

    bytes_per_s: float
    steady: bool
    fell_after_bytes: int | None
    written_bytes: int
    first_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """All measured points of one direction, in the plan's order.

    Throughputs are those at the drive's usual level in the phase, the median over its measurements. `noise` is the
    relative standard deviation between measurements of one point; `drift` the change of the level from the first
    measurement to the last; `tail` the logarithm that the worst twentieth of the measurements lose; `memory` the
    correlation between the deviations of successive measurements that is left once the drift is removed.
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
    """The setting for one direction, and how far it can be trusted, by the joint posterior of all points.

    `ties` points, this one included, are as likely as not within the tolerance of the best, and `rivals` others may be
    the best.
    `saturating_concurrency` is the least number of requests in flight, over all threads, among those whose blocks are
    no larger. Shares are of the best point's throughput: with 95 % the setting is at most `regret95` below it, and
    `expected_shortfall` on average; within the tolerance it is with `probability_within`. `versus_default` is its gain
    over the default setting, with the 95 % interval `versus_default_ci95`. `kept` says that an earlier or a sibling's
    setting was kept, and `floored` that the default was chosen because nothing was surely as good. `challengers` are
    the best points of other classes (threads and block size), each with its share of the setting's throughput.
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
    """One setting for both directions; shares are of each direction's best."""

    setting: Setting
    read: PointStats
    write: PointStats
    read_share: float
    write_share: float
    ties: int
