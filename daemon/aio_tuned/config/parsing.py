"""Parsers for the values of the configuration and the command line, one for each kind."""

from __future__ import annotations

import json
import re
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# ASCII, since \d matches the digits of all scripts, and IGNORECASE the Kelvin sign as a K. 15 digits are a petabyte.
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_DAY_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(s|m|h)?", re.ASCII)
_LARGEST_BYTES = (1 << 63) - 1
_LONGEST_S = 7 * 86400
_LONGEST_MOMENT_S = 60
# The daemon rewrites files that must not become stale once a minute.
_SHORTEST_INTERVAL_S = 300.0
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the known word that is most similar to it; "" if none is."""
    import difflib  # needed only for a wrong word

    # Without dashes, which make all options similar.
    bare = {each.lstrip("-"): each for each in known}
    near = difflib.get_close_matches(word.lstrip("-"), bare, n=1)
    return f"; did you mean {bare[near[0]]!r}?" if near else ""


def _shown(value: object) -> str:
    """Return a value as TOML has it; other hosts give values, too, which must not reach a terminal as they are."""
    try:
        return printable(json.dumps(value, ensure_ascii=False))
    except TypeError:  # a date, or a list that has one
        return printable(str(value))


def size_bytes(value: object) -> int:
    """Return the bytes of 4096, "128K" or "1.5GiB", in binary units; raise ValueError, which gives the format."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        number = int(float(match[1]) * _UNITS[match[2].upper()])
    else:
        raise ValueError(f'{_shown(value)} is not a size; give bytes, or "128K", "1M", "64G"')
    if not 0 < number <= _LARGEST_BYTES:
        raise ValueError(f"{_shown(value)} is not a usable size; give more than 0 and less than 2^63 bytes")
    return number


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(max(-1, min(value, _LONGEST_S + 1)))  # an int may be too large for a float
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    raise ValueError(f'{_shown(value)} is not a time; give seconds, or "90s", "3m", "1h"')


def duration_s(value: object) -> float:
    """Return the seconds of 150, 2.5, "90s", "3m", "1h"; raise ValueError, which gives the format."""
    number = _seconds(value)
    if not 0 < number <= _LONGEST_S:
        raise ValueError(f"{_shown(value)} is not a usable time; give more than 0 and at most a week")
    return number


def duration_or_never(value: object) -> float | None:
    """Return seconds as duration_s() does; None for "never"."""
    if value == "never":
        return None
    try:
        return duration_s(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "never"') from None


def moment_s(value: object) -> float:
    """Return seconds as duration_s() does, but from 0 to 60."""
    number = _seconds(value)
    if not 0 <= number <= _LONGEST_MOMENT_S:
        raise ValueError(f"{_shown(value)} is not a usable time; give 0 to {_LONGEST_MOMENT_S} seconds")
    return number


def day_spans(value: object) -> tuple[tuple[time, time], ...]:
    """Return spans of the day, as in ["22:00-06:00"]; raise ValueError, which gives the format.

    A span begins with its first minute and ends before its second, after midnight if that is earlier.
    """
    if not isinstance(value, list):
        raise ValueError(f'{_shown(value)} is not a list of hours; write ["22:00-06:00"], or [] for none')  # noqa: TRY004 - one error type for the caller
    return tuple(dict.fromkeys(_day_span(item) for item in value))


def _day_span(value: object) -> tuple[time, time]:
    match = _DAY_SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f'{_shown(value)} is not a span of hours; write "22:00-06:00", each from 00:00 to 23:59')
    start, end = (time(int(hour), int(minute)) for hour, minute in (match.group(1, 2), match.group(3, 4)))
    if start == end:
        raise ValueError(f"{_shown(value)} is not a span of hours; its end must differ from its start")
    return start, end


def celsius(value: object) -> float | None:
    """Return a temperature in degrees Celsius; None for "drive", the threshold that the drive itself reports."""
    if value == "drive":
        return None
    try:
        return number(30, 120)(value)
    except ValueError as error:
        raise ValueError(f'{error}; write "drive" for the drive\'s own threshold') from None


