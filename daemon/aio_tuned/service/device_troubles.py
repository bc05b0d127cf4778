"""The devices that could not be handled: an error of one, whatever it is, must not reach the others or the daemon."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aio_tuned.errors import AioTunedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)


class DeviceTroubles:
    """A sentence for each such device, until an event of it is handled without an error or it is removed.

    The log has each sentence once, with a traceback if the error is none that is expected of a device. `count` is the
    number of errors so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[str, str] = {}

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences, for the status."""
        return tuple(self._known.values())

    @contextmanager
    def noted(self, sys_name: str) -> Iterator[None]:
        """Note any error of the block as one of that device."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the other devices must be handled
            self._note(sys_name, error)

    def clear(self, sys_name: str) -> None:
        """Forget the device's error."""
        self._known.pop(sys_name, None)

    def _note(self, sys_name: str, error: Exception) -> None:
        self.count += 1
        expected = isinstance(error, (AioTunedError, OSError))
        words = str(error) if expected else f"{type(error).__name__}: {error}; report this error of aio-tuned"
        sentence = f"{sys_name}: cannot be handled: {words}"
        if self._known.get(sys_name) != sentence:
            self._known[sys_name] = sentence
            _log.warning("%s", sentence, exc_info=None if expected else error)
