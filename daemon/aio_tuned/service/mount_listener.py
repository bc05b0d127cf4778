"""The listener for changes of the mounts, limited in rate: users and container hosts may mount in a loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.devices.mount_monitor import MountWatch


class MountListener:
    """The listener, which calls `changed` at the first change and then at most once every `pause_s` seconds.

    The callee reads the whole mount table, which takes milliseconds if the table is long.
    """

    def __init__(self, watch: MountWatch, pause_s: float, changed: Callable[[], None]) -> None:
        self._watch = watch
        self._pause_s = pause_s
        self._changed = changed
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start listening; a change since the watch was made counts, too."""
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._hear)
        # Adding it polls it, which consumes the event of an earlier change: that of a pause would be lost.
        if self._watch.changed():
            self._pause()
            self._changed()

    def stop(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._watch.fileno())
        if self._again:
            self._again.cancel()

    def _hear(self) -> None:
        self._pause()
        if self._watch.changed():
            self._changed()

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._watch.fileno())
        self._again = loop.call_later(self._pause_s, self.start)
