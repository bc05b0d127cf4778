"""The plan of one direction, one request to the helper, and the sample that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction, Setting

BufferPages = Literal["huge", "hugetlb"]
DropCaches = Literal["auto", "always", "file", "never"]
# The policies by which the page cache of the whole host is dropped.
DROPPING: tuple[DropCaches, ...] = ("auto", "always")

Stage = Literal["pass", "race"]
# `reference` and `pass` belong to the pass, `repeat` to the race; the others to neither.
Purpose = Literal["calibrate", "reference", "pass", "repeat", "sustain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Settings that are the same program at the phase's transfer size; `setting` is the cheapest of them."""

    setting: Setting
    aliases: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The plan of one direction's pass or race; times are the helper's wall-clock nanoseconds, overhead included.

    A pass measures each point once; the first `sure_points` always, the others only where they are neighbours of the
    best. A race measures a few finalists until the choice is clear. `sustain_ns` and `sustain_bytes` are for sustained
    writes with the chosen setting, beside the budgets.
    """

    direction: Direction
    stage: Stage
    points: tuple[Point, ...]
    reference: Point
    transfer_bytes: int
    visit_ns: int
    visit_bytes: int
    time_budget_ns: int
    write_budget_bytes: int
    tolerance: float
    seed: int
    sure_points: int | None = None
    sustain_ns: int = 0
    sustain_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One measurement of one point, as the helper is asked for it."""

    id: int
    direction: Direction
    setting: Setting
    transfer_bytes: int
    min_ns: int
    min_transfers: int = 1
    max_bytes: int = 0
    drop_caches: bool | None = None
    purpose: Purpose = "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement as the helper reported it; `cpu_ns` is its processor time over all threads, 0 if unknown.

    `passing_bytes` are the most bytes of a scratch file that were seen in the page cache while the transfers ran: 0
    with direct I/O, or if unknown. `neighbour_bytes` are what other namespaces of the drive moved between the request
    and the answer. `at_s` is the Unix time when the report came, and `celsius` the last reading before
    that of the drive's hottest sensor; both are None in files that lack the keys, the latter without a sensor too.
    """

    request: Request
    transfers_ns: tuple[int, ...]
    bytes: int
    elapsed_ns: int
    wall_ns: int
    latency_p50_ns: int
    latency_p99_ns: int
    cache_verdict: Literal["device", "cache", "unknown"]
    cache_dropped: bool
    device_read_bytes: int
    device_write_bytes: int
    cpu_ns: int = 0
    passing_bytes: int = 0
    neighbour_bytes: int = 0
    at_s: float | None = None
    celsius: float | None = None

    @property
    def bytes_per_s(self) -> float:
        """Return the throughput as a consumer gets it: all bytes over all time."""
        return self.bytes * 1e9 / self.elapsed_ns
