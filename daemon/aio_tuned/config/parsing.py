"""Values as people write them: a parser for each kind. Pure; ValueError says what would be right."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# ASCII: \d knows the digits of all scripts, and IGNORECASE takes the Kelvin sign for a K. 15 digits are a petabyte.
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_DAY_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(s|m|h)?", re.ASCII)
_LARGEST_BYTES = (1 << 63) - 1
_LONGEST_S = 7 * 86400
_LONGEST_MOMENT_S = 60
# The daemon looks after what must not grow old once a minute.
_SHORTEST_INTERVAL_S = 300.0
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def size_bytes(value: object) -> int:
    """Bytes of 4096, "128K", "1.5GiB" (binary units); ValueError says what would be right."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        number = int(float(match[1]) * _UNITS[match[2].upper()])
    else:
        raise ValueError(f'{value!r} is not a size: write bytes, or "128K", "1M", "64G"')
    if not 0 < number <= _LARGEST_BYTES:
        raise ValueError(f"{value!r} is not a size: it must be more than 0 and less than 2^63 bytes")
    return number


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(max(-1, min(value, _LONGEST_S + 1)))  # an int may be too large for a float
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    raise ValueError(f'{value!r} is not a time: write seconds, or "90s", "3m", "1h"')


def duration_s(value: object) -> float:
    """Seconds of 150, 2.5, "90s", "3m", "1h"; ValueError says what would be right."""
    number = _seconds(value)
    if not 0 < number <= _LONGEST_S:
        raise ValueError(f"{value!r} is not a usable time: it must be more than 0 and at most a week")
    return number


def moment_s(value: object) -> float:
    """Seconds as of duration_s(), but up to a minute, and 0 is fine."""
    number = _seconds(value)
    if not 0 <= number <= _LONGEST_MOMENT_S:
        raise ValueError(f"{value!r} is not a usable time: it must be from 0 to {_LONGEST_MOMENT_S} seconds")
    return number


def day_spans(value: object) -> tuple[tuple[time, time], ...]:
    """Spans of the day, ["22:00-06:00", ...]: from the first minute until before the second, over midnight at need."""
    if not isinstance(value, list):
        raise ValueError(f'{value!r} is not a list of hours: write ["22:00-06:00"], or [] for none')  # noqa: TRY004 - one error type for the caller
    return tuple(dict.fromkeys(_day_span(item) for item in value))


def _day_span(value: object) -> tuple[time, time]:
    match = _DAY_SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f'{value!r} is not a span of hours: write "22:00-06:00", each from 00:00 to 23:59')
    start, end = (time(int(hour), int(minute)) for hour, minute in (match.group(1, 2), match.group(3, 4)))
    if start == end:
        raise ValueError(f"{value!r} is not a span of hours: it ends when it begins")
    return start, end


def celsius(value: object) -> float | None:
    """A temperature; None for "drive", the threshold that the drive itself reports."""
    if value == "drive":
        return None
    try:
        return number(30, 120)(value)
    except ValueError as error:
        raise ValueError(f'{error}, nor "drive"') from None


def whole(low: int, high: int) -> Callable[[object], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{value!r} is not a whole number from {low} to {high}")
        return value

    return parse


def block_size(value: object) -> int:
    """The size of one request: a multiple of 512 bytes up to 64M."""
    number = size_bytes(value)
    if number % 512 or number > 64 << 20:
        raise ValueError(f"{value!r} is not a multiple of 512 bytes up to 64M")
    return number


def flag(value: object) -> bool:
    """True or false, as TOML has them."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")  # noqa: TRY004 - one error type for the caller
    return value


def number(low: float, high: float) -> Callable[[object], float]:
    """A parser of numbers from `low` to `high`."""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{value!r} is not a number from {low:g} to {high:g}")
        return float(value)

    return parse


def word(*allowed: str) -> Callable[[object], str]:
    """A parser of one of these words."""

    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
        return str(value)

    return parse


def pattern(value: object) -> str:
    """A glob: any text but none at all."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a pattern: write text with *, ? and [...] for what varies")
    return value


def absolute_path(value: object) -> Path:
    """An absolute path."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(f"{value!r} is not an absolute path")
    return Path(value)


def path_or_none(value: object) -> Path | None:
    """An absolute path; None for ""."""
    if value == "":
        return None
    try:
        return absolute_path(value)
    except ValueError as error:
        raise ValueError(f'{error}, nor "" for none') from None


def name_or_path(value: object) -> Path | None:
    """The name of a file, as a path without folder, or an absolute path; None for ""."""
    if isinstance(value, str) and value not in ("", ".", "..") and not {"/", "\0"} & {*value}:
        return Path(value)
    try:
        return path_or_none(value)
    except ValueError as error:
        raise ValueError(f"{error}, nor the name of a file") from None


def minutes_s(value: object) -> float:
    """Seconds as of duration_s(), from five minutes on: for what is done now and then."""
    number = duration_s(value)
    if number < _SHORTEST_INTERVAL_S:
        raise ValueError(f"{value!r} is too short: it must be at least {_SHORTEST_INTERVAL_S // 60:.0f} minutes")
    return number


def several(parse_one: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    """A parser of a list of values that `parse_one` parses, or of a single one; duplicates count once."""

    def parse(value: object) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        parsed = tuple(dict.fromkeys(parse_one(item) for item in items))
        if not parsed:
            raise ValueError("the list is empty: give at least one value")
        return parsed

    return parse


def table(given: Mapping[str, object], parsers: Mapping[str, Callable[[object], Any]]) -> dict[str, Any]:
    """The parsed values of one table's keys; ValueError names the key that is unknown or wrong."""
    parsed = {}
    for key, value in given.items():
        if key not in parsers:
            raise ValueError(f"unknown key {key!r}: the keys are {', '.join(parsers)}")
        try:
            parsed[key] = parsers[key](value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return parsed


# One value each of the five parameters.
SETTING_KEYS: Mapping[str, Callable[[object], Any]] = {
    "block_size": block_size,
    "queue_depth": whole(1, 4096),
    "io_parallelism": whole(1, 64),
    "overlap_events": flag,
    "single_submit": flag,
}
