"""The queue of looks at devices, taken one at a time so that bursts of events and many drives do not block the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aio_tuned.service.event_queue import EventQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from aio_tuned.devices.udev_monitor import DeviceEvent
    from aio_tuned.service.device_troubles import DeviceTroubles
    from aio_tuned.service.inventory import Look


class LookQueue:
    """The queue, from which `follow` passes one look after the other to `take`.

    `look_of` turns the events of one device into a look.
    """

    def __init__(
        self,
        look_of: Callable[[Sequence[DeviceEvent]], Look],
        take: Callable[[Look], None],
        troubles: DeviceTroubles,
    ) -> None:
        self._look_of = look_of
        self._take = take
        self._troubles = troubles
        self._events = EventQueue()
        self._wanted: dict[str, Callable[[], Iterator[Look]]] = {}
        self._news = asyncio.Event()

    def add(self, events: Iterable[DeviceEvent]) -> None:
        """Queue looks at the devices of these events."""
        self._events.add(events)
        self._news.set()

    def want(self, key: str, looks: Callable[[], Iterator[Look]]) -> None:
        """Queue these looks before those of events; calls with the same `key` are combined."""
        self._wanted[key] = looks
        self._news.set()

    async def follow(self) -> None:
        """Take the looks that are due, without end, and give other tasks a turn after each."""
        while True:
            await self._news.wait()
            self._news.clear()
            with self._troubles.noted("devices"):
                for look in self._due():
                    self._take(look)
                    await asyncio.sleep(0)
            if self._wanted or self._events:  # left in the queue by an error
                self._news.set()

    def _due(self) -> Iterator[Look]:
        while self._wanted or self._events:
            if self._wanted:
                yield from self._wanted.pop(next(iter(self._wanted)))()
            else:
                yield self._look_of(self._events.take())
