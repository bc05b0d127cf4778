"""What an engine gives for each request size, at random places: throughput and latency by the requests in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Engine

CurveOp = Literal["read", "write", "mixed"]

# A size counts as saturated at this share of the highest throughput that was measured with it.
SATURATED_SHARE = 0.95
# A p99 of fewer requests says little: the slowest one in a hundred was seen ten times or less.
MIN_REQUESTS_OF_P99 = 1000


class SizePoint(NamedTuple):
    """The figures of one request size with a number of requests in flight, over all threads.

    `p99_us` is None if fewer than MIN_REQUESTS_OF_P99 requests were measured. `share` is the throughput relative to
    the highest of that size.
    """

    request_bytes: int
    in_flight: int
    throughput_bytes_per_s: int
    p50_us: float
    p99_us: float | None
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCurve:
    """The points of one engine and direction, by size, then by requests in flight; "mixed" is 70 % reads."""

    engine: Engine
    op: CurveOp
    points: tuple[SizePoint, ...]

    @property
    def name(self) -> str:
        """The section of a profile that holds the curve."""
        return f"curve_{self.engine}_{self.op}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The request sizes, smallest first."""
        return tuple(sorted({point.request_bytes for point in self.points}))

    def of_size(self, request_bytes: int) -> tuple[SizePoint, ...]:
        """Return the points of one size, the fewest requests in flight first."""
        found = (point for point in self.points if point.request_bytes == request_bytes)
        return tuple(sorted(found, key=lambda point: point.in_flight))

    def saturated(self, request_bytes: int) -> SizePoint:
        """Return the point of a measured size with the fewest requests in flight that saturate it."""
        return next(point for point in self.of_size(request_bytes) if point.share >= SATURATED_SHARE)
