"""Models of volumes: md RAID0, cloud disks and virtio. The comment on each gives the sources of its limits.

Providers publish the ceilings. Latencies, noise and neighbours are plausible values. The guest's counters do not
include the I/O of neighbours, so it is noise here and not foreign I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from fakes.simulated.consumer import CONSUMER
from fakes.simulated.enterprise import ENTERPRISE
from fakes.simulated.model import GB, Cliff, Drift, DriveModel, Foreign, Host, Noise, Side, Stalls


class _Sides(TypedDict):
    read: Side
    write: Side


_MIB = 1 << 20
_CHUNK_KB = 512
_NAMED = {model.name: model for model in (*ENTERPRISE, *CONSUMER)}


def _striped_side(side: Side, members: int, max_bytes_per_s: float) -> Side:
    cliff = side.cliff
    if cliff is not None:
        cliff = Cliff(
            bytes=cliff.bytes * members,
            bytes_per_s=cliff.bytes_per_s * members,
            recovery_bytes_per_s=cliff.recovery_bytes_per_s * members,
        )
    return replace(
        side,
        bytes_per_s=min(side.bytes_per_s * members, max_bytes_per_s),
        iops=side.iops * members,
        window_bytes=side.window_bytes * members,
        spread=side.spread * 1.5,
        cliff=cliff,
    )


def _raid0(
    name: str, member: str, members: int, *, max_bytes_per_s: float = 60e9, held_back: bool = False
) -> DriveModel:
    """Make a RAID0 model: md splits requests at the chunk, and unevenly full queues of the members soften the knee."""
    one = _NAMED[member]
    return replace(
        one,
        name=name,
        family="raid0",
        held_back=held_back,
        read=_striped_side(one.read, members, max_bytes_per_s),
        write=_striped_side(one.write, members, max_bytes_per_s),
        max_sectors_kb=min(_CHUNK_KB, one.max_sectors_kb),
        tags=one.tags * members,
        host=replace(one.host, request_ns=one.host.request_ns + 1500, piece_ns=one.host.piece_ns + 700),
        knee=one.knee * 0.75,
        crowd_from=one.crowd_from * members,
    )


RAID0: tuple[DriveModel, ...] = (
    _raid0("raid0-2x970-evo-plus", "970-evo-plus", 2),
    _raid0("raid0-2x990-pro", "990-pro", 2, held_back=True),
    _raid0("raid0-4xpm9a3", "pm9a3", 4),
    # Eight Gen4 drives behind one PCIe 4.0 x16 switch: some 26 GB/s.
    _raid0("raid0-8xmicron-7450", "micron-7450", 8, max_bytes_per_s=26e9),
    _raid0("raid0-4xkioxia-cm7", "kioxia-cm7", 4, held_back=True),
)

_CLOUD = Host(cores=8, call_ns=2500, request_ns=4000, page_ns=60, contention=0.05, switch_ns=4000)
# Huge pages gain a third there: 8.2 to 12.9 GB/s with 128K batches, measured on such a machine's fast file.
_SMALL_VM = Host(
    cores=2,
    call_ns=24_000,
    request_ns=6000,
    page_ns=150,
    wake_ns=30_000,
    contention=0.15,
    switch_ns=13_000,
    segment_cost=0.35,
)
_VM = Host(
    cores=4,
    call_ns=14_000,
    request_ns=5000,
    page_ns=100,
    wake_ns=25_000,
    contention=0.1,
    switch_ns=9000,
    segment_cost=0.12,
)
_NETWORK = Noise(visit=0.004, transfer=0.03, tail_share=0.05, tail_scale=0.1, tail_index=1.3)


def _both(
    bytes_per_s: float, iops: float, latency_us: tuple[float, float], stream_bytes_per_s: float, disorder: float = 0.0
) -> _Sides:
    """Return both directions, with the same limits and their own latencies."""
    read, write = (
        Side(
            bytes_per_s=bytes_per_s,
            iops=iops,
            latency_s=each / 1e6,
            stream_bytes_per_s=stream_bytes_per_s,
            spread=0.12,
            disorder=disorder,
        )
        for each in latency_us
    )
    return {"read": read, "write": write}


def _with_credits(sides: _Sides, size: int, behind: float, earned: float) -> _Sides:
    spent = Cliff(bytes=size, bytes_per_s=behind, recovery_bytes_per_s=earned)
    return {"read": replace(sides["read"], cliff=spent), "write": replace(sides["write"], cliff=spent)}


CLOUD: tuple[DriveModel, ...] = (
    # AWS EBS gp3 by default: 125 MiB/s, 3000 requests of up to 256 KiB per second (lethang7794.github.io).
    DriveModel(
        name="ebs-gp3",
        family="cloud",
        **_both(125 * _MIB, 3000, (700, 900), 0.25 * GB),
        max_sectors_kb=256,
        host=_CLOUD,
        knee=8.0,
        noise=Noise(visit=0.002, transfer=0.02),
    ),
    # AWS EBS gp3 at its former maximum: 1000 MiB/s, 16000 requests per second (docs.aws.amazon.com).
    DriveModel(
        name="ebs-gp3-1000",
        family="cloud",
        held_back=True,
        **_both(1000 * _MIB, 16e3, (650, 800), 0.3 * GB),
        max_sectors_kb=256,
        host=_CLOUD,
        knee=6.0,
        crowd=0.004,
        crowd_from=32,
        noise=_NETWORK,
    ),
    # AWS EBS io2 Block Express: 4000 MiB/s, 256k requests per second (docs.aws.amazon.com).
    DriveModel(
        name="ebs-io2",
        family="cloud",
        **_both(4000 * _MIB, 256e3, (280, 350), 0.6 * GB),
        max_sectors_kb=256,
        host=replace(_CLOUD, cores=32),
        noise=_NETWORK,
    ),
    # A small EC2 instance with burst credits that are nearly spent: 2780 then 695 Mbit/s: from memory.
    DriveModel(
        name="ec2-burst",
        family="cloud",
        **_with_credits(_both(347e6, 12e3, (800, 1000), 0.2 * GB), 8 * GB, 87e6, 40e6),
        max_sectors_kb=256,
        host=replace(_CLOUD, cores=2),
        knee=6.0,
        streams=0.01,
    ),
    # Google Compute Engine, one local SSD: 660 / 350 MB/s, 170k / 90k: provider's table, from memory.
    DriveModel(
        name="gcp-local-ssd",
        family="cloud",
        read=Side(bytes_per_s=660e6, iops=170e3, latency_s=110e-6, stream_bytes_per_s=0.4 * GB, spread=0.15),
        write=Side(bytes_per_s=350e6, iops=90e3, latency_s=50e-6, stream_bytes_per_s=0.3 * GB, spread=0.2),
        max_sectors_kb=128,
        host=_CLOUD,
        noise=Noise(visit=0.01, transfer=0.02, slow_factor=1.15, slow_s=2.0, fast_s=10.0),
    ),
    # Google Compute Engine pd-ssd: 1200 MiB/s per instance (cloud.google.com, disks/performance); 100k: from memory.
    DriveModel(
        name="gcp-pd-ssd",
        family="cloud",
        held_back=True,
        **_both(1200 * _MIB, 100e3, (900, 1300), 0.3 * GB),
        host=_CLOUD,
        tags=512,
        crowd=0.006,
        noise=_NETWORK,
        drift=Drift(swing=0.03, swing_s=180),
        logical_block_bytes=4096,
    ),
    # Azure Ultra disk: 10000 MB/s, 400k requests per second (lucidity.cloud; govindhtech.com).
    DriveModel(
        name="azure-ultra",
        family="cloud",
        **_both(10 * GB, 400e3, (300, 350), 0.7 * GB),
        max_sectors_kb=512,
        host=replace(_CLOUD, cores=32),
        noise=_NETWORK,
        knee=3.0,
    ),
    # Azure Premium SSD v2: 1200 MB/s, 80k requests per second (govindhtech.com; oneuptime.com).
    DriveModel(
        name="azure-premium-v2",
        family="cloud",
        **_both(1.2 * GB, 80e3, (700, 900), 0.3 * GB),
        max_sectors_kb=512,
        host=_CLOUD,
        crowd=0.003,
        crowd_from=16,
        noise=_NETWORK,
        stalls=Stalls(every_s=40, length_s=0.8),
    ),
)

VIRTIO: tuple[DriveModel, ...] = (
    # Our own figures, docs/explanation/benchmarks.md: about 3 GB/s, an error of 7 % between sweeps, two cores.
    DriveModel(
        name="virtio-shared",
        family="virtio",
        **_both(3.1 * GB, 150e3, (110, 130), 1.1 * GB, 0.06),
        host=_SMALL_VM,
        tags=256,
        noise=Noise(
            visit=0.04, transfer=0.05, tail_share=0.08, tail_scale=0.15, slow_factor=1.3, slow_s=1.5, fast_s=4.0
        ),
        drift=Drift(swing=0.05, swing_s=240),
    ),
    # A disk that QEMU throttles to 200 and 100 MB/s, as the guest of tests/vm has.
    DriveModel(
        name="qemu-throttled",
        family="virtio",
        held_back=True,
        read=Side(bytes_per_s=200e6, iops=50e3, latency_s=150e-6, stream_bytes_per_s=0.8 * GB),
        write=Side(bytes_per_s=100e6, iops=50e3, latency_s=170e-6, stream_bytes_per_s=0.8 * GB),
        host=_VM,
        tags=128,
        knee=10.0,
        noise=Noise(visit=0.003, transfer=0.05),
    ),
    # A host's Gen4 drive behind one virtio queue: the guest's processor is the ceiling. A guess.
    DriveModel(
        name="virtio-one-queue",
        family="virtio",
        **_both(6 * GB, 90e3, (120, 80), 1.8 * GB, 0.08),
        host=_VM,
        tags=128,
        crowd=0.002,
        crowd_from=64,
        foreign=Foreign(trickle_bytes_per_s=2e6, share=0.4, burst_s=1.0, quiet_s=20.0),
    ),
    # A replicated volume over the network behind virtio, 1.1 GB/s (10 Gbit/s); no counters in the guest. A guess.
    DriveModel(
        name="virtio-network",
        family="virtio",
        **_both(1.1 * GB, 30e3, (900, 2500), 0.2 * GB),
        host=_VM,
        tags=256,
        noise=_NETWORK,
        stalls=Stalls(every_s=20, length_s=0.5),
        counters=False,
    ),
)
