"""Models of drives for desktops, which are fast until their SLC cache is full, and become warm.

The comment on each gives the sources of its speeds, its random 4K requests per second and its cache. Latencies, heat,
noise and the host are plausible values, because none is published for this workload.
"""

from __future__ import annotations

from fakes.simulated.model import GB, MIB, Cliff, Drift, DriveModel, Family, Host, Noise, Side

DESKTOP = Host(cores=12)
LAPTOP = Host(cores=4, call_ns=2500, request_ns=4500, page_ns=70, contention=0.04, switch_ns=4000)
_USUAL = Noise(visit=0.01, transfer=0.012, tail_share=0.02, tail_scale=0.06)
ROUGH = Noise(visit=0.015, transfer=0.02, slow_factor=1.2, slow_s=0.5, fast_s=4.0)
_WARM = Drift(heat_loss=0.05, heat_s=45)
_HOT = Drift(heat_loss=0.15, heat_s=60)


def cached_drive(
    name: str,
    gb_per_s: tuple[float, float],
    kiops: tuple[float, float],
    cache: tuple[float, float],
    *,
    family: Family = "consumer",
    latency_us: tuple[float, float] = (60, 15),
    streams_gb_per_s: tuple[float, float] | None = None,
    held_back: bool = False,
    max_sectors_kb: int = 512,
    host: Host = DESKTOP,
    noise: Noise = _USUAL,
    drift: Drift = _WARM,
    small_bytes: tuple[float, float] = (0, 0),
    window_mib: tuple[int, int] = (8, 4),
    crowd: tuple[float, float] = (0.004, 0.01),
    disorder: tuple[float, float] = (0, 0),
    streams: float = 0.004,
) -> DriveModel:
    """Make a model; pairs are (read, write), and `cache` is the SLC cache's size in GB and the GB/s behind it."""
    one = streams_gb_per_s or (gb_per_s[0] * 0.35, gb_per_s[1] * 0.5)
    size, behind = cache
    return DriveModel(
        name=name,
        family=family,
        held_back=held_back,
        read=Side(
            bytes_per_s=gb_per_s[0] * GB,
            iops=kiops[0] * 1e3,
            latency_s=latency_us[0] / 1e6,
            stream_bytes_per_s=one[0] * GB,
            small_bytes=small_bytes[0],
            window_bytes=window_mib[0] * MIB,
            crowd=crowd[0],
            disorder=disorder[0],
        ),
        write=Side(
            bytes_per_s=gb_per_s[1] * GB,
            iops=kiops[1] * 1e3,
            latency_s=latency_us[1] / 1e6,
            stream_bytes_per_s=one[1] * GB,
            spread=0.08,
            small_bytes=small_bytes[1],
            window_bytes=window_mib[1] * MIB,
            crowd=crowd[1],
            disorder=disorder[1],
            cliff=Cliff(bytes=int(size * GB), bytes_per_s=behind * GB, recovery_bytes_per_s=behind / 2 * GB),
        ),
        max_sectors_kb=max_sectors_kb,
        host=host,
        streams=streams,
        noise=noise,
        drift=drift,
    )


