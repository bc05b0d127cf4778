"""The queue of device events, which keeps only the significant events of a burst."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.devices.udev_monitor import DeviceEvent


class EventQueue:
    """The waiting events by device, in the order of each device's first event.

    Facts are read when an event is handled, so only a device's last event counts, and a removal before it, because
    another device may have taken the name.
    """

    def __init__(self) -> None:
        self._removals: dict[str, DeviceEvent] = {}
        self._latest: dict[str, DeviceEvent | None] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, events: Iterable[DeviceEvent]) -> None:
        """Add events; leave out those that udev has not processed yet, as another event follows."""
        for event in events:
            if event.action == "remove":
                self._removals[event.sys_name] = event
                self._latest[event.sys_name] = None
            elif event.initialized or event.is_partition:
                self._latest[event.sys_name] = event

    def take(self) -> tuple[DeviceEvent, ...]:
        """Remove and return the events of the device that has waited longest; () if none waits."""
        if not self._latest:
            return ()
        name = next(iter(self._latest))
        latest, removal = self._latest.pop(name), self._removals.pop(name, None)
        return tuple(event for event in (removal, latest) if event)
