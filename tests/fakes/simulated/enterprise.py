"""Models of drives for servers.

The comment on each gives the sources of its sequential speeds and its random 4K requests per second. Latencies,
spreads, noise and the host are plausible values, because none is published for this workload.
"""

from __future__ import annotations

from fakes.simulated.model import GB, MIB, Cliff, Drift, DriveModel, Foreign, Host, Noise, Side, Stalls

# Without huge pages and with mitigations a page costs several times as much.
_SERVER = Host(cores=32)
_SMALL_SERVER = Host(cores=8, call_ns=2600, request_ns=5000, page_ns=160, switch_ns=4000, segment_cost=0.05)
_OLD_SERVER = Host(cores=16, call_ns=4000, request_ns=8000, page_ns=220, contention=0.05, switch_ns=6000)
_STEADY = Noise(visit=0.004, transfer=0.006)
_COLLECTING = Noise(visit=0.008, transfer=0.012, slow_factor=1.12, slow_s=0.8, fast_s=6.0)


def _side(
    bytes_per_s: float,
    iops: float,
    latency_us: float,
    stream_bytes_per_s: float,
    spread: float = 0.05,
    *,
    small_bytes: float = 0.0,
    window_mib: int = 0,
    crowd: float = 0.0,
    disorder: float = 0.0,
) -> Side:
    return Side(
        bytes_per_s=bytes_per_s,
        iops=iops,
        latency_s=latency_us / 1e6,
        stream_bytes_per_s=stream_bytes_per_s,
        spread=spread,
        small_bytes=small_bytes,
        window_bytes=window_mib * MIB,
        crowd=crowd,
        disorder=disorder,
    )


