"""The listener to changes of the mounts, which users may make in a loop, and a host of containers does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.devices.mount_monitor import MountWatch


class MountListener:
    """The listener, which calls `changed` at the first change and then at most once every `pause_s` seconds.

    The whole table is read each time, which takes milliseconds where it is long.
    """

    def __init__(self, watch: MountWatch, pause_s: float, changed: Callable[[], None]) -> None:
        self._watch = watch
        self._pause_s = pause_s
        self._changed = changed
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen from now on."""
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._hear)

    def stop(self) -> None:
        """Listen no more."""
        asyncio.get_running_loop().remove_reader(self._watch.fileno())
        if self._again:
            self._again.cancel()

    def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._watch.fileno())
        self._again = loop.call_later(self._pause_s, self.start)
        if self._watch.changed():
            self._changed()
