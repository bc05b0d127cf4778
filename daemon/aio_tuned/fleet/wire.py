"""JSON that other hosts wrote: each value is checked before it is used, and errors name the object and the field."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from aio_tuned.config import parsing
from aio_tuned.config.parsing import SETTING_KEYS, flag
from aio_tuned.errors import FleetDataError
from aio_tuned.model.setting import Grid, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA = 1
# The largest figures that other hosts may give. MOST_BYTES is that of bytes per second, too.
MOST_BYTES = 1 << 50
MOST_LATENCY_US = 1e12
MOST_POINTS = 1 << 14
MOST_GENERATIONS = 1 << 31
MOST_DRIVES = 1 << 24
# Until the year 4147; clocks that are apart are the receiver's to judge.
LAST_S = 1 << 36
# Names are parts of keys and of file names: a node's and a rack's are as in [fleet], a drive's as devices.names has it.
host, domain = parsing.host, parsing.host_or_none
_CLASS = re.compile(r"[0-9a-f]{16}", re.ASCII)
_LONGEST_DRIVE_BYTES = 200
_NOT_IN_NAMES = frozenset('/"\\')
# A list that is longer than this is not one of a setting's parameters.
_MOST_VALUES = 64
_LONGEST_SHOWN = 80
_MOST_SHARED = 64

_T = TypeVar("_T")


def dump(document: Mapping[str, object]) -> str:
    """Return the one text of a document: without spaces, in the order of its keys, so that it can be signed."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def load(text: str | bytes, what: str, limit_bytes: int) -> dict[str, Any]:
    """Return the JSON object in a text of this schema; raise FleetDataError if it is too large, or is none."""
    if len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")) > limit_bytes:
        raise FleetDataError(f"{what}: larger than {limit_bytes} bytes; it is ignored")
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise FleetDataError(f"{what}: not valid JSON: {error}"[:200]) from None
    if not isinstance(document, dict):
        raise FleetDataError(f"{what}: not an object; it is ignored")
    schema = document.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise FleetDataError(
            f"{what}: schema {repr(schema)[:_LONGEST_SHOWN]} is not supported (only {SCHEMA}); update aio-tuned"
        )
    return document


def fields(document: Mapping[str, object], what: str) -> Callable[[str, Callable[[object], Any]], Any]:
    """Return a function that returns the value of a key, as a parser has it.

    It raises FleetDataError if the value is missing, or if the parser raises ValueError.
    """

    def get(key: str, parse: Callable[[object], Any]) -> Any:  # noqa: ANN401 - the type of the parser
        if key not in document:
            raise FleetDataError(f"{what}: {key} is missing; it is ignored")
        try:
            return parse(document[key])
        except ValueError as error:
            raise FleetDataError(f"{what}: {key}: {error}"[:300]) from None

    return get


def part(row: Mapping[str, object], key: str, parse: Callable[[object], _T]) -> _T:
    """Return a parsed value of an inner object; raise ValueError, which names the key, if it is missing or wrong."""
    if key not in row:
        raise ValueError(f"{key} is missing")
    try:
        return parse(row[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def items(value: object, count: int) -> list[Any]:
    """Return a list of so many values; raise ValueError for any other value."""
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"not a list of {count} values")
    return value


def optional(parse: Callable[[object], _T]) -> Callable[[object], _T | None]:
    """Return a parser that takes null for None."""
    return lambda value: None if value is None else parse(value)


def rows(parse: Callable[[object], _T], most: int) -> Callable[[object], tuple[_T, ...]]:
    """Return a parser of a list of at most so many values."""

    def parse_rows(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"not a list of at most {most} values")
        return tuple(parse(each) for each in value)

    return parse_rows


def table(value: object) -> dict[str, Any]:
    """Return a JSON object; raise ValueError for any other value."""
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error type for the caller
    return value


def class_key(value: object) -> str:
    """Return the key of a hardware class: 16 hexadecimal digits."""
    if not isinstance(value, str) or not _CLASS.fullmatch(value):
        raise ValueError(f"{repr(value)[:_LONGEST_SHOWN]} is not the key of a hardware class")
    return value


def drive(value: object) -> str:
    """Return the name of a drive: a safe file name of at most 200 bytes, which JSON has as it is."""
    if (
        not isinstance(value, str)
        or value[:1] in ("", ".")
        or not value.isprintable()
        or not _NOT_IN_NAMES.isdisjoint(value)
        or len(value.encode()) > _LONGEST_DRIVE_BYTES
    ):
        raise ValueError(f"{repr(value)[:_LONGEST_SHOWN]} is not the name of a drive")
    return value


def text(most: int) -> Callable[[object], str]:
    """Return a parser of printable text of at most so many characters, which may be empty."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            raise ValueError(f"{repr(value)[:_LONGEST_SHOWN]} is not a text of at most {most} printable characters")
        return value

    return parse


def setting_row(setting: Setting) -> list[int]:
    """Return the five parameters as numbers."""
    return [int(getattr(setting, key)) for key in SETTING_KEYS]


def _parameter(key: str, value: object) -> int | bool:
    if SETTING_KEYS[key] is flag:
        if type(value) is not int or value not in (0, 1):
            raise ValueError(f"{key}: {repr(value)[:_LONGEST_SHOWN]} is not 0 or 1")
        return bool(value)
    if type(value) is not int:
        raise ValueError(f"{key}: {repr(value)[:_LONGEST_SHOWN]} is not a whole number")
    try:
        parsed: int = SETTING_KEYS[key](value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    return parsed


def setting(value: object) -> Setting:
    """Return the setting in a row; raise ValueError if a parameter is outside the limits of the helper."""
    if not isinstance(value, list) or len(value) != len(SETTING_KEYS):
        raise ValueError("not a setting of five parameters")
    found: dict[str, Any] = {key: _parameter(key, each) for key, each in zip(SETTING_KEYS, value, strict=True)}
    return Setting(**found)


def grid_rows(grid: Grid) -> list[list[int]]:
    """Return the values of each parameter as numbers."""
    return [[int(each) for each in getattr(grid, key)] for key in SETTING_KEYS]


def grid(value: object) -> Grid:
    """Return the grid in five rows; raise ValueError if a value is out of its limits, or occurs twice."""
    if not isinstance(value, list) or len(value) != len(SETTING_KEYS):
        raise ValueError("not a grid of five parameters")
    found: dict[str, Any] = {}
    for key, row in zip(SETTING_KEYS, value, strict=True):
        if not isinstance(row, list) or not 1 <= len(row) <= _MOST_VALUES:
            raise ValueError(f"{key}: not a list of 1 to {_MOST_VALUES} values")
        values = tuple(_parameter(key, each) for each in row)
        if len(set(values)) < len(values):
            raise ValueError(f"{key}: has a value twice")
        found[key] = values
    points = math.prod(map(len, found.values()))
    if points > MOST_POINTS:
        raise ValueError(f"has {points} points, more than {MOST_POINTS}")
    return _shared(Grid(**found))


@lru_cache(maxsize=_MOST_SHARED)
def _shared(grid: Grid) -> Grid:
    """Return the first grid that is equal to this one: all reports of a class have the same."""
    return grid
