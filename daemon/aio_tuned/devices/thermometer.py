"""The temperatures of a drive during a sweep, read with a time limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aio_tuned.model.temperature import Temperature, Warned
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aio_tuned.devices.sensors import Sensors
    from aio_tuned.model.temperature import Temperature

# A reading is a request to the drive, so short measurements do not make one each.
_EVERY_S = 1.0
_MAX_S = 10.0


class Thermometer:
    """The temperatures of one drive; all are None until the first reading, and without a sensor.

    `celsius` is the latest reading of the hottest sensor, `peak_celsius` the highest of all readings, `warned` the
    reading furthest above the drive's own warning threshold. A reading is abandoned after `max_s` seconds.
    """

    def __init__(
        self, sensors: Sensors, monotonic: Callable[[], float] = time.monotonic, *, max_s: float = _MAX_S
    ) -> None:
        self.celsius: float | None = None
        self.peak_celsius: float | None = None
        self.warned: Warned | None = None
        self._sensors = sensors
        self._monotonic = monotonic
        self._max_s = max_s
        self._read_at: float | None = None

    async def read(self) -> tuple[Temperature, ...] | None:
        """Read each sensor and return its temperature; None if the last reading is less than a second old."""
        if self._read_at is not None and self._monotonic() - self._read_at < _EVERY_S:
            return None
        try:
            found = await within(self._max_s, in_thread(self._sensors.temperatures))
        except TooLateError:
            found = ()  # if the drive does not answer, the sweep's own I/O fails too and is reported
        self._read_at = self._monotonic()
        self.celsius = max((each.celsius for each in found), default=None)
        self.peak_celsius = max((one for one in (self.celsius, self.peak_celsius) if one is not None), default=None)
        self.warned = worse(self.warned, found)
        return found


def worse(known: Warned | None, temperatures: Sequence[Temperature]) -> Warned | None:
    """Return the reading furthest above the drive's own threshold, including the known one; None without any."""
    over = [
        Warned(celsius=each.celsius, limit=each.warning_celsius)
        for each in temperatures
        if each.warning_celsius is not None and each.celsius >= each.warning_celsius
    ]
    candidates = [known, *over] if known else over
    return max(candidates, key=lambda one: one.celsius - one.limit, default=None)
