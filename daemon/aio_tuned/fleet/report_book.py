"""The reports of all drives, which the coordinator keeps in memory, by drive and by class."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.fleet.signature import Signed
from aio_tuned.fleet.store import IgnoredReport, ReportId

if TYPE_CHECKING:
    from aio_tuned.fleet.report import DriveReport

# A host has fewer. More names would be an attempt to fill the memory, or the store with classes.
MOST_DRIVES = 256
# Reports that are not trusted have names of any length, and count, but only the first of them are kept.
_MOST_IGNORED = 10_000

# A node and a drive.
_Drive = tuple[str, str]


class OfClass(NamedTuple):
    """The reports of a class, those of its drives that are not trusted, and its drives that are of another by now."""

    reports: tuple[DriveReport, ...]
    ignored: tuple[IgnoredReport, ...]
    moved: frozenset[_Drive]


class ReportBook:
    """The newest report of each drive and basis."""

    def __init__(self) -> None:
        self._reports: dict[_Drive, dict[str, DriveReport]] = {}
        self._ignored: dict[ReportId, IgnoredReport] = {}
        self._drives_of: dict[str, set[_Drive]] = {}
        self._drives_on: Counter[str] = Counter()

    @property
    def classes(self) -> frozenset[str]:
        """The classes that reports name."""
        return frozenset(self._drives_of)

    @property
    def ignored(self) -> int:
        """The number of reports that are not trusted."""
        return len(self._ignored)

    @property
    def reports(self) -> int:
        """The number of reports."""
        return sum(map(len, self._reports.values()))

    def keep(self, of: ReportId, found: Signed[DriveReport] | IgnoredReport | None) -> frozenset[str]:
        """Keep a report in place of its previous one; return the classes for which that changes anything.

        A report that was only sent again changes nothing but the time at which its drive was there.
        """
        drive = (of.node, of.drive)
        if isinstance(found, Signed) and drive not in self._reports and self._drives_on[of.node] >= MOST_DRIVES:
            found = IgnoredReport(of, f"the node has reports of more than {MOST_DRIVES} drives; it is ignored")
        known = self._reports.get(drive, {}).get(of.basis)
        affected = {self.class_of(drive)} | ({known.hardware_class} if known else set())
        ignored = self._ignored.pop(of, None)
        if isinstance(found, IgnoredReport) and len(self._ignored) < _MOST_IGNORED:
            self._ignored[of] = found
        report = found.document if isinstance(found, Signed) else None
        self._replace(drive, of.basis, report)
        if report and known and not ignored and replace(report, sent_s=known.sent_s) == known:
            return frozenset()
        return frozenset(affected | {self.class_of(drive)} | ({report.hardware_class} if report else set())) - {""}

    def _replace(self, drive: _Drive, basis: str, report: DriveReport | None) -> None:
        held = self._reports.setdefault(drive, {})
        if not held:
            self._drives_on[drive[0]] += 1
        before = {each.hardware_class for each in held.values()}
        if report:
            held[basis] = report
        else:
            held.pop(basis, None)
        after = {each.hardware_class for each in held.values()}
        for key in before - after:
            self._drives_of[key].discard(drive)
        for key in after - before:
            self._drives_of.setdefault(key, set()).add(drive)
        if not held:
            del self._reports[drive]
            self._drives_on[drive[0]] -= 1

    def class_of(self, drive: _Drive) -> str:
        """Return the class of a drive, by the report that was sent last; "" without any."""
        reports = self._reports.get(drive, {}).values()
        return max(reports, key=lambda each: (each.sent_s, each.at_s)).hardware_class if reports else ""

    def of_class(self, hardware_class: str) -> OfClass:
        """Return what the reports have of a class."""
        drives = self._drives_of.get(hardware_class, set())
        reports = (each for drive in drives for each in self._reports[drive].values())
        return OfClass(
            reports=tuple(each for each in reports if each.hardware_class == hardware_class),
            ignored=tuple(each for each in self._ignored.values() if (each.id.node, each.id.drive) in drives),
            moved=frozenset(drive for drive in drives if self.class_of(drive) != hardware_class),
        )
