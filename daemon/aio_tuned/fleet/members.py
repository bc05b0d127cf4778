"""The drives of a class that are there, by their newest reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.fleet.consensus import MOST_AHEAD_S

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aio_tuned.fleet.report import Basis, DriveReport
    from aio_tuned.model.profile import State

# A report is sent again every `report_every`; one may be lost, and clocks may be an hour apart.
_CLOCKS_APART_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A drive of a class with its reports by their basis."""

    node: str
    drive: str
    reports: Mapping[Basis, DriveReport]

    @property
    def newest(self) -> DriveReport:
        """The report that was sent last."""
        return max(self.reports.values(), key=lambda each: (each.sent_s, each.at_s))

    @property
    def state(self) -> State:
        """The state of the drive's profile."""
        presence = self.reports.get("presence")
        return (presence or self.newest).state

    @property
    def generation(self) -> int:
        """The generation of the class that the drive's profile has, 0 for none."""
        presence = self.reports.get("presence")
        return presence.generation if presence else 0


def is_alive(sent_s: int, now_s: int, report_every_s: float) -> bool:
    """Return whether a drive whose newest report was sent at that time is still there."""
    return sent_s >= now_s - 2 * report_every_s - _CLOCKS_APART_S


def is_ahead(report: DriveReport, now_s: int) -> bool:
    """Return whether a report is from the future, further than clocks are apart, so that it does not count."""
    return max(report.at_s, report.sent_s) > now_s + MOST_AHEAD_S


def members(
    reports: Iterable[DriveReport], moved: Collection[tuple[str, str]], now_s: int, report_every_s: float
) -> tuple[Member, ...]:
    """Return the drives that are there, without those of `moved`, which are of another class by now."""
    by_drive: dict[tuple[str, str], dict[Basis, DriveReport]] = {}
    for each in reports:
        by_drive.setdefault((each.node, each.drive), {})[each.basis] = each
    found = (Member(node=node, drive=drive, reports=each) for (node, drive), each in sorted(by_drive.items()))
    return tuple(
        each
        for each in found
        if (each.node, each.drive) not in moved and is_alive(each.newest.sent_s, now_s, report_every_s)
    )
