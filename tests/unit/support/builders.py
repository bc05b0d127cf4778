"""Builders of facts with defaults, a drive for comparing settings, and the paths of the stand-in helpers."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aio_tuned.helper.protocol import Hello
from aio_tuned.model.curve import Curve, PointStats
from aio_tuned.model.device import Device, Mount, Queue
from aio_tuned.model.measurement import Phase, Point, Request, Sample
from aio_tuned.model.profile import (
    CombinedResult,
    Concurrency,
    DeviceInfo,
    Evidence,
    Fingerprint,
    Profile,
    Result,
    Skipped,
    Unmeasured,
)
from aio_tuned.model.setting import DEFAULT_SETTING, Grid, Setting
from aio_tuned.model.size_curve import SizeCurve, SizePoint
from aio_tuned.model.target import Target
from aio_tuned.search.grid import points, settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.measurement import Engine, Purpose
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.size_curve import CurveOp

PROJECT = Path(__file__).parents[3]
FAKE_HELPER = PROJECT / "tests/fakes/fake_aio_sweep.py"
UNKILLABLE_HELPER = PROJECT / "tests/fakes/unkillable_helper.py"
MIB = 1 << 20
GIB = 1 << 30

SMALL_GRID = Grid(
    block_size=(128 << 10, 1 << 20),
    queue_depth=(4, 32),
    io_parallelism=(1, 4),
    overlap_events=(True, False),
    single_submit=(False,),
)

HELLO = Hello(
    version="0.1.0",
    dio_alignment_bytes=512,
    buffer="256 MiB, locked",
    drop_caches=True,
    no_drop_reason="",
    counters_live=True,
    fill_bytes=GIB,
)


def setting(block: int = MIB, depth: int = 8, threads: int = 1, overlap: bool = True, single: bool = False) -> Setting:
    return Setting(
        block_size=block, queue_depth=depth, io_parallelism=threads, overlap_events=overlap, single_submit=single
    )


def request(which: Setting = DEFAULT_SETTING, **changes: Any) -> Request:  # noqa: ANN401 - any field
    made = Request(id=1, direction="read", setting=which, transfer_bytes=64 * MIB, min_ns=1_000_000)
    return replace(made, **changes)


def sample(
    which: Setting = DEFAULT_SETTING,
    bytes_per_s: float = 1e9,
    *,
    direction: Direction = "read",
    transfer_bytes: int = 64 * MIB,
    number: int = 1,
    purpose: Purpose = "pass",
    verdict: Literal["device", "cache", "unknown"] = "device",
    foreign_bytes: int = 0,
    wall_ns: int | None = None,
    latency_p99_ns: int = 1_000_000,
) -> Sample:
    elapsed = round(transfer_bytes / bytes_per_s * 1e9)
    return Sample(
        request=request(which, id=number, direction=direction, transfer_bytes=transfer_bytes, purpose=purpose),
        transfers_ns=(elapsed,),
        bytes=transfer_bytes,
        elapsed_ns=elapsed,
        wall_ns=elapsed if wall_ns is None else wall_ns,
        latency_p50_ns=latency_p99_ns // 2,
        latency_p99_ns=latency_p99_ns,
        cache_verdict=verdict,
        cache_dropped=False,
        device_read_bytes=(transfer_bytes if direction == "read" else 0) + foreign_bytes,
        device_write_bytes=transfer_bytes if direction == "write" else 0,
    )


def timeless(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return the samples without their times and temperatures."""
    return tuple(replace(one, at_s=None, celsius=None) for one in samples)


def phase(grid: Grid = SMALL_GRID, **changes: Any) -> Phase:  # noqa: ANN401 - any field
    """Return a pass over the grid's points; `stage="race"` makes it their race."""
    made = Phase(
        direction="read",
        stage="pass",
        points=points(settings(grid), 64 * MIB),
        reference=Point(setting=DEFAULT_SETTING, aliases=(DEFAULT_SETTING,)),
        transfer_bytes=64 * MIB,
        visit_ns=100_000_000,
        visit_bytes=0,
        time_budget_ns=60_000_000_000,
        write_budget_bytes=64 * GIB,
        tolerance=0.01,
        seed=1,
    )
    return replace(made, **changes)