ENTERPRISE: tuple[DriveModel, ...] = (
    # Samsung PM9A3 U.2, Gen4: 6.5 / 3.5 GB/s, 900k / 200k (heise.de, 2020-05; computerbase.de, 2020-05).
    DriveModel(
        name="pm9a3",
        family="enterprise",
        read=_side(6.5 * GB, 900e3, 85, 2.6 * GB, window_mib=8, crowd=0.004),
        write=_side(3.5 * GB, 200e3, 22, 2.0 * GB, 0.08, small_bytes=1200, window_mib=16, crowd=0.008),
        max_sectors_kb=128,
        host=_SERVER,
        noise=_STEADY,
    ),
    # Samsung PM1743, Gen5: 13 / 6.6 GB/s, 2500k / 250k (clubic.com, 2021-12).
    DriveModel(
        name="pm1743",
        family="enterprise",
        held_back=True,
        read=_side(13 * GB, 2.5e6, 75, 5.0 * GB, small_bytes=2500),
        write=_side(6.6 * GB, 250e3, 16, 3.5 * GB, 0.08, window_mib=8, crowd=0.012),
        max_sectors_kb=512,
        host=_SMALL_SERVER,
        noise=_STEADY,
        drift=Drift(heat_loss=0.02, heat_s=90),
    ),
    # Micron 7450, Gen4: 6.8 / 5.6 GB/s (servethehome.com, 2022-03); 1000k / 215k: datasheet, from memory.
    DriveModel(
        name="micron-7450",
        family="enterprise",
        read=_side(6.8 * GB, 1e6, 80, 2.2 * GB, small_bytes=1500, window_mib=16, crowd=0.006),
        write=_side(5.6 * GB, 215e3, 15, 2.4 * GB, 0.1, window_mib=4, crowd=0.005),
        host=_SMALL_SERVER,
        streams=0.002,
    ),
    # Micron 9400 PRO, Gen4: 7.0 / 7.0 GB/s, 1600k / 300k: datasheet, from memory.
    DriveModel(
        name="micron-9400",
        family="enterprise",
        read=_side(7 * GB, 1.6e6, 69, 2.8 * GB, small_bytes=800),
        write=_side(7 * GB, 300e3, 10, 3.0 * GB, 0.06),
        host=_SERVER,
        crowd=0.006,
        crowd_from=64,
    ),
    # Micron 9550, Gen5: 14 / 10 GB/s, 3300k / 900k (supersalezone.store, 2025-07, quoting Micron).
    DriveModel(
        name="micron-9550",
        family="enterprise",
        held_back=True,
        read=_side(14 * GB, 3.3e6, 60, 4.5 * GB, small_bytes=3000, window_mib=32, crowd=0.006),
        write=_side(10 * GB, 900e3, 10, 4.0 * GB, window_mib=8, crowd=0.01),
        host=_SMALL_SERVER,
        drift=Drift(heat_loss=0.03, heat_s=60),
    ),
    # Micron 7600 MAX 6.4 TB, Gen5: 12 / 7 GB/s, 2100k / 675k (storagereview.com).
    DriveModel(
        name="micron-7600",
        family="enterprise",
        read=_side(12 * GB, 2.1e6, 68, 4.0 * GB, small_bytes=2000),
        write=_side(7 * GB, 675e3, 13, 3.2 * GB, window_mib=4, crowd=0.006),
        host=_SERVER,
        max_sectors_kb=256,
        knee=3.0,
    ),
    # Micron 6500 ION 30.72 TB, Gen4 TLC for QLC's place: 6.8 / 5.0 GB/s, 1000k / 200k: datasheet, from memory.
    DriveModel(
        name="micron-6500-ion",
        family="enterprise",
        read=_side(6.8 * GB, 1e6, 90, 2.0 * GB, 0.08, small_bytes=2500, window_mib=32, crowd=0.004),
        write=_side(5 * GB, 200e3, 20, 1.6 * GB, 0.12, small_bytes=5000, window_mib=8, crowd=0.02),
        host=_SERVER,
        noise=_COLLECTING,
    ),
    # Kioxia CD8, Gen5 x2: 7.2 / 6 GB/s, 1250k / 200k (computerbase.de, 2022-03).
    DriveModel(
        name="kioxia-cd8",
        family="enterprise",
        held_back=True,
        read=_side(7.2 * GB, 1.25e6, 90, 2.4 * GB, 0.08, window_mib=16, crowd=0.004),
        write=_side(6 * GB, 200e3, 14, 2.6 * GB, 0.1, small_bytes=1000, window_mib=4, crowd=0.003),
        max_sectors_kb=512,
        host=_SMALL_SERVER,
        foreign=Foreign(trickle_bytes_per_s=4e6, share=0.3, burst_s=0.6, quiet_s=12),
    ),
    # Kioxia CM6-V, Gen4: 6.9 / 4.2 GB/s, 1400k / 350k (heise.de, 2020-02).
    DriveModel(
        name="kioxia-cm6",
        family="enterprise",
        read=_side(6.9 * GB, 1.4e6, 90, 2.5 * GB, small_bytes=600),
        write=_side(4.2 * GB, 350e3, 20, 2.2 * GB, window_mib=2, crowd=0.004, disorder=0.05),
        host=_OLD_SERVER,
        noise=_COLLECTING,
    ),
    # Kioxia CM7, Gen5: 14 / 6.75 GB/s, 2700k / 310k: datasheet, from memory; a prototype with 14 / 7 GB/s, 70 and
    # 10 microseconds (tomshardware.com; hwcooling.net).
    DriveModel(
        name="kioxia-cm7",
        family="enterprise",
        read=_side(14 * GB, 2.7e6, 70, 4.2 * GB, small_bytes=1500, window_mib=16, crowd=0.003),
        write=_side(6.75 * GB, 310e3, 10, 3.0 * GB, window_mib=8, crowd=0.01),
        host=_SMALL_SERVER,
        knee=5.0,
    ),
    # Solidigm D7-P5520, Gen4: 7.1 / 4.2 GB/s, 1000k / 220k: datasheet, from memory.
    DriveModel(
        name="solidigm-p5520",
        family="enterprise",
        held_back=True,
        read=_side(7.1 * GB, 1e6, 75, 1.8 * GB, window_mib=4, crowd=0.003),
        write=_side(4.2 * GB, 220e3, 20, 1.8 * GB, 0.1, window_mib=2, crowd=0.012),
        max_sectors_kb=128,
        host=_SMALL_SERVER,
        noise=Noise(visit=0.005, transfer=0.01, tail_share=0.04, tail_scale=0.05),
    ),
    # Solidigm D7-P5810, SLC: 6.4 / 4.0 GB/s, 865k / 495k, write latency 15 microseconds (cnews.cz).
    DriveModel(
        name="solidigm-p5810",
        family="enterprise",
        read=_side(6.4 * GB, 865e3, 53, 3.0 * GB),
        write=_side(4 * GB, 495e3, 15, 2.5 * GB, 0.03, small_bytes=600, window_mib=1, crowd=0.004),
        host=_SERVER,
        noise=_STEADY,
        crowd=0.008,
        crowd_from=128,
    ),
    # Intel P4500 4 TB, Gen3: 3.2 / 1.8 GB/s, 645k / 62.5k, 115 and 20 microseconds (Lenovo's product guide).
    DriveModel(
        name="intel-p4500",
        family="enterprise",
        read=_side(3.2 * GB, 645e3, 115, 1.2 * GB, 0.08, small_bytes=400),
        write=_side(1.8 * GB, 62.5e3, 20, 1.0 * GB, 0.12, window_mib=1, crowd=0.015),
        max_sectors_kb=128,
        host=_OLD_SERVER,
        stalls=Stalls(every_s=25, length_s=0.15),
    ),
    # Intel P4510 4 TB, Gen3: 3.0 / 2.9 GB/s, 636k / 111k, 77 and 18 microseconds: datasheet, from memory.
    DriveModel(
        name="intel-p4510",
        family="enterprise",
        held_back=True,
        read=_side(3 * GB, 636.5e3, 77, 1.4 * GB, 0.08, window_mib=2, crowd=0.006, disorder=0.06),
        write=_side(2.9 * GB, 111.5e3, 18, 1.4 * GB, 0.1, small_bytes=900, window_mib=4, crowd=0.01),
        max_sectors_kb=128,
        host=_OLD_SERVER,
    ),
    # Intel Optane P5800X, Gen4: 7.2 / 6.2 GB/s, 1500k / 1500k: datasheet, from memory; 75k requests per second by
    # one thread with one request in flight (kitguru.net).
    DriveModel(
        name="optane-p5800x",
        family="enterprise",
        read=_side(7.2 * GB, 1.5e6, 7, 5.5 * GB, 0.01),
        write=_side(6.2 * GB, 1.5e6, 7, 5.0 * GB, 0.01),
        max_sectors_kb=128,
        host=_SERVER,
        noise=Noise(visit=0.002, transfer=0.003),
        knee=8.0,
        crowd=0.001,
    ),
    # WD Ultrastar DC SN650, Gen4: 6.6 / 2.8 GB/s, 970k / 109k: datasheet, from memory.
    DriveModel(
        name="wd-sn650",
        family="enterprise",
        read=_side(6.6 * GB, 970e3, 95, 1.9 * GB, 0.1),
        write=Side(
            bytes_per_s=2.8 * GB,
            iops=109e3,
            latency_s=25e-6,
            stream_bytes_per_s=1.5 * GB,
            tail=1.0,
            small_bytes=2000,
            window_bytes=8 * MIB,
            crowd=0.01,
            cliff=Cliff(bytes=24 * GB, bytes_per_s=2.3 * GB, recovery_bytes_per_s=0.6 * GB),
        ),
        host=_SERVER,
        noise=Noise(visit=0.006, transfer=0.01, tail_share=0.03, tail_scale=0.08),
    ),
)
