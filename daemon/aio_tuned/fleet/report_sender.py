"""The reports of a node on their way to the store: what is new is put, and what could not be put is put later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.signature import Signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aio_tuned.fleet.report import Basis, DriveReport
    from aio_tuned.fleet.signature import SigningKey
    from aio_tuned.fleet.store import Store

# A presence is renewed within this last part of its time, and not on all nodes at once.
_EARLY_SHARE = 0.2
# A report that seems to be from later than this was sent before the clock was set back.
_AHEAD_S = 3600


class ReportSender:
    """Signs and puts the reports of one node, and knows what the store has of them.

    `put` counts the reports that were put, and `refused` has a sentence for each that cannot be put at all.
    `contact_s` is the Unix time of the last answer of the store.
    """

    def __init__(
        self, store: Store, key: SigningKey, node: str, report_every_s: float, draw: Callable[[float, float], float]
    ) -> None:
        self._store = store
        self._key = key
        self._node = node
        self._renew_after_s = report_every_s * (1 - draw(0, _EARLY_SHARE))
        # None: the store has not been asked yet, or may have lost them.
        self._stored: dict[tuple[str, Basis], DriveReport] | None = None
        self.contact_s = 0.0
        self.put = 0
        self.refused: tuple[str, ...] = ()

    def forget(self) -> None:
        """Ask the store again before the next report, since it may have been replaced by an older or an empty one."""
        self._stored = None

    def send(self, reports: Iterable[DriveReport], now_s: float) -> None:
        """Put the reports that the store does not have, and the presences whose time is over; raise StoreError."""
        if self._stored is None:
            # One read in place of all writes after each restart.
            listed = (each.document for each in self._store.list_reports(self._node) if isinstance(each, Signed))
            self._stored = {(each.drive, each.basis): each for each in listed}
            self.contact_s = now_s
        refused = []
        for report in reports:
            stored = self._stored.get((report.drive, report.basis))
            if stored and _is_same(report, stored) and not self._is_over(stored, now_s):
                continue
            try:
                signed = self._key.sign(replace(report, sent_s=int(now_s)))
            except FleetDataError as error:
                refused.append(str(error))
                continue
            self._store.put_report(signed)
            self._stored[report.drive, report.basis] = signed.document
            self.put += 1
            self.contact_s = now_s
        self.refused = tuple(refused)

    def has_put(self, report: DriveReport) -> bool:
        """Return whether the store has this report."""
        stored = self._stored.get((report.drive, report.basis)) if self._stored else None
        return stored is not None and _is_same(report, stored)

    def _is_over(self, stored: DriveReport, now_s: float) -> bool:
        age_s = now_s - stored.sent_s
        return stored.basis == "presence" and not -_AHEAD_S < age_s < self._renew_after_s


def _is_same(report: DriveReport, stored: DriveReport) -> bool:
    """Return whether this is the stored report, which lacks the points that did not fit beside its time."""
    return replace(report, sent_s=stored.sent_s).to_json() == stored.to_json()
