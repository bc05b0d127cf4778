"""What changed in the objects of the fleet: two watches, of the nodes' reports and of the operators' pins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet import drive_class_object, drive_report_object
from aio_tuned.fleet.kube_errors import GoneError
from aio_tuned.fleet.store import Changes, ReportId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.fleet.kube_connection import KubeConnection

# A watch is for one kind. That of the reports waits this long, and then that of the pins is read.
_SLICE_S = 10.0
# The changes of one second after the first are read with it, so that one step takes many reports.
_DRAIN_S = 1.0


class KubeWatch:
    """Tells which reports and pins changed, and remembers how far it read each kind."""

    def __init__(self, connection: KubeConnection, reports: str, classes: str) -> None:
        self._connection = connection
        self._reports = reports
        self._classes = classes
        self._told = 0
        self._read_to: dict[str, str] = {}

    def current(self) -> int:
        """Return the revision of now."""
        for path in (self._reports, self._classes):
            answer = self._connection.call("GET", path, params={"limit": "1"})
            self._read_to[path] = str(answer["metadata"]["resourceVersion"])
        self._told = max(map(int, self._read_to.values()))
        return self._told

    def changes(self, since: int, wait_s: float) -> Changes:
        """Wait until something changes after the revision, `wait_s` seconds at most, and return all changes."""
        if since != self._told:
            self._read_to = dict.fromkeys((self._reports, self._classes), str(since))
        ends = time.monotonic() + wait_s
        reports: frozenset[ReportId] = frozenset()
        pins: frozenset[str] = frozenset()
        try:
            while True:
                pins |= {
                    str(event["object"]["metadata"]["name"])
                    for event in self._read(self._classes, _DRAIN_S)
                    if drive_class_object.pin_changed(event)
                }
                reports = self._changed_reports(0.0 if pins else min(_SLICE_S, ends - time.monotonic()))
                if reports or pins:
                    self._told = max(map(int, self._read_to.values()))
                    return Changes(self._told, reports, pins)
                if time.monotonic() >= ends:
                    self._told = since
                    return Changes(since)
        except GoneError:
            return Changes(self.current(), complete=False)

    def _changed_reports(self, wait_s: float) -> frozenset[ReportId]:
        """Return the reports that change in a time, and those that change right after the first."""
        found: set[ReportId] = set()
        if wait_s > _DRAIN_S:
            for event in self._read(self._reports, wait_s):
                found |= drive_report_object.changed(event)
                break
            if not found:
                return frozenset()
        for event in self._read(self._reports, _DRAIN_S):
            found |= drive_report_object.changed(event)
        return frozenset(found)

    def _read(self, path: str, wait_s: float) -> Iterator[dict[str, Any]]:
        """Yield the changes of one kind in a time. A bookmark is none; it tells how far there was none."""
        for event in self._connection.changes(path, self._read_to[path], wait_s):
            self._read_to[path] = str(event["object"]["metadata"]["resourceVersion"])
            if event["type"] != "BOOKMARK":
                yield event
