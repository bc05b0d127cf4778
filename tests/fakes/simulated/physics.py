"""The time of one transfer by a drive's model, without noise, for many settings at once.

The queue follows Little's law under two ceilings: what is in flight passes in one latency, unless the drive's bandwidth
or its requests per second take longer. The submitting threads are a third ceiling. The bends between them are soft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.setting import Direction, Setting
    from fakes.simulated.model import DriveModel, Side

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

# The average number of completions that a reap finds if the queue is refilled as they arrive.
_REAPED_AT_ONCE = 2.0
# Fewer requests than this in one call are not plugged, and so not merged.
_MIN_PLUGGED = 3.0
# The block layer's plug holds back this many requests of a batch at most.
_PLUGGED = 32.0
# The exponent by which other threads' batches fill the gaps at the ends of batches.
_FILLED_BY_OTHERS = 0.8
CPU_KNEE = 6.0
# A drive spreads a request over its channels in parts of this size, and a single request gets this share of its speed.
_STRIPE_BYTES = 128 << 10
_LONE_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Work:
    """The work of the helper for each of some settings; it is equal for settings that are the same program.

    `batch` is the number of requests that a thread has in flight after it has submitted: the depth, or the mean of its
    batches if it waits for all of one before the next.
    """

    transfer_bytes: int
    block: Floats
    threads: Floats
    batch: Floats
    overlap: Flags
    single: Flags

    @property
    def in_flight(self) -> Floats:
        return self.threads * self.batch


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures for each of some settings.

    They are the seconds of one transfer, the share of the drive that is used, the seconds of a request, and the
    threads' processor time for a transfer.
    """

    transfer_s: Floats
    strain: Floats
    latency_s: Floats
    cpu_s: Floats


def work(settings: Sequence[Setting], transfer_bytes: int) -> Work:
    threads = np.array([setting.io_parallelism for setting in settings], dtype=np.float64)
    share = np.floor(transfer_bytes / threads)
    block = np.minimum([setting.block_size for setting in settings], share)
    blocks = np.ceil(share / block)
    depth = np.minimum([setting.queue_depth for setting in settings], blocks)
    several = depth > 1
    overlap = np.array([setting.overlap_events for setting in settings]) | ~several
    single = np.array([setting.single_submit for setting in settings]) & several
    batch = np.where(overlap, depth, blocks / np.ceil(blocks / depth))
    return Work(transfer_bytes, block, threads, batch, overlap, single)


def soft_max(first: Floats, second: Floats, knee: float) -> Floats:
    """Return a smooth maximum: at least the greater of the two, and a little more where they are nearly equal."""
    most, least = np.maximum(first, second), np.minimum(first, second)
    softened: Floats = most * (1 + (least / most) ** knee) ** (1 / knee)
    return softened


def pieces_of(model: DriveModel, done: Work) -> Floats:
    """Return the bytes of the requests that reach the drive, split if they are too long, merged if a batch allows."""
    merged = ~done.overlap & ~done.single & (done.batch >= _MIN_PLUGGED) & model.merges
    run = np.where(merged, done.block * done.batch, done.block)
    sizes: Floats = run / np.ceil(run / (model.max_sectors_kb * 1024))
    return sizes


def cpu_s(model: DriveModel, done: Work) -> Floats:
    """Return the processor seconds that a request costs the thread which submits and reaps it."""
    host = model.host
    split = np.ceil(done.block / (model.max_sectors_kb * 1024)) - 1
    reaps = 1 / np.where(done.overlap, np.minimum(_REAPED_AT_ONCE, done.batch), done.batch)
    calls = reaps + np.where(done.single, 1.0, reaps)
    call_ns = host.call_ns * (1 + host.contention * (done.threads - 1))
    pages_ns = done.block / 4096 * host.page_ns
    cost: Floats = (host.request_ns + calls * call_ns + split * host.piece_ns + pages_ns) / 1e9
    return cost


def alone_s(side: Side, piece: Floats) -> Floats:
    """Return the seconds of a request that is alone on the drive."""
    first = np.minimum(piece, _STRIPE_BYTES)
    alone: Floats = side.latency_s + first / side.stream_bytes_per_s
    alone += (piece - first) / max(side.stream_bytes_per_s, _LONE_SHARE * side.bytes_per_s)
    return alone


def ceiling(side: Side, piece: Floats, bytes_per_s: float, knee: float) -> Floats:
    """Return the maximum of bytes per second in pieces of that size."""
    most: Floats = 1 / soft_max((1 + side.small_bytes / piece) / bytes_per_s, 1 / (side.iops * piece), knee)
    return most


