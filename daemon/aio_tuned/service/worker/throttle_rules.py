"""The rules of the throttle: from facts about the drive and the time to the reason for a pause, or ""."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search.taint import foreign_bytes, taint_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.temperature import Temperature

QuietHours = tuple[tuple["time", "time"], ...]

# A sweep paused for heat continues when the drive is this much cooler, or else each measurement would pause it again.
_COOLER_CELSIUS = 5.0

# Other processes must move this share of the busy threshold on the drive for the host's I/O pressure to count.
_PRESSED_SHARE = 1 / 16

# A deferred sweep writes its scratch file again, so it is deferred for this many times the shortest pause.
PAUSES_AWAY = 30

# How long a look is at least in which requests are counted.
QUIET_LOOK_S = 2.0
# The least bytes of a request of others, with which their bytes during a measurement are turned into a rate.
_REQUEST_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleRules:
    """The limits of [throttle] that decide on pauses; `max_celsius` None means the drive's own warning threshold.

    With `busy_requests_per_s` 0 requests are not counted.
    """

    busy_bytes_per_s: int
    busy_requests_per_s: int
    busy_pressure_percent: float
    min_pause_s: float
    max_hold_s: float
    quiet_hours: QuietHours
    max_celsius: float | None

    @classmethod
    def from_config(cls, config: Config) -> ThrottleRules:
        """Return the rules in the configuration."""
        return cls(
            busy_bytes_per_s=config.busy_bytes_per_s,
            busy_requests_per_s=config.busy_requests_per_s,
            busy_pressure_percent=config.busy_pressure_percent,
            min_pause_s=config.min_pause,
            max_hold_s=config.max_hold,
            quiet_hours=config.quiet_hours,
            max_celsius=config.max_celsius,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What others did on the drive in a look of some seconds: None is unknown, and never pauses a sweep."""

    seconds: float
    moved_bytes: int | None
    requests: int | None = None
    pressure_us: int | None = None


def busy(seen: Traffic, rules: ThrottleRules) -> str:
    """Return why other processes need the drive, or "": what they moved, how many requests, and their I/O waits.

    A server that reads 4 KiB at a time, or syncs its log, moves few bytes, and waits for each request. In a short look
    a single burst, such as a commit of the journal, would be a high rate, so requests count in looks of
    QUIET_LOOK_S and more.

    The pressure is the whole host's, for all drives together. Another disk that is busy for days must not pause this
    sweep for days, so pressure counts only if other processes use this drive too.
    """
    seconds = seen.seconds
    if seen.moved_bytes is None or seconds <= 0:
        return ""
    bytes_per_s = seen.moved_bytes / seconds
    moving = f"others move {formatting.throughput(bytes_per_s)} on the drive"
    if bytes_per_s > rules.busy_bytes_per_s:
        return moving
    requests_per_s = (seen.requests or 0) / seconds
    if rules.busy_requests_per_s and seconds >= QUIET_LOOK_S and requests_per_s > rules.busy_requests_per_s:
        return f"others make {requests_per_s:.0f} requests/s on the drive"
    percent = (seen.pressure_us or 0) / (seconds * 1e4)
    if percent > rules.busy_pressure_percent and bytes_per_s > rules.busy_bytes_per_s * _PRESSED_SHARE:
        return f"{moving} and wait for I/O {min(percent, 100):.0f} % of the time"
    return ""


def shows_others(sample: Sample, rules: ThrottleRules) -> bool:
    """Return whether others may have used the drive during the measurement, by its counters, so that a look is due."""
    # A measurement that was tainted by a cache is no sign of other processes.
    if sample.cache_verdict == "cache":
        return False
    few = rules.busy_requests_per_s * _REQUEST_BYTES * sample.wall_ns / 1e9
    return bool(taint_reason(sample)) or (rules.busy_requests_per_s > 0 and foreign_bytes(sample) > few)


def quiet_until(now: datetime, quiet_hours: QuietHours) -> datetime | None:
    """Return the end of the quiet time that includes `now`; None outside quiet hours.

    Adjacent and overlapping periods are joined. A period that ends before it begins crosses midnight, and one that ends
    when it begins is a whole day. The result is at most a day ahead, even if the quiet time never ends.
    """
    latest = now + timedelta(days=1)
    until = now
    while until < latest and (ends := [end for period in quiet_hours if (end := _end(until, period))]):
        until = max(ends)
    return min(until, latest) if until > now else None


def _end(moment: datetime, period: tuple[time, time]) -> datetime | None:
    """Return the end of the period if it includes `moment`, else None."""
    first, last = period
    clock = moment.time()
    inside = first <= clock < last if first < last else clock >= first or clock < last
    if not inside:
        return None
    end = datetime.combine(moment.date(), last, tzinfo=moment.tzinfo)
    return end if end > moment else end + timedelta(days=1)


def quiet(now: datetime, until: datetime) -> str:
    """Return the reason for a pause in a quiet time that lasts until then."""
    if until - now >= timedelta(days=1):
        return "quiet hours all day"
    return f"quiet hours until {until:%H:%M}"


def heat(temperatures: Sequence[Temperature], rules: ThrottleRules, *, was_hot: bool) -> str:
    """Return why the drives must cool down, or "": one has reached its limit, or is still too close to it."""
    over = [
        (temperature.celsius - limit, temperature.celsius, limit)
        for temperature, limit in _limits(temperatures, rules)
        if temperature.celsius >= limit or (was_hot and temperature.celsius > limit - _COOLER_CELSIUS)
    ]
    if not over:
        return ""
    _, celsius, limit = max(over)
    return f"it is {celsius:.0f} °C, its limit {limit:.0f} °C"


def _limits(temperatures: Sequence[Temperature], rules: ThrottleRules) -> Iterable[tuple[Temperature, float]]:
    for temperature in temperatures:
        limit = temperature.warning_celsius if rules.max_celsius is None else rules.max_celsius
        if limit is not None:
            yield temperature, limit
