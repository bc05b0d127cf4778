"""What a simulated drive is made of. Sizes are bytes, times seconds unless a name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction

Family = Literal["enterprise", "consumer", "qlc", "raid0", "cloud", "virtio"]
MIB = 1 << 20
GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cliff:
    """A fast store of `bytes`, an SLC cache or a bucket of credits; behind it there is `bytes_per_s`.

    It empties at `recovery_bytes_per_s` while nothing moves in its direction.
    """

    bytes: int
    bytes_per_s: float
    recovery_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One direction of a drive: its two ceilings, and how long one request takes.

    The first 128 KiB of a request that is alone take `latency_s` and then `stream_bytes_per_s`; the rest of it is
    spread over the drive. `spread` says how much longer the slowest of many takes, `tail` how much of a batch's end is
    lost where nothing refills the queue. A request costs the drive as much as `small_bytes` more would. Every doubling
    of bytes in flight beyond `window_bytes` (0: there is no end to it) costs `crowd`. Refilling the queue as
    completions arrive costs `disorder`: the drive sees its stream in a worse order than in batches.
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
    cliff: Cliff | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine that submits: what it costs a thread, and how many threads can pay at once.

    `call_ns` is one io_submit or io_getevents, `request_ns` one request, `piece_ns` each further piece that the block
    layer makes of it, `page_ns` each 4 KiB of it. Threads share locks and doorbells: each other one makes a call
    dearer by `contention` of itself, and that is what hurts single submit.
    """

    cores: int = 16
    call_ns: float = 1500
    request_ns: float = 3000
    piece_ns: float = 800
    page_ns: float = 40
    wake_ns: float = 12_000
    contention: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What makes two visits to a point differ.

    `visit` and `transfer` are standard deviations of logarithms. A share `tail_share` of the visits is slower by
    `tail_scale` times a Pareto number with index `tail_index`. `slow_factor` is the second mode: a drive is in it for
    `slow_s` at a time, `fast_s` apart (garbage collection, a neighbour).
    """

    visit: float = 0.006
    transfer: float = 0.008
    tail_share: float = 0.0
    tail_scale: float = 0.05
    tail_index: float = 1.5
    slow_factor: float = 1.0
    slow_s: float = 0.0
    fast_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Slow change: `heat_loss` is lost at full heat, which is reached and left with time constant `heat_s`.

    `swing` is the amplitude of a wave of `swing_s`, neighbours that come and go.
    """

    heat_loss: float = 0.0
    heat_s: float = 60.0
    swing: float = 0.0
    swing_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """The drive answers nothing for about `length_s`, every `every_s` on average; 0: it never does."""

    every_s: float = 0.0
    length_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """I/O of others on the same device: a trickle all the time, and bursts that take `share` of the drive."""

    trickle_bytes_per_s: float = 0.0
    share: float = 0.0
    burst_s: float = 0.0
    quiet_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveModel:
    """A drive, the machine it is in, and its moods.

    `held_back` marks what an algorithm is validated on, not developed with. `knee` is how sharp the bend at a ceiling
    is. Every doubling of threads costs `streams`, every doubling of pieces in flight beyond `crowd_from` costs
    `crowd`. Without `counters` the device's own counters stand still. Where
    there are `merges`, the block layer joins the neighbours of a batch up to `max_sectors_kb`.
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
    noise: Noise = field(default_factory=Noise)
    drift: Drift = field(default_factory=Drift)
    stalls: Stalls = field(default_factory=Stalls)
    foreign: Foreign = field(default_factory=Foreign)
    counters: bool = True
    logical_block_bytes: int = 512

    def side(self, direction: Direction) -> Side:
        return self.read if direction == "read" else self.write
