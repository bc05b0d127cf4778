"""Throughput and latency of requests of one size at random places, by engine and requests in flight, without noise.

The queue is that of `physics`, but nothing is merged, and no stream's order is lost. An engine is a host with other
costs: io_uring submits and reaps in one call, and psync has a thread for each request, which the host must wake.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fakes.simulated.physics import (
    CPU_KNEE,
    Work,
    alone_s,
    ceiling,
    cpu_s,
    losses,
    network_s,
    pieces_of,
    read_modify_write,
    soft_max,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.model.measurement import Engine
    from fakes.simulated.model import DriveModel, Host

# The share of libaio's work for a request, besides its calls, that the other engines have.
_REQUEST_SHARE: dict[Engine, float] = {"libaio": 1.0, "io_uring": 0.75, "psync": 0.9}
# A request in a hundred takes longer than the mean by this many times the spread: by so much of it on an idle drive.
_TAIL, _IDLE_TAIL = 12.0, 0.4
# As native/src/io/team.h and workers.c have them.
_SERIAL_WAKES, _TREE_CORES, _FAN_OUT = 64, 8, 4
# The standard normal distribution is exceeded by one in a hundred from here on.
P99_SIGMAS = 2.326


class Load(NamedTuple):
    """Requests of one size that some threads keep in flight; a share of them reads."""

    engine: Engine
    read_share: float
    request_bytes: int
    in_flight: int
    threads: int


class Served(NamedTuple):
    """What a drive gives a load that goes on forever.

    `strain` is the share of the drive that is used, `latency_s` the mean and the median time of a request, `tail` how
    many times as long one request in a hundred takes, `cpu_s` the processor time of a request, and `begin_s` the time
    that a transfer takes more than its part, because its threads must be woken and its first requests come back late.
    """

    bytes_per_s: float
    strain: float
    latency_s: float
    tail: float
    cpu_s: float
    begin_s: float


def load(engine: Engine, read_share: float, request_bytes: int, in_flight: int, groups: int = 1) -> Load:
    """Return the load of one thread for each group, or with psync of one for each request."""
    return Load(engine, read_share, request_bytes, in_flight, in_flight if engine == "psync" else groups)


def _host(host: Host, engine: Engine) -> Host:
    """Return the host with the costs of an engine: libaio has one call for a submission and another for a reap."""
    switch_ns = host.switch_ns if engine == "psync" else 0.0
    calls = 1.0 if engine == "libaio" else 0.5
    return replace(host, request_ns=host.request_ns * _REQUEST_SHARE[engine] + switch_ns, call_ns=host.call_ns * calls)


def _begin_s(host: Host, engine: Engine, threads: int) -> float:
    """Return the time that is lost until all threads run.

    The helper wakes the threads of psync one after another, each of which works from then on, or more than 64 like a
    tree if the host has 8 processors.
    """
    if engine != "psync":
        return threads * host.wake_ns / 1e9
    if threads > _SERIAL_WAKES and host.cores >= _TREE_CORES:
        return host.wake_ns * (1 + math.log(threads, _FAN_OUT)) / 1e9
    return (host.wake_ns + host.switch_ns * (threads - 1) / 2) / 1e9


def _mixed(read_share: float, read: Served, write: Served) -> Served:
    """Return what the drive gives a mix, in which each request takes the time that it takes among its own kind."""
    read_s, write_s = read_share / read.bytes_per_s, (1 - read_share) / write.bytes_per_s
    rate = 1 / (read_s + write_s)

    def mean(of: Callable[[Served], float]) -> float:
        return read_share * of(read) + (1 - read_share) * of(write)

    return Served(
        bytes_per_s=rate,
        strain=rate * (read_s * read.strain + write_s * write.strain),
        latency_s=mean(lambda one: one.latency_s),
        tail=mean(lambda one: one.tail),
        cpu_s=mean(lambda one: one.cpu_s),
        begin_s=mean(lambda one: one.begin_s),
    )


@lru_cache(maxsize=1 << 16)
def served(model: DriveModel, asked: Load, *, beyond_cliff: bool = False) -> Served:
    """Return what the drive gives a load; it takes the requests' split into pieces and their queues into account."""
    if 0 < asked.read_share < 1:
        read, write = (served(model, asked._replace(read_share=part), beyond_cliff=beyond_cliff) for part in (1.0, 0.0))
        return _mixed(asked.read_share, read, write)
    side = model.side("read" if asked.read_share else "write")
    bytes_per_s = side.cliff.bytes_per_s if beyond_cliff and side.cliff is not None else side.bytes_per_s
    # At random places there is no order that could be lost.
    side = replace(side, bytes_per_s=bytes_per_s, disorder=0.0)
    alike = replace(model, host=_host(model.host, asked.engine))
    host, size = alike.host, asked.request_bytes
    threads = np.array([float(asked.threads)])
    busy = np.minimum(threads, host.cores)
    done = Work(
        transfer_bytes=size,
        block=np.array([float(size)]),
        threads=threads,
        batch=asked.in_flight / threads,
        overlap=np.array([True]),
        single=np.array([False]),
    )
    piece = pieces_of(alike, done)
    most = ceiling(side, piece, side.bytes_per_s, model.knee)
    # Only threads that run at the same time contend for locks.
    cost = cpu_s(alike, replace(done, threads=busy))
    pieces = size / piece
    # The slowest piece is late by its own time only, and the processor prepares further pieces while the drive works.
    late = alone_s(side, piece) * side.spread * np.log(pieces) + cost / pieces
    alone = alone_s(side, done.block) + late
    first = alone_s(side, piece) + late
    in_flight = np.minimum(asked.in_flight * size, model.tags * piece)
    if model.network:
        spacing = network_s(alike, side, done, piece, cost, most) / piece
    else:
        turn = soft_max(alone, in_flight / most, model.knee)
        spacing = soft_max(turn / in_flight, cost / (busy * size), CPU_KNEE)
    # The threads are no streams here, and nothing but the number of requests makes them a crowd.
    spacing = spacing * losses(model, side, replace(done, threads=np.ones(1), batch=done.in_flight), piece)
    spacing = spacing * read_modify_write(side, replace(done, batch=np.ones(1)), piece)
    rate = float(1 / spacing[0]) / model.noise.mean_factor(asked.threads)
    strain = min(1.0, rate / float(most[0]))
    # A request of many pieces is as slow as most others, because each has slow pieces.
    spread = side.spread * _TAIL * (_IDLE_TAIL + (1 - _IDLE_TAIL) * strain**2) / float(np.sqrt(1 + np.log(pieces[0])))
    return Served(
        bytes_per_s=rate,
        strain=strain,
        latency_s=asked.in_flight * size / rate,
        tail=1 + spread + P99_SIGMAS * model.noise.transfer,
        cpu_s=float(cost[0]),
        begin_s=float(first[0]) * (1 - 1 / asked.in_flight) + _begin_s(host, asked.engine, asked.threads),
    )
