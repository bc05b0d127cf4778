"""The configuration in effect as a document, and as TOML with the units that people write."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.config import parsing
from aio_tuned.config.device_rules import PATTERN_KEYS, MatchRule
from aio_tuned.config.load import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.config.load import Config

_SIZES = (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10))
# size_bytes() takes at most 15 digits before a unit.
_MOST_BYTES = 10**15
_TIMES = (("h", 3600), ("m", 60), ("s", 1))


def _size(count: int) -> object:
    """Return bytes with the largest unit that divides them: "128K"; else the number."""
    if count > _MOST_BYTES:
        return count
    return next((f"{count // factor}{unit}" for unit, factor in _SIZES if count % factor == 0), count)


def _time(seconds: float) -> object:
    """Return seconds with the largest unit that divides them: "90s", "2m"; else the number."""
    if not seconds:
        return "0s"
    return next((f"{seconds / factor:.0f}{unit}" for unit, factor in _TIMES if seconds % factor == 0), seconds)


_UNITS: dict[object, Callable[[Any], object]] = {
    parsing.size_bytes: _size,
    parsing.duration_s: _time,
    parsing.duration_or_never: _time,
    parsing.moment_s: _time,
    parsing.minutes_s: _time,
}


def _plain(value: object, none: str) -> object:
    """Return a value as the file has it, in bytes and seconds; `none` stands for None."""
    if value is None:
        return none
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, tuple):
        return [f"{item[0]:%H:%M}-{item[1]:%H:%M}" if isinstance(item, tuple) else _plain(item, none) for item in value]
    return value


def _rule(rule: MatchRule) -> dict[str, object]:
    return {**{key: text for key in PATTERN_KEYS if (text := getattr(rule, key))}, "tune": rule.tune}


def to_document(config: Config) -> dict[str, Any]:
    """Return every key by section, with values that the file takes; sizes are in bytes, times in seconds."""
    found: dict[str, Any] = {
        "grid": {item.name: list(getattr(config.grid, item.name)) for item in fields(config.grid)},
        "match": [_rule(rule) for rule in config.match],
        "export": [rule.to_table() for rule in config.export],
    }
    for item in fields(config):
        if "section" in item.metadata:
            section = found.setdefault(item.metadata["section"], {})
            section[key_of(item)] = _plain(getattr(config, item.name), item.metadata["none"])
    return found


def _toml(value: object) -> str:
    # TOML has the escapes of JSON, but allows no bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(head: str, table: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield head
    yield from (f"{key} = {_toml(value)}" for key, value in table.items())


def render(config: Config) -> str:
    """Return the configuration as TOML that reads back to the same configuration."""
    document = to_document(config)
    document["grid"]["block_size"] = [_size(count) for count in config.grid.block_size]
    document["curves"]["sizes"] = [_size(count) for count in config.curve_sizes]
    for item in fields(config):
        if (written := _UNITS.get(item.metadata.get("parse"))) and getattr(config, item.name) is not None:
            document[item.metadata["section"]][key_of(item)] = written(getattr(config, item.name))
    lines: list[str] = []
    for section, table in document.items():
        if isinstance(table, list):
            for rule in table:
                lines += _table(f"[[{section}]]", rule)
        else:
            lines += _table(f"[{section}]", table)
    return "\n".join(lines[1:]) + "\n"
