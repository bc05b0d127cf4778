"""When a sweep must give way to others, and why. Pure: facts in, a sentence out, "" where nothing is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from aio_tuned import formatting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.temperature import Temperature

QuietHours = tuple[tuple["time", "time"], ...]

# A drive that was too hot goes on once it is this much cooler: else each visit would heat it up to its limit again.
_COOLER_CELSIUS = 5.0

# The least share of the busy threshold that others must move on the drive for the host's I/O pressure to count.
_PRESSED_SHARE = 1 / 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleRules:
    """What of the configuration's [throttle] bears on when a sweep pauses; `max_celsius` None is the drive's own."""

    busy_bytes_per_s: int
    busy_pressure_percent: float
    min_pause_s: float
    max_hold_s: float
    quiet_hours: QuietHours
    max_celsius: float | None

    @classmethod
    def from_config(cls, config: Config) -> ThrottleRules:
        """Take the rules from the configuration."""
        return cls(
            busy_bytes_per_s=config.busy_bytes_per_s,
            busy_pressure_percent=config.busy_pressure_percent,
            min_pause_s=config.min_pause,
            max_hold_s=config.max_hold,
            quiet_hours=config.quiet_hours,
            max_celsius=config.max_celsius,
        )


def busy(foreign_bytes: int | None, pressure_us: int | None, seconds: float, rules: ThrottleRules) -> str:
    """Why others need the drive, if over `seconds` they moved so much on it and waited so long for I/O.

    `pressure_us` is the whole host's: it cannot tell which drive was waited for. A disk elsewhere that is busy for days
    must not hold up this drive for days, so pressure counts only where others use this drive too: slow requests one by
    one move few bytes, and somebody may be waiting for each. None is a fact that is not known; it holds up nothing.
    """
    if foreign_bytes is None or seconds <= 0:
        return ""
    bytes_per_s = foreign_bytes / seconds
    moving = f"others move {formatting.throughput(bytes_per_s)} on the drive"
    if bytes_per_s > rules.busy_bytes_per_s:
        return moving
    percent = (pressure_us or 0) / (seconds * 1e4)
    if percent > rules.busy_pressure_percent and bytes_per_s > rules.busy_bytes_per_s * _PRESSED_SHARE:
        return f"{moving} and wait for I/O {min(percent, 100):.0f} % of the time"
    return ""


def quiet_until(now: datetime, quiet_hours: QuietHours) -> datetime | None:
    """The end of the quiet time that `now` is in, over periods that meet or overlap; None outside of all of them.

    A period that ends before it begins crosses midnight; one that ends when it begins is a whole day. The answer is at
    most a day ahead: where the quiet never ends, that says "ask again tomorrow".
    """
    latest = now + timedelta(days=1)
    until = now
    while until < latest and (ends := [end for period in quiet_hours if (end := _end(until, period))]):
        until = max(ends)
    return min(until, latest) if until > now else None


def _end(moment: datetime, period: tuple[time, time]) -> datetime | None:
    """When the period that holds `moment` ends; None if it does not hold it."""
    first, last = period
    clock = moment.time()
    inside = first <= clock < last if first < last else clock >= first or clock < last
    if not inside:
        return None
    end = datetime.combine(moment.date(), last, tzinfo=moment.tzinfo)
    return end if end > moment else end + timedelta(days=1)


def quiet(now: datetime, until: datetime) -> str:
    """The reason of a quiet time that lasts until then."""
    if until - now >= timedelta(days=1):
        return "quiet hours all day"
    return f"quiet hours until {until:%H:%M}"


def heat(temperatures: Sequence[Temperature], rules: ThrottleRules, *, was_hot: bool) -> str:
    """Why the drives must cool down first: the limit is reached, or was and is not yet well behind."""
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