def whole(low: int, high: int) -> Callable[[object], int]:
    """Return a parser of whole numbers from `low` to `high`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{_shown(value)} is not a whole number from {low} to {high}")
        return value

    return parse


def whole_numbers(low: int, high: int) -> Callable[[object], tuple[int, ...]]:
    """Return a parser of a list of whole numbers from `low` to `high`, which may be empty; it sorts them."""
    parse_one = whole(low, high)

    def parse(value: object) -> tuple[int, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{_shown(value)} is not a list of numbers; write [1, 2, 4], or [] for none")  # noqa: TRY004 - one error type for the caller
        return tuple(sorted({parse_one(item) for item in value}))

    return parse


def block_size(value: object) -> int:
    """Return the bytes of one request: a multiple of 512 up to 64M."""
    number = size_bytes(value)
    if number % 512 or number > 64 << 20:
        raise ValueError(f"{_shown(value)} is not a multiple of 512 bytes up to 64M")
    return number


def flag(value: object) -> bool:
    """Return a boolean of TOML; raise ValueError for any other type."""
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not true or false")  # noqa: TRY004 - one error type for the caller
    return value


def number(low: float, high: float) -> Callable[[object], float]:
    """Return a parser of numbers from `low` to `high`."""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{_shown(value)} is not a number from {low:g} to {high:g}")
        return float(value)

    return parse


def word(*allowed: str) -> Callable[[object], str]:
    """Return a parser of one of these words."""

    def parse(value: object) -> str:
        if value not in allowed:
            near = did_you_mean(value, allowed) if isinstance(value, str) else ""
            raise ValueError(f"{_shown(value)} is not one of {', '.join(allowed)}{near}")
        return str(value)

    return parse


def pattern(value: object) -> str:
    """Return a glob: any text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{_shown(value)} is not a pattern; write text in which *, ? and [...] match anything")
    return value


def text(value: object) -> str:
    """Return text that is not empty and has no control characters."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{_shown(value)} is not a text; write it between quotes")
    return value


def absolute_path(value: object) -> Path:
    """Return an absolute path; raise ValueError if it is relative or contains a NUL."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(f"{_shown(value)} is not an absolute path")
    return Path(value)


def paths(example: str, parse_one: Callable[[object], Path] = absolute_path) -> Callable[[object], tuple[Path, ...]]:
    """Return a parser of a list of absolute paths, which may be empty; duplicates count once."""

    def parse(value: object) -> tuple[Path, ...]:
        if not isinstance(value, list):
            raise ValueError(f'{_shown(value)} is not a list of paths; write ["{example}"], or [] for none')  # noqa: TRY004 - one error type for the caller
        return tuple(dict.fromkeys(parse_one(item) for item in value))

    return parse


def path_or_none(value: object) -> Path | None:
    """Return an absolute path; None for ""."""
    if value == "":
        return None
    try:
        return absolute_path(value)
    except ValueError as error:
        raise ValueError(f'{error}; write "" for none') from None


def name_or_path(value: object) -> Path | None:
    """Return the name of a file, as a path without folder, or an absolute path; None for ""."""
    if isinstance(value, str) and value not in ("", ".", "..") and not {"/", "\0"} & {*value}:
        return Path(value)
    try:
        return path_or_none(value)
    except ValueError:
        raise ValueError(f'{_shown(value)} is neither a file name nor an absolute path; write "" for none') from None


def minutes_s(value: object) -> float:
    """Return seconds as duration_s() does, but at least five minutes: for intervals of periodic work."""
    number = duration_s(value)
    if number < _SHORTEST_INTERVAL_S:
        raise ValueError(f"{_shown(value)} is too short; give at least {_SHORTEST_INTERVAL_S // 60:.0f} minutes")
    return number


def several(parse_one: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    """Return a parser of a list of values that `parse_one` parses, or of a single one; duplicates count once."""

    def parse(value: object) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        parsed = tuple(dict.fromkeys(parse_one(item) for item in items))
        if not parsed:
            raise ValueError("the list is empty; give at least one value")
        return parsed

    return parse


def table(given: Mapping[str, object], parsers: Mapping[str, Callable[[object], Any]]) -> dict[str, Any]:
    """Return the parsed values of one table's keys; raise ValueError, which names the key that is unknown or wrong."""
    parsed = {}
    for key, value in given.items():
        if key not in parsers:
            near = did_you_mean(key, parsers) or f"; the keys are {', '.join(parsers)}"
            raise ValueError(f"unknown key {key!r}{near}")
        try:
            parsed[key] = parsers[key](value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return parsed


def tables(given: object, section: str, parse_one: Callable[[Mapping[str, object]], Any]) -> tuple[Any, ...]:
    """Return the parsed tables of a list that the file has as [[section]]; raise ValueError, which counts them."""
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ValueError(f"each rule is a table; write [[{section}]], with two brackets")
    parsed = []
    for place, item in enumerate(given, start=1):
        try:
            parsed.append(parse_one(item))
        except ValueError as error:
            raise ValueError(f"rule {place}: {error}") from None
    return tuple(parsed)


# The parser of one value for each of the five parameters.
SETTING_KEYS: Mapping[str, Callable[[object], Any]] = {
    "block_size": block_size,
    "queue_depth": whole(1, 4096),
    "io_parallelism": whole(1, 64),
    "overlap_events": flag,
    "single_submit": flag,
}


_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)


def host(value: object) -> str:
    """Return a name of letters, digits, dots, dashes and underscores, at most 64."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a name of at most 64 letters, digits, dots and dashes")
    return value


def host_or_none(value: object) -> str:
    """Return such a name; "" stays ""."""
    return "" if value == "" else host(value)
