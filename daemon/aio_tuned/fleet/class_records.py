"""What the store has of a class, read and written as a whole by the coordinator that leads."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.coordination import ClassView

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.coordination import Coordinated
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.report_book import OfClass
    from aio_tuned.fleet.signature import SigningKey
    from aio_tuned.fleet.store import ClassEntry, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """A class as it was read, and the entry over which its next result is written."""

    view: ClassView
    entry: ClassEntry

    def moves_on(self, found: Coordinated) -> bool:
        """Return whether a round has changed the result or the rollout, from which more may follow."""
        before = self.view.plan.rollout if self.view.plan else None
        return found.result is not self.view.result or found.plan.rollout != before


class ClassRecords:
    """The records of a store; `check` raises ClaimLostError if another coordinator may have the lead."""

    def __init__(self, store: Store, key: SigningKey, check: Callable[[], None]) -> None:
        self._store = store
        self._key = key
        self._check = check

    def read(self, key: str, reports: OfClass, status: ClassStatus | None) -> ClassRecord:
        """Return what the store has now, whoever wrote it, beside the reports and the status that are known."""
        entry = self._store.get_class(key)
        history = tuple(each.document for each in self._store.history(key))
        plan = self._store.get_plan(key)
        pin, pin_fault = self._pin(key)
        view = ClassView(
            hardware_class=key,
            reports=reports.reports,
            ignored=reports.ignored,
            moved=reports.moved,
            held=self._store.holders("claim", key).keys(),
            # A result that is not trusted is replaced by the newest that is.
            result=entry.result.document if entry.result else next(iter(history), None),
            history=history,
            plan=plan.document if plan else None,
            status=status,
            pin=pin,
            pin_fault=pin_fault,
        )
        return ClassRecord(view, entry)

    def _pin(self, key: str) -> tuple[Pin | None, str]:
        try:
            return self._store.get_pin(key), ""
        except FleetDataError as error:
            return None, str(error)

    def write(self, known: ClassRecord, found: Coordinated) -> None:
        """Write what has changed: the result first, since nodes read it where a plan names it.

        Raise StaleError or ReplayError if another coordinator wrote the class since it was read.
        """
        view, entry = known.view, known.entry
        if found.result and not (entry.result and entry.result.document == found.result):
            self._check()
            self._store.put_class(self._key.sign(found.result), entry)
            if view.result is None or view.result.generation != found.result.generation:
                _log.info("fleet: class %s: %s", view.hardware_class, found.status.decision)
        if found.plan is not view.plan:
            self._check()
            self._store.put_plan(self._key.sign(found.plan))
        if found.status is not view.status:
            self._check()
            self._store.put_status(self._key.sign(found.status))
