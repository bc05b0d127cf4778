"""The facts and decisions that travel between the rooms. Imports nothing of ours; units are in the names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Direction = Literal["read", "write"]
DropCaches = Literal["auto", "always", "never"]
RawWrite = Literal["never", "blank"]
Purpose = Literal["calibrate", "reference", "pass", "repeat", "sustain"]
Effort = Literal["quick", "default", "thorough"]
State = Literal["provisional", "measured", "stale"]

# --- what is tuned ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The five parameters of DeepSpeed's `aio_handle`, which every other consumer's derive from."""

    block_size: int
    queue_depth: int
    io_parallelism: int
    overlap_events: bool
    single_submit: bool

    @property
    def concurrency(self) -> int:
        """Requests that are in flight at once, over all threads."""
        return self.queue_depth * self.io_parallelism

    @property
    def in_flight_bytes(self) -> int:
        """Memory that is in flight at once, over all threads."""
        return self.block_size * self.concurrency


# DeepSpeed's own defaults (deepspeed/runtime/swap_tensor/constants.py): what an untuned reader gets, hence the
# reference that every sweep repeats.
DEFAULT_SETTING = Setting(block_size=1 << 20, queue_depth=8, io_parallelism=1, overlap_events=True, single_submit=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values of each parameter; the sweep covers their product."""

    block_size: tuple[int, ...]
    queue_depth: tuple[int, ...]
    io_parallelism: tuple[int, ...]
    overlap_events: tuple[bool, ...]
    single_submit: tuple[bool, ...]


# --- the drive -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Limits and policy of the block layer's request queue (/sys/block/X/queue); 0 or "" where unknown."""

    max_sectors_kb: int = 0
    nr_requests: int = 0
    scheduler: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A whole disk or a volume, by what stays with it.

    `sys_name`, `device_number` and `members` (the kernel's names of the disks below a volume, whose lasting ones are
    the `member_names`) hold for this boot only.
    """

    id: str
    name: str
    sys_name: str
    node: Path
    device_number: str
    size_bytes: int
    logical_block_bytes: int
    read_only: bool = False
    hidden: bool = False
    diskseq: int | None = None
    model: str = ""
    serial: str = ""
    firmware: str = ""
    nsid: int | None = None
    transport: str = ""
    pcie_link: str = ""
    numa_node: int | None = None
    members: tuple[str, ...] = ()
    member_names: tuple[str, ...] = ()
    queue: Queue = field(default_factory=Queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mounted filesystem: a line of /proc/self/mountinfo."""

    id: int
    device_number: str
    root: str
    point: Path
    read_only: bool
    filesystem: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a device is used for at this moment; the facts that decide where a sweep may write.

    `zero_share` is the share of sampled blocks in the span to be read that hold only zeros: 1.0 on a blank drive.
    `blank` is true only if neither the kernel nor blkid knows any use and every sampled byte is zero.
    """

    mount: Mount | None = None
    mounted_at: tuple[str, ...] = ()
    free_bytes: int = 0
    partitions: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    swap: bool = False
    raw_node: Path | None = None
    raw_size_bytes: int = 0
    raw_offset_bytes: int = 0
    zero_share: float = 0.0
    blank: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator allows and asks for."""

    raw: bool = False
    read_only: bool = False
    raw_write: RawWrite = "never"
    span_bytes: int = 1 << 30
    least_span_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the sweep does its I/O, and whether it may write there (`no_write` says why not)."""

    kind: Literal["scratch", "device"]
    path: Path
    span_bytes: int
    offset_bytes: int = 0
    filesystem: str = ""
    no_write: str = ""
    provisional: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """An expected outcome, not an error: this device is not swept, and why."""

    reason: str


# --- the experiment --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Settings that are the same program at the phase's transfer size; `setting` is the cheapest of them."""

    setting: Setting
    aliases: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The plan of one direction. Times are the helper's nanoseconds, `wall` ones: all that a point costs.

    The first `sure_points` are visited whatever comes, the others only where they are neighbours of the best.
    `sustain_bytes` of the write budget are kept for writing on and on with the setting that was found.
    """

    direction: Direction
    points: tuple[Point, ...]
    reference: Point
    transfer_bytes: int
    visit_ns: int
    visit_bytes: int
    time_budget_ns: int
    write_budget_bytes: int
    tolerance: float
    seed: int
    may_drop_caches: bool = True
    sure_points: int | None = None
    sustain_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One visit to one point: what the helper is asked to do."""

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
    """One visit as the helper reported it; `cpu_ns` is its processor time over all threads, 0 if unknown.

    `at_s` is the Unix time when its report came, and `celsius` what the drive's hottest sensor said last before that;
    None in files that were written before there were such keys, and where there is no sensor.
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
    at_s: float | None = None
    celsius: float | None = None

    @property
    def bytes_per_s(self) -> float:
        """Throughput of the visit as a consumer gets it: all bytes over all time."""
        return self.bytes * 1e9 / self.elapsed_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class PointStats:
    """What is known of one point; `bytes_per_s` lies within `low` and `high` with 95 % confidence.

    `cpu_s_per_gb` is the processor time for 10^9 bytes, over all threads; 0 if unknown.
    `error` is the standard error of its logarithm, as of `freedom` degrees of freedom. `likely_bytes_per_s` and
    `likely_error` are the same with what the neighbours say of it (see surface.py).
    """

    point: Point
    bytes_per_s: float
    low_bytes_per_s: float
    high_bytes_per_s: float
    visits: int
    latency_p99_us: float
    error: float
    freedom: float
    likely_bytes_per_s: float
    likely_error: float
    cpu_s_per_gb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """A fall of the reference's throughput that lasted: a write cache was full, or credits were spent.

    `before_counts` says which side of it makes the curve.
    """

    before_counts: bool
    after_bytes: int
    before_bytes_per_s: float
    behind_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """What one setting gave when it wrote on and on: at the end, and after how many bytes it fell (None: it did not).

    `steady` says whether the end was steady.
    """

    bytes_per_s: float
    steady: bool
    fell_after_bytes: int | None
    written_bytes: int
    first_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """All measured points of one direction, in the plan's order.

    Throughputs are of the drive's usual level in the phase, the median over its visits. `noise` is the relative
    standard deviation between visits to one point; `drift` how the level has changed from the first visit to the last;
    `tail` the logarithm that the worst twentieth of the visits lose; `memory` the correlation between what successive
    visits deviate by: what the removal of the drift has left.
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
    """The setting for one direction: the cheapest of `ties` points within the tolerance of the best.

    `saturating_concurrency` is the least number of requests in flight, over all threads, among those of them whose
    blocks are no larger. `within` is the most that the setting's throughput is below that of the best point, as a
    share, with 95 % confidence over all points.
    """

    stats: PointStats
    best: PointStats
    ties: int
    saturating_concurrency: int
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedChoice:
    """One setting for both directions; shares are of each direction's best."""

    setting: Setting
    read: PointStats
    write: PointStats
    read_share: float
    write_share: float
    ties: int


# --- the profile: the fields are the keys of the file ------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One direction's section: the five parameters, then what they gave.

    With 95 % confidence, over all points together, it is no more than `within_percent` below the best. `sustained_…` is
    what the setting gives when it goes on and on, measured by a thorough sweep. Keys that may be None are missing in
    files that were written before there were such keys.
    """

    setting: Setting
    throughput_bytes_per_s: int
    throughput_ci95_bytes_per_s: tuple[int, int]
    latency_p99_us: float
    ties: int
    default_throughput_bytes_per_s: int
    transfer_bytes: int
    saturating_concurrency: int | None = None
    within_percent: float | None = None
    sustained_throughput_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A section with a setting that was not measured as it is; `overridden` names what the administrator has set."""

    setting: Setting
    overridden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedResult:
    """The section for consumers that take only one setting."""

    setting: Setting
    read_throughput_bytes_per_s: int
    write_throughput_bytes_per_s: int
    read_share: float
    write_share: float
    ties: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A section without a setting, and why."""

    skipped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How the numbers came about; `measured_at` is missing where nothing was measured."""

    measured_at: str | None = None
    tool_version: str
    helper_version: str
    kernel: str
    target: str
    seed: int
    grid_points: int
    points_planned: int
    points_measured: int
    visits: int
    tainted_visits: int
    seconds: float
    io_seconds: float
    bytes_read: int
    bytes_written: int
    read_noise: float | None = None
    write_noise: float | None = None
    read_drift: float | None = None
    write_drift: float | None = None
    drop_caches: str
    caches_dropped: int
    cache_verdict: str
    buffer: str
    temperature_peak_c: float | None = None
    paused_seconds: float | None = None
    resumed: int | None = None
    checked_against: str | None = None
    effort: str | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What the numbers depend on; a change makes the profile stale."""

    firmware: str
    pcie_link: str
    logical_block_bytes: int
    max_sectors_kb: int
    nr_requests: int
    scheduler: str
    filesystem: str
    kernel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """The drive, as the file names it."""

    id: str
    name: str
    model: str
    serial: str
    firmware: str
    nsid: int | None
    size_bytes: int
    logical_block_bytes: int
    transport: str
    pcie_link: str
    numa_node: int | None
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One file of /etc/aio-tuned."""

    schema: int
    state: State
    device: DeviceInfo
    read: Result | Unmeasured | Skipped
    write: Result | Unmeasured | Skipped
    combined: CombinedResult | Unmeasured | Skipped
    evidence: Evidence
    fingerprint: Fingerprint
