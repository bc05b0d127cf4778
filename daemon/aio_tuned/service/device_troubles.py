"""The errors of single devices, which must affect neither other devices nor the daemon."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aio_tuned.errors import AioTunedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)


class DeviceTroubles:
    """The last error of each device, until an event of it is handled without an error or the device is removed.

    The log has each error once, with a traceback if it is a bug of aio-tuned. `count` is the number of errors so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[str, str] = {}

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return a sentence for each device with an error, for the status."""
        return tuple(self._known.values())

    @contextmanager
    def noted(self, sys_name: str) -> Iterator[None]:
        """Record any error that is raised in this context as one of that device, and suppress it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - after any error the other devices must be handled
            self._note(sys_name, error)

    def clear(self, sys_name: str) -> None:
        """Forget the device's error."""
        self._known.pop(sys_name, None)

    def _note(self, sys_name: str, error: Exception) -> None:
        self.count += 1
        expected = isinstance(error, (AioTunedError, OSError))
        words = str(error) if expected else f"{type(error).__name__}: {error}; report this bug in aio-tuned"
        sentence = f"{sys_name}: cannot be updated: {words}"
        if self._known.get(sys_name) != sentence:
            self._known[sys_name] = sentence
            _log.warning("%s", sentence, exc_info=None if expected else error)
