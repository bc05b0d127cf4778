"""The plan of one direction, a request to the helper, and the sample that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction, Setting

BufferPages = Literal["huge", "hugetlb"]
DropCaches = Literal["auto", "always", "file", "never"]
# The policies that drop the page cache of the whole host.
DROPPING: tuple[DropCaches, ...] = ("auto", "always")

Stage = Literal["pass", "race"]
# `reference` and `pass` belong to the pass, `repeat` to the race, the other purposes to neither.
Purpose = Literal["calibrate", "reference", "pass", "repeat", "sustain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Settings with identical I/O at the transfer size of the phase; `setting` is the cheapest of them."""

    setting: Setting
    aliases: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The plan of one direction's pass or race; times are wall-clock nanoseconds of the helper, overhead included.

    A pass measures each point once: the first `sure_points` always, the other points only if they are neighbours of the
    best. A race measures the finalists until the choice is clear. `sustain_ns` and `sustain_bytes` limit the sustained
    writes with the chosen setting, which the budgets do not include.
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
    """A request to the helper for one measurement of one setting."""

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
    """One measurement as reported by the helper.

    `cpu_ns` is the processor time over all threads, 0 if unknown. `passing_bytes` is the largest number of bytes of the
    scratch file seen in the page cache during the transfers: 0 with direct I/O, or if unknown. `neighbour_bytes` were
    moved by other namespaces of the drive between request and answer. `at_s` is the Unix time of the answer, None in
    older files. `celsius` is the last reading of the drive's hottest sensor before that, None in older files or without
    a sensor.
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
        """Return the throughput that a consumer gets, which is all bytes over all time."""
        return self.bytes * 1e9 / self.elapsed_ns
