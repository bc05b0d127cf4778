"""The looks at devices that are due, one at a time: neither a burst of events nor many drives hold up the loop."""

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
    """The queue, from which `follow` gives `take` one look after the other.

    `look_of` makes a look of one device's events.
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
        """Have the devices of these events looked at."""
        self._events.add(events)
        self._news.set()

    def want(self, what: str, looks: Callable[[], Iterator[Look]]) -> None:
        """Have these looks made before those of events, once for however many calls with the same `what`."""
        self._wanted[what] = looks
        self._news.set()

    async def follow(self) -> None:
        """Make the looks that are due, for ever; the loop does everything else in between."""
        while True:
            await self._news.wait()
            self._news.clear()
            with self._troubles.noted("devices"):
                for look in self._due():
                    self._take(look)
                    await asyncio.sleep(0)
            if self._wanted or self._events:  # what was behind an error
                self._news.set()

    def _due(self) -> Iterator[Look]:
        while self._wanted or self._events:
            if self._wanted:
                yield from self._wanted.pop(next(iter(self._wanted)))()
            else:
                yield self._look_of(self._events.take())