CONSUMER: tuple[DriveModel, ...] = (
    # Samsung 990 PRO: 7.45 / 6.9 GB/s, 1400k / 1550k (bytebuys.com); 2 TB, 226 GB, 1.4 GB/s: datasheet, from memory.
    cached_drive(
        "990-pro", (7.45, 6.9), (1400, 1550), (226, 1.4), latency_us=(45, 12), max_sectors_kb=128, streams=0.002
    ),
    # Samsung 980 PRO 1 TB: 7 / 5 GB/s, 1000k / 1000k (optocrypto.com); 114 GB, 2 GB/s: datasheet, from memory.
    cached_drive(
        "980-pro",
        (7, 5),
        (1000, 1000),
        (114, 2),
        latency_us=(50, 14),
        max_sectors_kb=128,
        drift=_HOT,
        window_mib=(4, 16),
    ),
    # Samsung 980 1 TB, without DRAM: 3.5 / 3 GB/s, 500k / 480k (guru3d.com); 160 GB, 0.6 GB/s: from memory.
    cached_drive(
        "980",
        (3.5, 3),
        (500, 480),
        (160, 0.6),
        latency_us=(58, 19),
        held_back=True,
        host=LAPTOP,
        streams=0.003,
        window_mib=(8, 32),
        disorder=(0, 0.07),
    ),
    # Samsung 970 EVO Plus 1 TB: 3.5 / 3.3 GB/s, 600k / 550k, 42 GB, then 1.7 GB/s (digit.in).
    cached_drive(
        "970-evo-plus",
        (3.5, 3.3),
        (600, 550),
        (42, 1.7),
        latency_us=(52, 16),
        small_bytes=(1500, 3000),
        window_mib=(64, 32),
        disorder=(0.06, 0),
    ),
    # Crucial T705 2 TB, Gen5: 14.5 / 12.7 GB/s (julliannepiano.com, quoting Micron); 1550k / 1800k, 220 GB, 4 GB/s:
    # from memory.
    cached_drive(
        "t705",
        (14.5, 12.7),
        (1550, 1800),
        (220, 4),
        latency_us=(55, 10),
        max_sectors_kb=1280,
        drift=_HOT,
        small_bytes=(4000, 1000),
    ),
    # Crucial T700 2 TB, Gen5: 12.4 / 11.8 GB/s, 1500k / 1500k (gamingpcbuilder.com); some dozens of GB, then about
    # 3 GB/s (dolphinpro-templates.com, quoting Linus Tech Tips).
    cached_drive(
        "t700", (12.4, 11.8), (1500, 1500), (40, 3), held_back=True, max_sectors_kb=1280, drift=_HOT, noise=ROUGH
    ),
    # Crucial P5 1 TB, Gen3: 2 GB/s for 100 GB, then 1 GB/s (techpowerup.com); 3.4 / 3.0, 430k / 500k: from memory.
    cached_drive(
        "p5",
        (3.4, 2.9),
        (430, 500),
        (100, 1),
        latency_us=(75, 20),
        host=LAPTOP,
        small_bytes=(0, 6000),
        window_mib=(4, 32),
    ),
    # Crucial T500 2 TB: more than 4 GB/s for 700 GB, then 0.5 (techpowerup.com); 7.4 / 7, 1180k / 1440k: from memory.
    cached_drive(
        "t500", (7.4, 6.2), (1180, 1440), (700, 0.5), max_sectors_kb=256, small_bytes=(1500, 0), streams=0.001
    ),
    # WD Black SN850X 2 TB: 7.3 / 6.6 GB/s, 1200k / 1100k (newsdirectory3.com); 5.3 GB/s for 30 % of it, then less
    # (dayfr.com).
    cached_drive(
        "sn850x",
        (7.3, 6.6),
        (1200, 1100),
        (600, 1.5),
        held_back=True,
        latency_us=(55, 12),
        max_sectors_kb=1280,
        streams=0.008,
    ),
    # Solidigm P44 Pro, as SK hynix P41: 7 / 6.5 GB/s, 1400k / 1300k (blocksandfiles.com), the first 16 GB written
    # slower (techpowerup.com); 220 GB, 1.4 GB/s: from memory.
    cached_drive("p44-pro", (7, 6.5), (1400, 1300), (220, 1.4), latency_us=(48, 12), noise=ROUGH, window_mib=(2, 2)),
    # WD Blue SN570 1 TB, Gen3 without DRAM: 3.5 / 3 GB/s, 460k / 450k, 12 GB, 0.6 GB/s: datasheet and reviews, from
    # memory.
    cached_drive(
        "sn570",
        (3.5, 3),
        (460, 450),
        (12, 0.6),
        latency_us=(70, 20),
        host=LAPTOP,
        noise=ROUGH,
        streams=0.005,
        window_mib=(32, 4),
        disorder=(0.08, 0),
    ),
    # HP FX900 1 TB, Gen4 without DRAM: 5 / 4.8 GB/s, 910k / 630k, 50 GB, 0.9 GB/s: from memory.
    cached_drive(
        "fx900",
        (5, 4.8),
        (910, 630),
        (50, 0.9),
        held_back=True,
        latency_us=(62, 18),
        host=LAPTOP,
        small_bytes=(3000, 3000),
        window_mib=(16, 32),
        disorder=(0.03, 0.08),
    ),
    # Kioxia XG8 1 TB: 7 / 5.6 GB/s, 900k / 620k: datasheet, from memory; 100 GB, 1.8 GB/s: a guess.
    cached_drive("xg8", (7, 5.6), (900, 620), (100, 1.8), latency_us=(60, 15), drift=Drift(heat_loss=0.08, heat_s=30)),
)
