"""A profile; the fields are the keys of the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from aio_tuned.model.setting import Setting

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.size_curve import SizeCurve
    from aio_tuned.model.verdict import Verdict

Effort = Literal["quick", "default", "thorough"]

State = Literal["provisional", "measured", "stale"]

# The worst first.
Confidence = Literal["low", "bounded", "settled"]

# The share of a challenger is an integer number of these parts.
SHARE_ONE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The section of one direction: the five parameters, then their figures.

    By the joint posterior of all points measured together, the setting is at most `regret95_percent` below the best
    with 95 % probability, `expected_shortfall_percent` on average, and at most `tolerance_percent` with
    `probability_within_tolerance`. `versus_default_percent` is its gain over DeepSpeed's default setting, with a 95 %
    interval. `confidence` is "settled" if the race was settled, "low" if `regret95_percent` is above 10, else
    "bounded". `stopped_because` is the reason for the end of measuring, and `not_ruled_out` the number of other
    settings that may be the best. `kept_from` is "earlier" or the name of a sibling if that setting was kept.
    `challengers` are the best settings of other classes (threads and block size): the five parameters, then
    ten-thousandths of the chosen setting's throughput. `sustained_throughput_bytes_per_s` is the throughput of
    sustained writes in a thorough sweep. Keys that may be None are missing in older files.
    """

    setting: Setting
    throughput_bytes_per_s: int
    throughput_ci95_bytes_per_s: tuple[int, int]
    latency_p99_us: float
    ties: int
    default_throughput_bytes_per_s: int
    transfer_bytes: int
    saturating_concurrency: int | None = None
    confidence: Confidence | None = None
    regret95_percent: float | None = None
    expected_shortfall_percent: float | None = None
    tolerance_percent: float | None = None
    probability_within_tolerance: float | None = None
    versus_default_percent: float | None = None
    versus_default_ci95_percent: tuple[float, float] | None = None
    stopped_because: str | None = None
    not_ruled_out: int | None = None
    kept_from: str | None = None
    challengers: tuple[tuple[int, int, int, int, int, int], ...] | None = None
    sustained_throughput_bytes_per_s: int | None = None

    def challenger_shares(self) -> tuple[tuple[Setting, float], ...]:
        """Return the settings of the challengers, each with its throughput relative to the chosen setting."""
        return tuple(
            (
                Setting(
                    block_size=block,
                    queue_depth=depth,
                    io_parallelism=threads,
                    overlap_events=bool(overlap),
                    single_submit=bool(single),
                ),
                share / SHARE_ONE,
            )
            for block, depth, threads, overlap, single, share in self.challengers or ()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A section with a setting that was not measured; `overridden` names the parameters set by the administrator."""

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
    """A section without a setting, with the reason."""

    skipped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Several processes at once, each with handles of its own and the chosen setting of a direction.

    Every array has an entry for each number of `processes`. Each process divides its requests in flight (queue depth
    times threads) by the divisor, the largest one that keeps 98 % of the most throughput of that number. The figures
    are those with the divisor: the throughput of all together, the p99 of their requests (0 if fewer than
    size_curve.MIN_REQUESTS_OF_P99 were measured), and the slowest one's throughput relative to their mean. A direction
    that was not measured has no arrays, which are None.
    """

    processes: tuple[int, ...]
    read_throughput_bytes_per_s: tuple[int, ...] | None = None
    read_p99_us: tuple[float, ...] | None = None
    read_slowest_share: tuple[float, ...] | None = None
    read_divisor: tuple[int, ...] | None = None
    write_throughput_bytes_per_s: tuple[int, ...] | None = None
    write_p99_us: tuple[float, ...] | None = None
    write_slowest_share: tuple[float, ...] | None = None
    write_divisor: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The circumstances of the measurements; `measured_at` is None if nothing was measured.

    `huge_share` and `mean_run_bytes` describe the buffer (helper.protocol.Hello), `thp` the kernel's policy for
    transparent huge pages. The gains are what huge pages add to the throughput of the chosen setting, with 95 %
    intervals. `first_write_throughput_bytes_per_s` is that of the chosen setting in a new file, which each write
    extends. `return_us` is the median time from the last completion of a transfer to the caller. `io_uring_ratio` is
    the throughput of io_uring over that of psync with requests of 128 KiB at random places, each with as many in flight
    as give the most, with a 95 % interval. `fleet_class` and `fleet_generation` name the result of a hardware class
    whose settings were checked on this drive, and `fleet_contributors` the drives that were swept for it, each as
    NODE/DRIVE.
    """

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
    huge_share: float | None = None
    mean_run_bytes: int | None = None
    thp: str | None = None
    read_huge_gain_percent: float | None = None
    read_huge_gain_ci95_percent: tuple[float, float] | None = None
    write_huge_gain_percent: float | None = None
    write_huge_gain_ci95_percent: tuple[float, float] | None = None
    first_write_throughput_bytes_per_s: int | None = None
    read_return_us: float | None = None
    write_return_us: float | None = None
    io_uring_read_ratio: float | None = None
    io_uring_read_ratio_ci95: tuple[float, float] | None = None
    io_uring_write_ratio: float | None = None
    io_uring_write_ratio_ci95: tuple[float, float] | None = None
    temperature_peak_c: float | None = None
    paused_seconds: float | None = None
    resumed: int | None = None
    checked_against: str | None = None
    fleet_class: str | None = None
    fleet_generation: int | None = None
    fleet_contributors: tuple[str, ...] | None = None
    effort: str | None = None
    findings: tuple[str, ...] = ()

    @classmethod
    def unmeasured(cls, tool_version: str) -> Evidence:
        """Return the evidence of a profile without measurements of its own, made by this version of the tool."""
        return cls(
            tool_version=tool_version,
            helper_version="",
            kernel="",
            target="",
            seed=0,
            grid_points=0,
            points_planned=0,
            points_measured=0,
            visits=0,
            tainted_visits=0,
            seconds=0.0,
            io_seconds=0.0,
            bytes_read=0,
            bytes_written=0,
            drop_caches="",
            caches_dropped=0,
            cache_verdict="",
            buffer="",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The facts on which the figures depend; a change makes the profile stale.

    An unknown `metadata_bytes` is None, and an unknown `pcie_link` is "". From `cpu_model` to `numa_node` they describe
    the host and are None if unknown, as in older profiles: the model and number of the present processors, the policy
    for transparent huge pages, the size of the kernel's pages, the mode of the drive's IOMMU domain ("none" without
    one), and the drive's NUMA node (-1 without one).
    """

    firmware: str
    pcie_link: str
    logical_block_bytes: int
    integrity_format: str = ""
    metadata_bytes: int | None = None
    max_sectors_kb: int
    nr_requests: int
    scheduler: str
    filesystem: str
    array: str | None = None
    cpu_model: str | None = None
    cpus: int | None = None
    thp: str | None = None
    page_bytes: int | None = None
    iommu: str | None = None
    numa_node: int | None = None
    # The last line of a file is one that it must have, so a file that was cut off is none.
    kernel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """The drive as identified in a profile; `boot_id` is the boot in which an id made of the kernel name is valid."""

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
    boot_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One file of /etc/aio-tuned; the file has a section of its own for each of the `curves` and `verified`."""

    schema: int
    state: State
    device: DeviceInfo
    read: Result | Unmeasured | Skipped
    write: Result | Unmeasured | Skipped
    combined: CombinedResult | Unmeasured | Skipped
    # A file that was cut off within these three is none, since the sections after them are missing.
    curves: tuple[SizeCurve, ...] = ()
    concurrency: Concurrency | None = None
    verified: tuple[Verdict, ...] = ()
    evidence: Evidence
    fingerprint: Fingerprint

    def sections(self) -> tuple[tuple[Direction, Result | Unmeasured | Skipped], ...]:
        """Return the sections of the directions with their names, from which `combined` follows."""
        return ("read", self.read), ("write", self.write)

    def doubted(self, *why: str) -> Profile:
        """Return the profile as stale, with these findings added."""
        findings = tuple(dict.fromkeys((*self.evidence.findings, *why)))  # without duplicates
        return replace(self, state="stale", evidence=replace(self.evidence, findings=findings))
