"""The throttle, which pauses a sweep between its measurements while other processes use the drive or it is too hot."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING

from aio_tuned.devices.thermometer import Thermometer
from aio_tuned.errors import BusyDriveError, DeferredError
from aio_tuned.model.temperature import Heat
from aio_tuned.service.worker import throttle_rules
from aio_tuned.service.worker.throttle_rules import Traffic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_tuned.devices.sensors import Sensors
    from aio_tuned.model.measurement import Sample
    from aio_tuned.service.worker.throttle_rules import ThrottleRules

# Every 10 s the sweep stops its I/O to observe that of other processes: for 2 s if their requests are counted, else
# for 0.25 s, which is enough to measure throughput.
_LOOK_S = 0.25
_LOOK_EVERY_S = 10.0
# Deep queues delay other processes' requests the most, so at most 5 s may have passed since the last observation.
_DEEP_EVERY_S = 5.0
# A queue is deep with more requests in flight than DeepSpeed's default has.
DEEP = 8
# A filesystem commits its journal up to 5 s after a write of the sweep; later I/O is that of other processes.
_SETTLED_S = 5.0


def _local_now() -> datetime:
    """Return the local time without a time zone, which is how quiet hours are configured."""
    return datetime.now().astimezone().replace(tzinfo=None)


class Throttle:
    """The throttle of one sweep: `before` waits, or raises DeferredError, before each measurement.

    It observes the drive while the helper is idle, so that all I/O is that of other processes. It calls `notice` with
    the reason at each observation during a pause, and with "" at the pause's end. `paused_s` is the time spent in
    pauses, and `now` returns local time. With `patient` False other processes do not pause the sweep.
    """

    def __init__(
        self,
        rules: ThrottleRules,
        sensors: Sensors,
        *,
        notice: Callable[[str], None],
        patient: bool = True,
        now: Callable[[], datetime] = _local_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.paused_s = 0.0
        self.thermometer = Thermometer(sensors, monotonic)
        self._rules = rules
        self._sensors = sensors
        self._notice = notice
        self._patient = patient
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._looked_at: float | None = None
        self._wrote_at: float | None = None
        self._hot = ""
        self._pauses_to_cool = 0

    @property
    def heat(self) -> Heat:
        """Return whether the drive has exceeded its warning threshold, and the number of pauses for heat."""
        return Heat(warned=self.thermometer.warned, pauses=self._pauses_to_cool)

    def wrote(self) -> None:
        """Record that the sweep has just written to the drive."""
        self._wrote_at = self._monotonic()

    async def before(self, previous: Sample | None, *, deep: bool = False) -> None:
        """Wait until the next measurement may begin; `previous` is the last one, and `deep` means a deep queue.

        Raise DeferredError in quiet hours, and if a pause would keep the scratch file for longer than `max_hold_s`;
        raise its subclass BusyDriveError if that pause is for other processes.
        """
        self._keep_quiet_hours()
        reason = await self._heat()
        if not reason and self._wants_look(previous, deep=deep):
            reason = await self._look(self._quiet_look_s)
        if reason:
            await self._pause(reason)

    def _keep_quiet_hours(self) -> None:
        now = self._now()
        if until := throttle_rules.quiet_until(now, self._rules.quiet_hours):
            raise DeferredError(throttle_rules.quiet(now, until), until.timestamp() - now.timestamp())

    @property
    def _quiet_look_s(self) -> float:
        return throttle_rules.QUIET_LOOK_S if self._rules.busy_requests_per_s else _LOOK_S

    def _wants_look(self, previous: Sample | None, *, deep: bool) -> bool:
        if not self._patient:
            return False
        every_s = _DEEP_EVERY_S if deep and self._rules.busy_requests_per_s else _LOOK_EVERY_S
        if self._looked_at is None or self._monotonic() - self._looked_at >= every_s:
            return True
        return previous is not None and throttle_rules.shows_others(previous, self._rules)

    async def _heat(self) -> str:
        found = await self.thermometer.read()
        if found is not None:
            self._hot = throttle_rules.heat(found, self._rules, was_hot=bool(self._hot))
        return self._hot

    async def _look(self, seconds: float) -> str:
        """Leave the drive idle for so many seconds; return the reason if other processes keep it busy, or ""."""
        if self._rules.busy_requests_per_s and self._wrote_at is not None:
            settling_s = self._wrote_at + _SETTLED_S - seconds - self._monotonic()
            if settling_s > 0:
                await self._sleep(settling_s)
        sensors, begun = self._sensors, self._monotonic()
        moved, requests, pressure = sensors.moved_bytes(), sensors.requests(), sensors.pressure_us()
        await self._sleep(seconds)
        self._looked_at = self._monotonic()
        seen = Traffic(
            seconds=self._looked_at - begun,
            moved_bytes=_since(moved, sensors.moved_bytes()),
            requests=_since(requests, sensors.requests()),
            pressure_us=_since(pressure, sensors.pressure_us()),
        )
        return throttle_rules.busy(seen, self._rules) if self._patient else ""

    async def _pause(self, reason: str) -> None:
        begun = self._monotonic()
        self._pauses_to_cool += bool(self._hot)
        try:
            while reason:
                self._notice(reason)
                if self._monotonic() - begun + self._rules.min_pause_s > self._rules.max_hold_s:
                    error = DeferredError if reason == self._hot else BusyDriveError
                    raise error(reason, self._rules.min_pause_s * throttle_rules.PAUSES_AWAY)
                reason = await self._look(self._rules.min_pause_s)
                self._keep_quiet_hours()
                # An intermittent load may have begun again at the end of the pause, so a short observation follows.
                reason = await self._heat() or reason or await self._look(self._quiet_look_s)
        finally:
            self.paused_s += self._monotonic() - begun
        self._notice("")


def _since(before: int | None, after: int | None) -> int | None:
    """Return the growth of a counter: None if a value is unknown, 0 if the counter was reset."""
    return None if before is None or after is None else max(0, after - before)
