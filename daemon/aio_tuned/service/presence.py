"""The disks in /sys, compared with those known from events, to find lost events."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.devices.udev_monitor import DeviceEvent

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.devices.udev_monitor import EventSource

_log = logging.getLogger(__name__)

_MOST_NAMED = 8


class Presence:
    """The disks of which an event was handled, each with its sequence number and size at that moment."""

    def __init__(self, source: EventSource, sys: Path) -> None:
        self._source = source
        self._folder = sys / "block"
        self._handled: dict[str, tuple[str, str]] = {}
        self._unprocessed: set[str] = set()
        self._found: set[str] = set()

    def handled(self, sys_name: str) -> None:
        """Record that an event of the disk was handled."""
        self._handled[sys_name] = self._mark(sys_name)

    def forget(self, sys_name: str) -> None:
        """Forget a disk that was removed or whose event could not be handled, so that `missed` returns it again."""
        self._handled.pop(sys_name, None)

    def missed(self) -> tuple[DeviceEvent, ...]:
        """Return events for the disks that were added, removed or changed without one.

        Read two attributes of each disk. A disk that udev has not processed since the last call counts anyway.
        """
        names = sysfs.names(self._folder)
        if not names:  # /sys cannot be read, so no removal is known
            return ()
        marks = {name: self._mark(name) for name in names}
        removed = [name for name in self._handled if name not in marks]
        fresh = {name for name, mark in marks.items() if self._handled.get(name) != mark}
        events = [DeviceEvent(action="remove", sys_name=name, device_number="0:0") for name in removed]
        events += self._enumerated(fresh) if fresh else ()
        found = {event.sys_name for event in events if event.initialized}
        # A device that cannot be handled is found at each call, but logged once.
        if new := sorted(found - self._found):
            listed = ", ".join(new[:_MOST_NAMED]) + (", ..." if len(new) > _MOST_NAMED else "")
            _log.info("device events lost: rescanning %s", listed)
        self._found = found
        return tuple(events)

    def _enumerated(self, fresh: set[str]) -> list[DeviceEvent]:
        found = {event.sys_name: event for event in self._source.enumerate() if event.sys_name in fresh}
        for name in fresh - found.keys():  # a hidden path of a multipath drive has no events
            self.handled(name)
        waiting = {name for name, event in found.items() if not event.initialized}
        overdue, self._unprocessed = waiting & self._unprocessed, waiting
        return [replace(event, initialized=event.initialized or name in overdue) for name, event in found.items()]

    def _mark(self, sys_name: str) -> tuple[str, str]:
        """Return the disk's sequence number, which is never reused, and its size: 0 until a volume is assembled."""
        return sysfs.attribute(self._folder / sys_name, "diskseq"), sysfs.attribute(self._folder / sys_name, "size")
