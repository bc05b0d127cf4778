"""The rules of the throttle, which turn facts about the drive and the time into the reason for a pause, or ""."""

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

# A sweep paused for heat continues once the drive is this much cooler; otherwise each measurement would pause it again.
_COOLER_CELSIUS = 5.0

# The host's I/O pressure counts only if other processes transfer this share of the busy threshold on the drive.
_PRESSED_SHARE = 1 / 16

# A deferred sweep must write its scratch file again, so it is deferred for 30 times the shortest pause.
PAUSES_AWAY = 30

# The shortest observation in which requests are counted: in a shorter one a single burst would be a high rate.
QUIET_LOOK_S = 2.0
# The assumed size of other processes' requests, with which their bytes during a measurement give a request rate.
_REQUEST_BYTES = 4096
# A measurement ends when other processes have made as many requests as a busy drive has in this time. At 200 requests/s
# that is after 40 ms, with the default of 20 requests/s.
_NOTICE_S = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleRules:
    """The limits of [throttle] that decide on pauses.

    `max_celsius` None means the drive's own warning threshold, and `busy_requests_per_s` 0 that requests do not count.
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
        """Return the rules of the configuration."""
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
    """The I/O of other processes on the drive during `seconds`; None means unknown, and never pauses a sweep."""

    seconds: float
    moved_bytes: int | None
    requests: int | None = None
    pressure_us: int | None = None


def busy(seen: Traffic, rules: ThrottleRules) -> str:
    """Return the reason for a pause, or "": other processes' throughput, their request rate, or their I/O waits.

    Requests count beside bytes because a server that reads 4 KiB at a time, or syncs its log, transfers few bytes and
    waits for each request. They count only in observations of at least QUIET_LOOK_S, because in a shorter one a single
    burst, such as a journal commit, would be a high rate.

    I/O pressure is the whole host's. It counts only if other processes use this drive too, because another disk that is
    busy for days must not pause this sweep for days.
    """
    seconds = seen.seconds
    if seen.moved_bytes is None or seconds <= 0:
        return ""
    bytes_per_s = seen.moved_bytes / seconds
    transfers = f"other processes transfer {formatting.throughput(bytes_per_s)} on the drive"
    if bytes_per_s > rules.busy_bytes_per_s:
        return transfers
    requests_per_s = (seen.requests or 0) / seconds
    if rules.busy_requests_per_s and seconds >= QUIET_LOOK_S and requests_per_s > rules.busy_requests_per_s:
        return f"other processes make {requests_per_s:.0f} requests/s on the drive"
    percent = (seen.pressure_us or 0) / (seconds * 1e4)
    if percent > rules.busy_pressure_percent and bytes_per_s > rules.busy_bytes_per_s * _PRESSED_SHARE:
        return f"{transfers} and wait for I/O {min(percent, 100):.0f} % of the time"
    return ""


def shows_others(sample: Sample, rules: ThrottleRules) -> bool:
    """Return whether other processes may have used the drive during the measurement, by the drive's counters."""
    # A measurement that was tainted by a cache does not show other processes.
    if sample.cache_verdict == "cache":
        return False
    few = rules.busy_requests_per_s * _REQUEST_BYTES * sample.wall_ns / 1e9
    return bool(taint_reason(sample)) or (rules.busy_requests_per_s > 0 and foreign_bytes(sample) > few)


def max_foreign_bytes(rules: ThrottleRules) -> int:
    """Return the bytes of other processes that end a measurement; 0 (no limit) if their requests do not count."""
    return int(rules.busy_requests_per_s * _REQUEST_BYTES * _NOTICE_S)


def quiet_until(now: datetime, quiet_hours: QuietHours) -> datetime | None:
    """Return the end of the quiet time that includes `now`; None outside quiet hours.

    Join adjacent and overlapping periods. A period that ends before it begins crosses midnight, and one that ends when
    it begins is a whole day. Return at most a day ahead, even if the quiet time never ends.
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
    """Return the reason for a pause in a quiet time that lasts until `until`."""
    if until - now >= timedelta(days=1):
        return "quiet hours all day"
    return f"quiet hours until {until:%H:%M}"


def heat(temperatures: Sequence[Temperature], rules: ThrottleRules, *, was_hot: bool) -> str:
    """Return the reason for a pause for heat, or "": the hottest drive at its limit, or still within 5 °C of it."""
    over = [
        (temperature.celsius - limit, temperature.celsius, limit)
        for temperature, limit in _limits(temperatures, rules)
        if temperature.celsius >= limit or (was_hot and temperature.celsius > limit - _COOLER_CELSIUS)
    ]
    if not over:
        return ""
    _, celsius, limit = max(over)
    return f"drive at {celsius:.0f} °C, limit {limit:.0f} °C"


def _limits(temperatures: Sequence[Temperature], rules: ThrottleRules) -> Iterable[tuple[Temperature, float]]:
    for temperature in temperatures:
        limit = temperature.warning_celsius if rules.max_celsius is None else rules.max_celsius
        if limit is not None:
            yield temperature, limit
