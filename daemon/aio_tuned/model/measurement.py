"""The plan of one direction, a request to the helper, and the sample that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction, Setting

# The memory of the helper's buffer: as posix_memalign() and mlock() give it on this host, transparent huge pages where
# the kernel allows them, or reserved huge pages.
BufferPages = Literal["consumer", "huge", "hugetlb"]
Engine = Literal["libaio", "io_uring", "psync"]
Access = Literal["sequential", "random"]
DropCaches = Literal["auto", "always", "file", "never"]
# The policies that drop the page cache of the whole host.
DROPPING: tuple[DropCaches, ...] = ("auto", "always")

Stage = Literal["pass", "race"]
# `reference` and `pass` belong to the pass, `repeat` to the race, the other purposes to neither. The last four follow
# the choice: curves by request size, huge pages beside the consumer's, new files, and several processes at once.
Purpose = Literal["calibrate", "reference", "pass", "repeat", "sustain", "curve", "memory", "new_file", "processes"]


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
    """A request to the helper for one measurement of one setting.

    With "psync" the setting's threads have one request in flight each, and its queue depth is 1. `random` places are
    multiples of the block size over the whole span, in an order that follows from `seed`. With a `read_percent` the
    request mixes reads and writes, and its direction is "write". `memory` replaces the kind of buffer of the command
    line. `groups` is the number of processes that are stood for: each has its own threads and open file, and an equal
    part of the transfer. With `new_file` each transfer writes an empty file in the scratch file's folder. The
    measurement ends after the transfer in which other processes moved more than `max_foreign_bytes` (0: no limit).
    """

    id: int
    direction: Direction
    setting: Setting
    transfer_bytes: int
    min_ns: int
    min_transfers: int = 1
    max_bytes: int = 0
    drop_caches: bool | None = None
    purpose: Purpose = "pass"
    engine: Engine = "libaio"
    access: Access = "sequential"
    seed: int = 0
    read_percent: int = 0
    memory: BufferPages | None = None
    groups: int = 1
    new_file: bool = False
    max_foreign_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement as reported by the helper.

    `cpu_ns` is the processor time over all threads, 0 if unknown. `passing_bytes` is the largest number of bytes of the
    scratch file seen in the page cache during the transfers: 0 with direct I/O, or if unknown. `requests` is their
    number, 0 in older files. `again` counts the submissions that the kernel refused for a moment. `return_ns` is the
    median time from the last completion of a transfer to its caller, 0 if unknown. `groups_ns` has, for each group, the
    sum of its times, and is () for one group. `mix_written_bytes` are those that a mix wrote, None for other
    measurements, or if unknown. `neighbour_bytes` were moved by other namespaces of the drive between
    request and answer. `at_s` is the Unix time of the answer, None in older files. `celsius` is the last reading of the
    drive's hottest sensor before that, None in older files or without a sensor.
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
    requests: int = 0
    again: int = 0
    return_ns: int = 0
    groups_ns: tuple[int, ...] = ()
    mix_written_bytes: int | None = None
    neighbour_bytes: int = 0
    at_s: float | None = None
    celsius: float | None = None

    @property
    def bytes_per_s(self) -> float:
        """Return the throughput that a consumer gets, which is all bytes over all time."""
        return self.bytes * 1e9 / self.elapsed_ns

    @property
    def written_bytes(self) -> int:
        """Return the bytes that the measurement wrote; those of a mix follow from its percentage if unknown."""
        if self.request.direction == "read":
            return 0
        if self.mix_written_bytes is not None:
            return self.mix_written_bytes
        return self.bytes * (100 - self.request.read_percent) // 100

    @property
    def read_bytes(self) -> int:
        """Return the bytes that the measurement read."""
        return self.bytes - self.written_bytes