def stats(
    bytes_per_s: float,
    which: Setting,
    *others: Setting,
    width: float = 0.005,
    p99_us: float = 1000.0,
    visits: int = 3,
    freedom: float = 20.0,
) -> PointStats:
    return PointStats(
        point=Point(setting=which, aliases=(which, *others)),
        bytes_per_s=bytes_per_s,
        low_bytes_per_s=bytes_per_s * (1 - width),
        high_bytes_per_s=bytes_per_s * (1 + width),
        visits=visits,
        latency_p99_us=p99_us,
        error=width / 2,
        freedom=freedom,
    )


def curve(*found: PointStats, direction: Direction = "read", **changes: Any) -> Curve:  # noqa: ANN401 - any field
    made = Curve(
        direction=direction,
        points=found,
        reference=None,
        transfer_bytes=64 * MIB,
        planned=len(found),
        noise=0.01,
        drift=0.0,
    )
    return replace(made, **changes)


class Drive:
    """A drive that answers requests by the `truth` of their settings, with lognormal noise and without a clock."""

    def __init__(self, noise: float, seed: int, best_bytes_per_s: float = 6.5e9) -> None:
        self.noise = noise
        self.random = random.Random(seed)
        self.best_bytes_per_s = best_bytes_per_s

    def truth(self, which: Setting) -> float:
        """Return the throughput in bytes/s, which saturates with the bytes in flight; threads and calls reduce it."""
        depth = which.queue_depth if which.overlap_events else which.queue_depth * 0.8
        in_flight = which.block_size * depth * which.io_parallelism
        saturation = 1 - math.exp(-in_flight / (6 * MIB))
        toll = 1 - 0.004 * which.io_parallelism - (0.01 if which.single_submit else 0)
        return self.best_bytes_per_s * saturation * toll

    def answer(self, asked: Request) -> Sample:
        each = asked.transfer_bytes / self.truth(asked.setting) * 1e9
        count = max(asked.min_transfers, math.ceil(asked.min_ns / each))
        if asked.max_bytes:
            count = max(1, min(count, asked.max_bytes // asked.transfer_bytes))
        elapsed = max(count, round(count * each * math.exp(self.random.gauss(0, self.noise))))
        total = count * asked.transfer_bytes
        return Sample(
            request=asked,
            transfers_ns=(elapsed // count,) * (count - 1) + (elapsed - elapsed // count * (count - 1),),
            bytes=total,
            elapsed_ns=elapsed,
            wall_ns=elapsed + 1000,
            latency_p50_ns=500_000,
            latency_p99_ns=1_000_000,
            cache_verdict="device",
            cache_dropped=False,
            device_read_bytes=total if asked.direction == "read" else 0,
            device_write_bytes=total if asked.direction == "write" else 0,
        )


def mount(point: str = "/mnt/nvme", **changes: Any) -> Mount:  # noqa: ANN401 - any field
    made = Mount(
        id=30,
        device_number="259:1",
        root="/",
        point=Path(point),
        read_only=False,
        filesystem="ext4",
        source="/dev/nvme0n1p1",
    )
    return replace(made, **changes)


def device(**changes: Any) -> Device:  # noqa: ANN401 - any field
    made = Device(
        id="eui.0025385b21404e5f",
        name="nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1",
        sys_name="nvme0n1",
        node=Path("/dev/nvme0n1"),
        device_number="259:0",
        size_bytes=1_000_204_886_016,
        logical_block_bytes=512,
        diskseq=9,
        model="Samsung SSD 980 PRO 1TB",
        serial="S5GXNF0R123456",
        firmware="5B2QGXA7",
        nsid=1,
        transport="pcie",
        pcie_link="16.0 GT/s x4",
        metadata_bytes=0,
        numa_node=0,
        queue=Queue(max_sectors_kb=128, nr_requests=1023, scheduler="none"),
    )
    return replace(made, **changes)


def scratch_target(**changes: Any) -> Target:  # noqa: ANN401 - any field
    made = Target(kind="scratch", path=Path("/mnt/nvme"), span_bytes=GIB, spare_bytes=100 * GIB, filesystem="ext4")
    return replace(made, **changes)


def result(**changes: Any) -> Result:  # noqa: ANN401 - any field
    made = Result(
        setting=setting(depth=16, threads=2),
        throughput_bytes_per_s=6_512_000_000,
        throughput_ci95_bytes_per_s=(6_480_000_000, 6_544_000_000),
        latency_p99_us=1210.0,
        ties=41,
        default_throughput_bytes_per_s=5_900_000_000,
        transfer_bytes=256 * MIB,
        saturating_concurrency=16,
        confidence="settled",
        regret95_percent=1.62,
        expected_shortfall_percent=0.51,
        tolerance_percent=2.0,
        probability_within_tolerance=0.981,
        versus_default_percent=10.37,
        versus_default_ci95_percent=(9.81, 10.94),
        stopped_because="the choice is clear",
        not_ruled_out=3,
        challengers=((1 << 20, 32, 1, 1, 0, 9961), (128 << 10, 64, 4, 1, 0, 9938), (512 << 10, 8, 8, 0, 1, 9907)),
    )
    return replace(made, **changes)


def evidence(**changes: Any) -> Evidence:  # noqa: ANN401 - any field
    made = Evidence(
        measured_at="2025-11-23T12:00:00+00:00",
        tool_version="0.1.0",
        helper_version="0.1.0",
        kernel="6.8.0-45-generic",
        target="scratch file on ext4",
        seed=7,
        grid_points=320,
        points_planned=508,
        points_measured=508,
        visits=1026,
        tainted_visits=0,
        seconds=151.2,
        io_seconds=120.5,
        bytes_read=10**12,
        bytes_written=8 * GIB,
        read_noise=0.006,
        write_noise=0.009,
        read_drift=-0.002,
        write_drift=0.008,
        drop_caches="auto",
        caches_dropped=2,
        cache_verdict="device",
        buffer="256 MiB, 256 MiB of it huge pages (thp), locked",
        findings=("read: something was noticed",),
    )
    return replace(made, **changes)


def device_info(**changes: Any) -> DeviceInfo:  # noqa: ANN401 - any field
    drive = device()
    made = DeviceInfo(
        id=drive.id,
        name=drive.name,
        model=drive.model,
        serial=drive.serial,
        firmware=drive.firmware,
        nsid=drive.nsid,
        size_bytes=drive.size_bytes,
        logical_block_bytes=drive.logical_block_bytes,
        transport=drive.transport,
        pcie_link=drive.pcie_link,
        numa_node=drive.numa_node,
        members=(),
    )
    return replace(made, **changes)


def profile(**changes: Any) -> Profile:  # noqa: ANN401 - any field
    made = Profile(
        schema=2,
        state="measured",
        device=device_info(),
        read=result(),
        write=result(setting=setting(depth=4), throughput_bytes_per_s=3_950_000_000),
        combined=CombinedResult(
            setting=setting(depth=16),
            read_throughput_bytes_per_s=6_400_000_000,
            write_throughput_bytes_per_s=3_900_000_000,
            read_share=0.9828,
            write_share=0.9873,
            ties=62,
        ),
        evidence=evidence(),
        fingerprint=Fingerprint(
            firmware="5B2QGXA7",
            pcie_link="16.0 GT/s x4",
            logical_block_bytes=512,
            integrity_format="",
            metadata_bytes=0,
            max_sectors_kb=128,
            nr_requests=1023,
            scheduler="none",
            filesystem="ext4",
            kernel="6.8",
        ),
    )
    return replace(made, **changes)


def read_only_profile(reason: str = "asked for reads only (--read-only)") -> Profile:
    return profile(
        write=Skipped(skipped=reason),
        combined=Skipped(skipped=reason),
        evidence=evidence(write_noise=None, write_drift=None),
    )


def never_measured_profile() -> Profile:
    return profile(
        state="provisional",
        read=Unmeasured(setting=DEFAULT_SETTING),
        write=Unmeasured(setting=DEFAULT_SETTING),
        combined=Unmeasured(setting=DEFAULT_SETTING),
        evidence=Evidence.unmeasured("0.1.0"),
    )


def size_curve(engine: Engine = "psync", op: CurveOp = "read", best_bytes_per_s: float = 6.5e9) -> SizeCurve:
    """Return a curve whose sizes saturate with 2 MiB in flight; 16M has too few requests for a p99."""
    points = []
    for size in (4096, 65536, 262_144, MIB, 16 * MIB):
        levels = [1 << doubling for doubling in range(9) if size << doubling <= 64 * MIB]
        rates = [best_bytes_per_s * min(1.0, size * level / (2 * MIB)) for level in levels]
        for level, rate in zip(levels, rates, strict=True):
            p50_us = round(level * size / rate * 1e6, 1)
            p99_us = round(1.5 * p50_us, 1) if size < 16 * MIB else None
            points.append(SizePoint(size, level, int(rate), p50_us, p99_us, round(rate / max(rates), 4)))
    return SizeCurve(engine=engine, op=op, points=tuple(points))


CURVES = (
    size_curve("io_uring", "read"),
    size_curve("io_uring", "write", 3.9e9),
    size_curve("psync", "read", 6.2e9),
    size_curve("psync", "write", 3.7e9),
    size_curve("psync", "mixed", 4.4e9),
)
CONCURRENCY = Concurrency(
    processes=(1, 2, 4, 8),
    read_throughput_bytes_per_s=(6_512_000_000, 6_480_000_000, 6_100_000_000, 5_200_000_000),
    read_p99_us=(1210.0, 2405.0, 4800.0, 0.0),
    read_slowest_share=(1.0, 0.99, 0.96, 0.81),
    read_divisor=(1, 2, 4, 8),
    write_throughput_bytes_per_s=(3_950_000_000, 3_940_000_000, 3_900_000_000, 3_700_000_000),
    write_p99_us=(900.0, 1800.0, 3700.0, 9100.0),
    write_slowest_share=(1.0, 0.98, 0.97, 0.9),
    write_divisor=(1, 1, 2, 4),
)


def consumer_evidence(**changes: Any) -> Evidence:  # noqa: ANN401 - any field
    """Return evidence with what a sweep measures after the choice."""
    found: dict[str, Any] = {
        "huge_share": 0.0,
        "mean_run_bytes": 8192,
        "thp": "madvise",
        "read_huge_gain_percent": 18.2,
        "read_huge_gain_ci95_percent": (15.1, 21.4),
        "write_huge_gain_percent": 0.4,
        "write_huge_gain_ci95_percent": (-1.2, 2.1),
        "first_write_throughput_bytes_per_s": 1_210_000_000,
        "read_return_us": 14.2,
        "write_return_us": 15.0,
        "io_uring_read_ratio": 1.18,
        "io_uring_read_ratio_ci95": (1.15, 1.21),
        "io_uring_write_ratio": 1.004,
        "io_uring_write_ratio_ci95": (0.99, 1.02),
    }
    return evidence(**(found | changes))


def consumer_profile(**changes: Any) -> Profile:  # noqa: ANN401 - any field
    """Return a profile with everything that a sweep measures after the choice."""
    made = profile(
        curves=CURVES,
        concurrency=CONCURRENCY,
        evidence=consumer_evidence(),
        fingerprint=replace(
            profile().fingerprint,
            cpu_model="AMD EPYC 9454P",
            cpus=96,
            thp="madvise",
            page_bytes=4096,
            iommu="DMA-FQ",
            numa_node=0,
        ),
    )
    return replace(made, **changes)
