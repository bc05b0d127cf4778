"""The throttle, which pauses a sweep between its measurements while other processes use the drive or it is too hot."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING

from aio_tuned.devices.thermometer import Thermometer
from aio_tuned.errors import DeferredError
from aio_tuned.model.temperature import Heat
from aio_tuned.search.taint import taint_reason
from aio_tuned.service.worker import throttle_rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_tuned.devices.sensors import Sensors
    from aio_tuned.model.measurement import Sample
    from aio_tuned.service.worker.throttle_rules import ThrottleRules

# The sweep's I/O rests for 0.25 s every 10 s, 2.5 % of its time, to measure the I/O of other processes.
_LOOK_S = 0.25
_LOOK_EVERY_S = 10.0
# A deferred sweep writes its scratch file again, so it is deferred for this many times the shortest pause.
_PAUSES_AWAY = 30


def _local_now() -> datetime:
    """Return the local time without a time zone, which is how quiet hours are configured."""
    return datetime.now().astimezone().replace(tzinfo=None)


class Throttle:
    """The throttle of one sweep: `before` waits, or raises DeferredError, before each measurement.

    It observes the drive while the helper is idle, so that all I/O is that of other processes. `notice` is called with
    the reason at each look during a pause, and with "" at its end. `paused_s` is the time spent in pauses, and `now`
    returns local time.
    """

    def __init__(
        self,
        rules: ThrottleRules,
        sensors: Sensors,
        *,
        notice: Callable[[str], None],
        now: Callable[[], datetime] = _local_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.paused_s = 0.0
        self.thermometer = Thermometer(sensors, monotonic)
        self._rules = rules
        self._sensors = sensors
        self._notice = notice
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._looked_at: float | None = None
        self._hot = ""
        self._pauses_to_cool = 0

    @property
    def heat(self) -> Heat:
        """Whether the drive has exceeded its warning threshold, and the number of pauses for heat."""
        return Heat(warned=self.thermometer.warned, pauses=self._pauses_to_cool)

    async def before(self, previous: Sample | None) -> None:
        """Wait until the next measurement may begin; `previous` is the one just made.

        Raise DeferredError in quiet hours, and if a pause would keep the scratch file for longer than `max_hold_s`.
        """
        self._keep_quiet_hours()
        reason = await self._heat()
        if not reason and self._wants_look(previous):
            reason = await self._look(_LOOK_S)
        if reason:
            await self._pause(reason)

    def _keep_quiet_hours(self) -> None:
        now = self._now()
        if until := throttle_rules.quiet_until(now, self._rules.quiet_hours):
            raise DeferredError(throttle_rules.quiet(now, until), until.timestamp() - now.timestamp())

    def _wants_look(self, previous: Sample | None) -> bool:
        if self._looked_at is None or self._monotonic() - self._looked_at >= _LOOK_EVERY_S:
            return True
        # A measurement that was tainted by a cache is no sign of other processes.
        return previous is not None and previous.cache_verdict != "cache" and bool(taint_reason(previous))

    async def _heat(self) -> str:
        found = await self.thermometer.read()
        if found is not None:
            self._hot = throttle_rules.heat(found, self._rules, was_hot=bool(self._hot))
        return self._hot

    async def _look(self, seconds: float) -> str:
        """Leave the drive idle for so many seconds; return why other processes need it, or ""."""
        moved, pressure, begun = self._sensors.moved_bytes(), self._sensors.pressure_us(), self._monotonic()
        await self._sleep(seconds)
        self._looked_at = self._monotonic()
        return throttle_rules.busy(
            _since(moved, self._sensors.moved_bytes()),
            _since(pressure, self._sensors.pressure_us()),
            self._looked_at - begun,
            self._rules,
        )

    async def _pause(self, reason: str) -> None:
        begun = self._monotonic()
        self._pauses_to_cool += bool(self._hot)
        try:
            while reason:
                self._notice(reason)
                if self._monotonic() - begun + self._rules.min_pause_s > self._rules.max_hold_s:
                    raise DeferredError(reason, self._rules.min_pause_s * _PAUSES_AWAY)
                reason = await self._look(self._rules.min_pause_s)
                self._keep_quiet_hours()
                # An intermittent load may have begun again at the end of the wait, so there is a last short look.
                reason = await self._heat() or reason or await self._look(_LOOK_S)
        finally:
            self.paused_s += self._monotonic() - begun
        self._notice("")


def _since(before: int | None, after: int | None) -> int | None:
    """Return the growth of a counter: None if a value is unknown, 0 if the counter was reset."""
    return None if before is None or after is None else max(0, after - before)
