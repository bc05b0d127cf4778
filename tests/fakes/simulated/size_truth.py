"""The truth of the curves by request size: what each number of requests in flight gives, and the least that saturates.

As with the five parameters, it is the throughput of a fresh drive, which is cool, without other I/O and before its
cliff. It is that of requests that go on forever; a transfer is slower, because it begins and ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.config.load import Config
from aio_tuned.model.size_curve import SATURATED_SHARE
from fakes.simulated.by_size import load, served

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp
    from fakes.simulated.model import DriveModel

SIZES = tuple(kib << 10 for kib in (4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384))
MAX_IN_FLIGHT = 256
BUFFER_BYTES = Config().transfer_bytes
READ_SHARE: dict[CurveOp, float] = {"read": 1.0, "write": 0.0, "mixed": 0.7}


class TruePoint(NamedTuple):
    """The true figures of a size with a number of requests in flight; `strain` is the share of the drive in use."""

    in_flight: int
    bytes_per_s: float
    p50_us: float
    p99_us: float
    strain: float


def steps(request_bytes: int, buffer_bytes: int = BUFFER_BYTES) -> tuple[int, ...]:
    """Return the powers of two of requests in flight that the buffer holds."""
    most = min(MAX_IN_FLIGHT, buffer_bytes // request_bytes)
    return tuple(1 << power for power in range(most.bit_length()))


def true_point(model: DriveModel, engine: Engine, op: CurveOp, request_bytes: int, in_flight: int) -> TruePoint:
    found = served(model, load(engine, READ_SHARE[op], request_bytes, in_flight))
    p50_us = found.latency_s * 1e6
    return TruePoint(in_flight, found.bytes_per_s, p50_us, p50_us * found.tail, found.strain)


def true_curve(
    model: DriveModel, engine: Engine, op: CurveOp, request_bytes: int, buffer_bytes: int = BUFFER_BYTES
) -> tuple[TruePoint, ...]:
    """Return the points of one size, the fewest requests in flight first."""
    counts = steps(request_bytes, buffer_bytes)
    return tuple(true_point(model, engine, op, request_bytes, count) for count in counts)


def saturating(
    model: DriveModel, engine: Engine, op: CurveOp, request_bytes: int, buffer_bytes: int = BUFFER_BYTES
) -> TruePoint:
    """Return the point with the fewest requests in flight that gives 95 % of the best of its size."""
    points = true_curve(model, engine, op, request_bytes, buffer_bytes)
    best = max(point.bytes_per_s for point in points)
    return next(point for point in points if point.bytes_per_s >= SATURATED_SHARE * best)
