"""The parameters of a simulated drive; sizes are in bytes and times in seconds, unless a name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction

Family = Literal["enterprise", "consumer", "qlc", "raid0", "cloud", "virtio", "other"]
MIB = 1 << 20
GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """A fast store of `bytes`, such as an SLC cache or a bucket of credits; behind it the speed is `bytes_per_s`.

    It empties at `recovery_bytes_per_s` while nothing moves in its direction.
    """

    bytes: int
    bytes_per_s: float
    recovery_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One direction of a drive: its two ceilings, and the time of one request.

    The first 128 KiB of a single request take `latency_s` and then move at `stream_bytes_per_s`; the rest is spread
    over the drive. `spread` is how much longer the slowest of many requests takes, and `tail` how much of a batch's end
    is lost if nothing refills the queue. Each request costs the drive the time of `small_bytes` more. Every doubling of
    bytes in flight beyond `window_bytes` (0 means no limit) costs `crowd`. Refilling the queue as completions arrive
    costs `disorder`, because the drive then sees its stream in a worse order than in batches. Requests shorter than
    `stripe_bytes` make a parity array read before it writes, which takes up to the share `stripe_cost` more.
    """

    bytes_per_s: float
    iops: float
    latency_s: float
    stream_bytes_per_s: float
    spread: float = 0.05
    tail: float = 0.8
    small_bytes: float = 0.0
    window_bytes: int = 0
    crowd: float = 0.0
    disorder: float = 0.0
    stripe_bytes: int = 0
    stripe_cost: float = 0.0
    cliff: Cliff | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine that submits: the processor time that submission costs a thread, and the number of cores.

    `call_ns` is the cost of one io_submit or io_getevents, `request_ns` that of one request, `piece_ns` that of each
    further piece into which the block layer splits it, and `page_ns` that of each 4 KiB. Threads share locks and
    doorbells, so each further thread makes a call longer by the share `contention`, which slows single submit most.
    `switch_ns` is the cost of waking a thread for a completion, and `extend_ns` that of a write which extends its file.
    With huge pages the drive, where it is the limit, is faster by `segment_cost`, which many segments of 4 KiB cost.
    """

    cores: int = 16
    call_ns: float = 1500
    request_ns: float = 3000
    piece_ns: float = 800
    page_ns: float = 40
    wake_ns: float = 12_000
    contention: float = 0.02
    switch_ns: float = 2500
    extend_ns: float = 8000
    segment_cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The random differences between visits to a point.

    `visit` and `transfer` are standard deviations of logarithms. A share `tail_share` of the visits is slower by
    `tail_scale` times a Pareto number with index `tail_index`. `slow_factor` is the slowness of a second mode, as by
    garbage collection or a neighbour, in which a drive is for `slow_s` at a time, `fast_s` apart; both are exact if it
    is `periodic`, else random. A share `mode_share` of the visits with up to `mode_threads` threads is slower by
    `mode_factor`, as where a thread runs on the far NUMA node, or the link has to wake: the mean is the truth.
    """

    visit: float = 0.006
    transfer: float = 0.008
    tail_share: float = 0.0
    tail_scale: float = 0.05
    tail_index: float = 1.5
    slow_factor: float = 1.0
    slow_s: float = 0.0
    fast_s: float = 1.0
    periodic: bool = False
    mode_share: float = 0.0
    mode_factor: float = 1.0
    mode_threads: int = 1

    def mean_factor(self, threads: int) -> float:
        """Return the mean slowness of the modes with that many threads."""
        return 1 + self.mode_share * (self.mode_factor - 1) if threads <= self.mode_threads else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Slow change: the share `heat_loss` is lost at full heat, which is reached and left with time constant `heat_s`.

    `swing` is the amplitude of a wave with the period `swing_s`, as neighbours cause it.
    """

    heat_loss: float = 0.0
    heat_s: float = 60.0
    swing: float = 0.0
    swing_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """Stalls, in which the drive answers nothing for about `length_s`, every `every_s` on average (0 means never)."""

    every_s: float = 0.0
    length_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """I/O of other processes on the device: a constant trickle, and bursts that take `share` of the drive."""

    trickle_bytes_per_s: float = 0.0
    share: float = 0.0
    burst_s: float = 0.0
    quiet_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveModel:
    """A drive, its machine, and its disturbances.

    `held_back` marks models on which an algorithm is validated but not developed. `knee` is the sharpness of the bend
    at a ceiling. Every doubling of threads costs `streams`, and every doubling of pieces in flight beyond `crowd_from`
    costs `crowd`. Without `counters` the device's own counters do not move. With `merges` the block layer joins the
    adjacent requests of a batch up to `max_sectors_kb`. As a `network` the requests circulate in a closed queueing
    network of the processor, the link and `channels` of flash, in place of the ceilings and their soft bends.
    """

    name: str
    family: Family
    read: Side
    write: Side
    held_back: bool = False
    max_sectors_kb: int = 1280
    tags: int = 1023
    merges: bool = True
    host: Host = field(default_factory=Host)
    knee: float = 4.0
    streams: float = 0.001
    crowd: float = 0.002
    crowd_from: int = 128
    network: bool = False
    channels: int = 16
    noise: Noise = field(default_factory=Noise)
    drift: Drift = field(default_factory=Drift)
    stalls: Stalls = field(default_factory=Stalls)
    foreign: Foreign = field(default_factory=Foreign)
    counters: bool = True
    logical_block_bytes: int = 512

    def side(self, direction: Direction) -> Side:
        return self.read if direction == "read" else self.write
