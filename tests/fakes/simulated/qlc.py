"""Models of QLC drives for desktops and servers, with sources as in consumer.py."""

from __future__ import annotations

from dataclasses import replace

from fakes.simulated.consumer import LAPTOP, ROUGH, cached_drive
from fakes.simulated.model import Drift, DriveModel, Foreign, Stalls

_QLC_STALLS = Stalls(every_s=12, length_s=0.25)

QLC: tuple[DriveModel, ...] = (
    # Crucial P3 1 TB, Gen3: 3.5 / 3 GB/s; below 0.1 GB/s behind a quarter of the free space (pgrid.app); 650k / 700k:
    # from memory. Half full here.
    cached_drive(
        "p3",
        (3.5, 3),
        (650, 700),
        (125, 0.09),
        family="qlc",
        latency_us=(85, 22),
        host=LAPTOP,
        noise=ROUGH,
        window_mib=(4, 32),
        streams=0.001,
        disorder=(0, 0.07),
    ),
    # Crucial P1 1 TB, Gen3: 2 / 1.7 GB/s, 170k / 240k (techreport.com); 1.6 GB/s for 140 GB, then 0.15
    # (techpowerup.com). Nearly full here, where the cache is small.
    cached_drive(
        "p1",
        (2, 1.7),
        (170, 240),
        (16, 0.15),
        family="qlc",
        latency_us=(110, 25),
        held_back=True,
        noise=ROUGH,
        small_bytes=(0, 8000),
        window_mib=(8, 32),
        disorder=(0, 0.1),
    ),
    # Intel 670p 1 TB, Gen3: 3.5 / 2.5 GB/s, 220k / 330k, 140 GB, 0.3 GB/s: from memory.
    replace(
        cached_drive(
            "670p",
            (3.5, 2.5),
            (220, 330),
            (140, 0.3),
            family="qlc",
            latency_us=(95, 25),
            max_sectors_kb=128,
            window_mib=(64, 1),
            disorder=(0.08, 0),
        ),
        stalls=_QLC_STALLS,
    ),
    # Solidigm D5-P5336, Gen4: 7.4 / 3.2 GB/s, 930k (hwcooling.net); 43k for writes: from memory. No cache.
    replace(
        cached_drive(
            "solidigm-p5336",
            (7.4, 3.2),
            (930, 43),
            (1, 3.2),
            family="qlc",
            latency_us=(110, 30),
            drift=Drift(),
            small_bytes=(2000, 12000),
            window_mib=(32, 64),
        ),
        stalls=_QLC_STALLS,
    ),
    # Solidigm D5-P5430, Gen4: 7 / 3 GB/s, 971k / 120k: datasheet, from memory. No cache.
    replace(
        cached_drive(
            "solidigm-p5430",
            (7, 3),
            (971, 120),
            (1, 3),
            family="qlc",
            latency_us=(105, 28),
            drift=Drift(),
            noise=ROUGH,
            window_mib=(32, 16),
            small_bytes=(0, 5000),
            disorder=(0, 0.012),
        ),
        held_back=True,
        foreign=Foreign(trickle_bytes_per_s=10e6),
    ),
)