def losses(model: DriveModel, side: Side, done: Work, piece: Floats) -> Floats:
    """Return the factor by which many threads, deep queues and their disorder lengthen the time."""
    in_flight = done.in_flight * done.block
    crowd = model.crowd * np.maximum(0.0, np.log2(in_flight / piece / model.crowd_from))
    if side.window_bytes:
        crowd += side.crowd * np.maximum(0.0, np.log2(in_flight / side.window_bytes))
    crowd += np.where(done.overlap & (done.batch > 1), side.disorder, 0.0)
    factor: Floats = 1 + model.streams * np.log2(done.threads) + crowd
    return factor


def read_modify_write(side: Side, done: Work, piece: Floats) -> Floats:
    """Return the factor by which a parity array is slower where its requests are no whole stripes.

    The block layer merges a batch's requests up to a piece; md gathers those in flight into stripes as far as it can.
    """
    if not side.stripe_bytes:
        return np.ones(len(piece))
    gathered = np.minimum(done.batch * done.block, side.stripe_bytes) / side.stripe_bytes
    whole = np.minimum(1.0, np.maximum(piece / side.stripe_bytes, gathered**2))
    factor: Floats = 1 + side.stripe_cost * (1 - whole)
    return factor


def network_s(model: DriveModel, side: Side, done: Work, piece: Floats, cost: Floats, most: Floats) -> Floats:
    """Return the seconds of a piece in a closed queueing network, by exact mean value analysis.

    Reiser & Lavenberg 1980. The stations are the processor (a server for each thread), the link, and the channels of
    flash; a station of several servers is a faster one and a delay (Seidmann 1987). The customers are the pieces in
    flight; the latency of a lone request beyond its services is a delay.
    """
    servers = np.minimum(done.threads, model.host.cores)
    processor = cost * piece / done.block
    link = piece / most
    flash = np.full(len(piece), alone_s(side, piece))
    queues = (processor / servers, link, flash / model.channels)
    delay = processor * (1 - 1 / servers) + flash * (1 - 1 / model.channels)
    customers = np.maximum(1, np.rint(np.minimum(done.in_flight * done.block / piece, model.tags))).astype(np.intp)
    lengths = [np.zeros(len(piece)) for _ in queues]
    found: Floats = np.zeros(len(piece))
    for number in range(1, int(customers.max()) + 1):
        waits = [service * (1 + length) for service, length in zip(queues, lengths, strict=True)]
        passing = number / (delay + sum(waits))
        lengths = [passing * wait for wait in waits]
        found = np.where(customers == number, 1 / passing, found)
    return found


def figures(
    model: DriveModel,
    direction: Direction,
    settings: Sequence[Setting],
    transfer_bytes: int,
    *,
    beyond_cliff: bool = False,
) -> Figures:
    side, host = model.side(direction), model.host
    bytes_per_s = side.bytes_per_s
    if beyond_cliff and side.cliff is not None:
        bytes_per_s = side.cliff.bytes_per_s
    done = work(settings, transfer_bytes)
    piece = pieces_of(model, done)
    most = ceiling(side, piece, bytes_per_s, model.knee)
    cost = cpu_s(model, done)

    # A block is done when its slowest piece is; a batch, when its slowest block is.
    of_block = np.maximum(1.0, done.block / piece)
    together = np.where(done.overlap, of_block, np.maximum(1.0, done.batch * done.block / piece))
    latency = alone_s(side, piece) * (1 + side.spread * np.log(together))
    # The drive waits for the first requests of a batch while the thread prepares them.
    held = np.where(done.single, 0.25, 0.5) * np.minimum(done.batch, _PLUGGED) * cost
    latency += np.where(done.overlap, 0.0, held)

    in_flight = np.minimum(done.in_flight * done.block, model.tags * piece)
    drained = in_flight / most
    turn = soft_max(latency, drained, model.knee)
    gap = side.tail * np.minimum(latency, drained) / done.threads**_FILLED_BY_OTHERS
    turn += np.where(done.overlap, 0.0, gap)
    submitted = np.minimum(done.threads, host.cores) * done.block / cost
    if model.network:
        each_s = network_s(model, side, done, piece, cost, most)
        turn = in_flight / piece * each_s + np.where(done.overlap, 0.0, gap)
        spacing = turn / in_flight
    else:
        spacing = soft_max(turn / in_flight, 1 / submitted, CPU_KNEE)
    spacing *= read_modify_write(side, done, piece)
    rate = 1 / (spacing * losses(model, side, done, piece))
    # The first request adds its latency before any data arrives, and the threads are woken one after the other.
    transfer = transfer_bytes / rate + latency + done.threads * host.wake_ns / 1e9
    transfer *= np.array([model.noise.mean_factor(int(threads)) for threads in done.threads])
    # Waiting threads use no processor time, and none can use more than the time of the transfer.
    busy = np.minimum(transfer_bytes / done.block * cost, np.minimum(done.threads, host.cores) * transfer)
    return Figures(transfer, np.minimum(1.0, rate / most), done.in_flight * done.block / rate, busy)
