"""Models of other physics than the rest: they show what a search that was made with the others takes for granted.

The figures are plausible, not any drive's own. Half are held back.
"""

from __future__ import annotations

from dataclasses import replace

from fakes.simulated.enterprise import ENTERPRISE
from fakes.simulated.model import GB, Cliff, Drift, DriveModel, Foreign, Host, Noise, Side, Stalls

_NAMED = {model.name: model for model in ENTERPRISE}
_GEN4 = _NAMED["pm9a3"]
_READ = Side(bytes_per_s=6.7 * GB, iops=1.0e6, latency_s=85e-6, stream_bytes_per_s=2.0 * GB)
_WRITE = Side(bytes_per_s=4.0 * GB, iops=200e3, latency_s=15e-6, stream_bytes_per_s=1.8 * GB)


OTHER: tuple[DriveModel, ...] = (
    # Requests that circulate among processor, link and flash: the bends are those of queueing theory.
    DriveModel(name="network-gen4", family="other", read=_READ, write=_WRITE, network=True, channels=32),
    DriveModel(
        name="network-busy-host",
        family="other",
        held_back=True,
        read=replace(_READ, bytes_per_s=12 * GB),
        write=replace(_WRITE, bytes_per_s=8 * GB),
        network=True,
        channels=64,
        host=Host(cores=4, call_ns=3000, request_ns=6000, page_ns=60, contention=0.06),
    ),
    # A bucket of credits that the sweep empties in the middle of its race, and that fills again in the pauses.
    DriveModel(
        name="burst-credits",
        family="other",
        read=replace(
            _READ,
            bytes_per_s=1.0 * GB,
            iops=64e3,
            latency_s=500e-6,
            cliff=Cliff(bytes=30 * GB, bytes_per_s=0.25 * GB, recovery_bytes_per_s=0.25 * GB),
        ),
        write=replace(
            _WRITE,
            bytes_per_s=0.8 * GB,
            iops=64e3,
            latency_s=700e-6,
            cliff=Cliff(bytes=12 * GB, bytes_per_s=0.25 * GB, recovery_bytes_per_s=0.25 * GB),
        ),
    ),
    # Spells of seconds, in which a neighbour that no counter shows takes a third: longer than a short race.
    replace(
        _GEN4,
        name="long-spells",
        family="other",
        held_back=True,
        noise=Noise(visit=0.008, transfer=0.01, slow_factor=1.5, slow_s=6.0, fast_s=12.0),
    ),
    # Garbage collection that comes every four seconds, for one: exact, so that nothing averages it out by chance.
    replace(
        _GEN4,
        name="periodic-collection",
        family="other",
        noise=Noise(visit=0.006, transfer=0.01, slow_factor=1.35, slow_s=1.0, fast_s=3.0, periodic=True),
    ),
    # A link that sleeps between the requests of one thread: every third visit of it finds it asleep.
    replace(
        _GEN4,
        name="sleeping-link",
        family="other",
        held_back=True,
        noise=Noise(visit=0.006, transfer=0.008, mode_share=0.35, mode_factor=1.12, mode_threads=1),
    ),
    # A RAID5 of four drives with chunks of 128 KiB, which reads before it writes a part of a stripe.
    replace(
        _GEN4,
        name="raid5-4",
        family="other",
        read=replace(_GEN4.read, bytes_per_s=18 * GB, iops=3e6),
        write=replace(_GEN4.write, bytes_per_s=5.5 * GB, iops=150e3, stripe_bytes=384 << 10, stripe_cost=1.4),
        max_sectors_kb=128,
        host=replace(_GEN4.host, request_ns=5000, contention=0.05),
    ),
    # Neighbours of a virtual machine, which its own counters show: they come and go.
    replace(
        _GEN4,
        name="noisy-neighbour",
        family="other",
        held_back=True,
        noise=Noise(visit=0.03, transfer=0.03, tail_share=0.05, tail_scale=0.2),
        foreign=Foreign(trickle_bytes_per_s=8e6, share=0.35, burst_s=2.0, quiet_s=8.0),
        drift=Drift(swing=0.06, swing_s=60),
        stalls=Stalls(every_s=15, length_s=0.3),
    ),
    # One thread runs on the far node in half of the visits, and the copy costs it a fifth.
    replace(
        _GEN4,
        name="far-node",
        family="other",
        noise=Noise(visit=0.006, transfer=0.008, mode_share=0.5, mode_factor=1.2, mode_threads=2),
        host=replace(_GEN4.host, cores=8, page_ns=70),
    ),
    # A drive without its own memory that loses speed with every doubling of what is in flight.
    replace(
        _GEN4,
        name="small-window",
        family="other",
        held_back=True,
        read=replace(_GEN4.read, bytes_per_s=3.4 * GB, window_bytes=2 << 20, crowd=0.05),
        write=replace(_GEN4.write, bytes_per_s=2.4 * GB, window_bytes=1 << 20, crowd=0.06),
        noise=Noise(visit=0.012, transfer=0.02),
    ),
)
