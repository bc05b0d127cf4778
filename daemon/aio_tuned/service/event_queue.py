"""The device events that wait to be handled: of a burst, what still matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.devices.udev_monitor import DeviceEvent


class EventQueue:
    """The waiting events by device, in the order in which the devices were first heard of.

    The facts are read when an event is handled, so only the last event of a device counts, and a removal before it:
    another device may have its name by then.
    """

    def __init__(self) -> None:
        self._removals: dict[str, DeviceEvent] = {}
        self._latest: dict[str, DeviceEvent | None] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, events: Iterable[DeviceEvent]) -> None:
        """Add events that have come; what udev has not processed yet is left out, as its event follows."""
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
