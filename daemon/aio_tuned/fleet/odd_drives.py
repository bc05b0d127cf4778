"""Drives that are slower or faster than their class, by the figures of their own checks and sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.fleet.rejection import MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.model.setting import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class OddDrive:
    """A drive outside the range of its class in one direction, with the throughput of both."""

    node: str
    drive: str
    direction: Direction
    bytes_per_s: int
    class_bytes_per_s: int

    @property
    def slower(self) -> bool:
        """Return whether the drive is slower than its class, and not faster."""
        return self.bytes_per_s < self.class_bytes_per_s

    def __str__(self) -> str:
        """Return the finding that operators read."""
        share = self.bytes_per_s / self.class_bytes_per_s - 1
        return (
            f"{self.direction}: {formatting.throughput(self.bytes_per_s)}, {abs(share) * 100:.0f} %"
            f" {'slower' if self.slower else 'faster'} than the class,"
            f" {formatting.throughput(self.class_bytes_per_s)}; the class's setting stays provisional on this drive;"
            " look for its wear, link and temperature"
        )


def odd_drives(result: ClassResult, reports: Iterable[DriveReport]) -> tuple[OddDrive, ...]:
    """Return the drives whose interval is apart from that of the class by more than 5 % of each.

    The margin is that of a check against a sibling: drives of one model fill and wear differently.
    """
    found = []
    for each in reports:
        for (direction, part), (_, usual) in zip(each.directions(), result.directions(), strict=True):
            if not (part and usual):
                continue
            slow = part.rate.high_bytes_per_s * (1 + MARGIN) < usual.rate.low_bytes_per_s * (1 - MARGIN)
            fast = part.rate.low_bytes_per_s * (1 - MARGIN) > usual.rate.high_bytes_per_s * (1 + MARGIN)
            if slow or fast:
                found.append(
                    OddDrive(
                        node=each.node,
                        drive=each.drive,
                        direction=direction,
                        bytes_per_s=part.rate.bytes_per_s,
                        class_bytes_per_s=usual.rate.bytes_per_s,
                    )
                )
    return tuple(found)
