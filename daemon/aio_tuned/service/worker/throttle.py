"""Adapter: holds a sweep back, between its visits, while others need the drive or it is too hot. Worker only."""

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

# How long the drive is left alone to see what others do on it, and how often: 2.5 % of a sweep's time.
_LOOK_S = 0.25
_LOOK_EVERY_S = 10.0
# To begin anew writes the scratch file anew: whoever gave way stays away for many times the least pause.
_PAUSES_AWAY = 30


def _local_now() -> datetime:
    """What the clock on the wall shows: quiet hours are meant in that."""
    return datetime.now().astimezone().replace(tzinfo=None)


class Throttle:
    """Before each visit it lets the sweep go on, or makes it wait, or raises DeferredError.

    It measures while our helper is idle: what the drive moves then is others'. `notice` gets the reason of a pause
    whenever it is looked at anew, and "" when the pause is over. `paused_s` is the time spent in pauses, `thermometer`
    what it goes by, and `heat` says whether the drive was too hot. `now` gives local time.
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
        """What was seen of the drive's heat."""
        return Heat(warned=self.thermometer.warned, pauses=self._pauses_to_cool)

    async def before(self, previous: Sample | None) -> None:
        """Come back when the next visit may begin; `previous` is the visit just made.

        DeferredError in quiet hours, and when a pause would hold the sweep, and with it the scratch file, for longer
        than `max_hold_s`.
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
        # Whatever else taints a visit, a cache, is no sign of others.
        return previous is not None and previous.cache_verdict != "cache" and bool(taint_reason(previous))

    async def _heat(self) -> str:
        found = await self.thermometer.read()
        if found is not None:
            self._hot = throttle_rules.heat(found, self._rules, was_hot=bool(self._hot))
        return self._hot

    async def _look(self, seconds: float) -> str:
        """Leave the drive alone for so long; why others needed it then, or ""."""
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
                # A load that comes and goes may have begun again at the very end of the wait.
                reason = await self._heat() or reason or await self._look(_LOOK_S)
        finally:
            self.paused_s += self._monotonic() - begun
        self._notice("")


def _since(before: int | None, after: int | None) -> int | None:
    """How much a counter has grown; one that began anew has not."""
    return None if before is None or after is None else max(0, after - before)
