"""The configuration: /etc/aio-tuned/aio-tuned.conf and its drop-ins -> Config. Unknown keys are errors."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.errors import ConfigError
from aio_tuned.model import DropCaches, Grid, RawWrite

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_PATH = Path("/etc/aio-tuned/aio-tuned.conf")

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# ASCII: \d knows the digits of all scripts, and IGNORECASE takes the Kelvin sign for a K. 15 digits are a petabyte.
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(s|m|h)?", re.ASCII)
_LARGEST_BYTES = (1 << 63) - 1
_LONGEST_S = 7 * 86400
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


def duration_s(value: object) -> float:
    """Seconds of 150, 2.5, "90s", "3m", "1h"; ValueError says what would be right."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(min(value, _LONGEST_S + 1))  # an int may be too large for a float
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        number = float(match[1]) * _SECONDS[match[2]]
    else:
        raise ValueError(f'{value!r} is not a time: write seconds, or "90s", "3m", "1h"')
    if not 0 < number <= _LONGEST_S:
        raise ValueError(f"{value!r} is not a usable time: it must be more than 0 and at most a week")
    return number


def _count(most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"{value!r} is not a whole number from 1 to {most}")
        return value

    return parse


def _block(value: object) -> int:
    number = size_bytes(value)
    if number % 512 or number > 64 << 20:
        raise ValueError(f"{value!r} is not a multiple of 512 bytes up to 64M")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")  # noqa: TRY004 - one error type for the caller
    return value


def _number(low: float, high: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{value!r} is not a number from {low:g} to {high:g}")
        return float(value)

    return parse


def _word(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
        return str(value)

    return parse


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    return Path(value)


def _values(parse_one: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def parse(value: object) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        parsed = tuple(dict.fromkeys(parse_one(item) for item in items))
        if not parsed:
            raise ValueError("the list is empty: give at least one value")
        return parsed

    return parse


def _key(section: str, parse: Callable[[object], Any], default: object) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"section": section, "parse": parse})


GRID_KEYS: Mapping[str, Callable[[object], tuple[Any, ...]]] = {
    "block_size": _values(_block),
    "queue_depth": _values(_count(4096)),
    "io_parallelism": _values(_count(64)),
    "overlap_events": _values(_flag),
    "single_submit": _values(_flag),
}
_DEFAULT_GRID = Grid(
    block_size=(128 << 10, 256 << 10, 512 << 10, 1 << 20),
    queue_depth=(4, 8, 16, 32, 64),
    io_parallelism=(1, 2, 4, 8),
    overlap_events=(True, False),
    single_submit=(True, False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting of the configuration file, parsed; etc/aio-tuned.conf documents each.

    Each field's metadata names its section in the file and the function that parses it (ValueError if it cannot).
    """

    grid: Grid = _DEFAULT_GRID

    transfer_bytes: int = _key("sweep", size_bytes, 256 << 20)
    span_bytes: int = _key("sweep", size_bytes, 1 << 30)
    drop_caches: DropCaches = _key("sweep", _word(*get_args(DropCaches)), "auto")
    time_budget: float = _key("sweep", duration_s, 150.0)
    write_budget: int = _key("sweep", size_bytes, 64 << 30)
    write_budget_percent: float = _key("sweep", _number(0.01, 100), 1.0)
    write_budget_floor: int = _key("sweep", size_bytes, 8 << 30)

    tolerance_percent: float = _key("choose", _number(0.1, 20), 1.0)
    read_weight: float = _key("choose", _number(0, 1), 0.5)

    raw_write: RawWrite = _key("safety", _word(*get_args(RawWrite)), "never")

    profiles: Path = _key("paths", _path, Path("/etc/aio-tuned"))
    state: Path = _key("paths", _path, Path("/var/lib/aio-tuned"))

    def write_budget_bytes(self, device_bytes: int) -> int:
        """Bytes that one sweep may write to a device of that size.

        One percent of a small drive would not pay for measuring every point once (300 points of 16 MiB are 5 GiB),
        hence the floor: 8 GiB are 3 % of one overwrite of a 250 GB drive, which is rated for hundreds.
        """
        share = int(device_bytes * self.write_budget_percent / 100)
        return min(self.write_budget, max(share, self.write_budget_floor))


def _sections() -> dict[str, dict[str, Callable[[object], Any]]]:
    """The parser of every key, by section and key."""
    known: dict[str, dict[str, Callable[[object], Any]]] = {}
    for item in fields(Config):
        if "section" in item.metadata:
            known.setdefault(item.metadata["section"], {})[item.name] = item.metadata["parse"]
    return known


def _parse_section(table: Mapping[str, object], parsers: Mapping[str, Callable[[object], Any]]) -> dict[str, Any]:
    """The parsed values of one section's keys; ValueError names the key."""
    parsed = {}
    for key, value in table.items():
        if key not in parsers:
            raise ValueError(f"unknown key {key!r}: the keys are {', '.join(parsers)}")
        try:
            parsed[key] = parsers[key](value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return parsed


def lay_grid(table: Mapping[str, object], base: Grid) -> Grid:
    """The grid with the parameters that `table` names replaced; ValueError names the key."""
    return replace(base, **_parse_section(table, GRID_KEYS))


def parse(text: str, origin: str, base: Config | None = None) -> Config:
    """The configuration of one file's text laid over `base`; ConfigError names the origin, the key and the mend."""
    config = base or Config()
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits and 1,000 brackets are no TOMLDecodeError
        raise ConfigError(f"{origin}: not valid TOML: {error}") from None
    known = _sections()
    changes: dict[str, Any] = {}
    for section, table in document.items():
        if section not in ("grid", *known) or not isinstance(table, dict):
            raise ConfigError(f"{origin}: unknown section [{section}]: the sections are grid, {', '.join(known)}")
        try:
            if section == "grid":
                changes["grid"] = lay_grid(table, config.grid)
            else:
                changes |= _parse_section(table, known[section])
        except ValueError as error:
            raise ConfigError(f"{origin}: [{section}] {error}") from None
    return replace(config, **changes)


def sources(path: Path) -> tuple[Path, ...]:
    """The files that make up the configuration at `path`, in the order in which they are laid over each other."""
    # Editors leave hidden files and links there.
    drop_ins = sorted(found for found in Path(f"{path}.d").glob("*.conf") if not found.name.startswith("."))
    return (*((path,) if path.exists() else ()), *drop_ins)


def load(path: Path = DEFAULT_PATH, *, must_exist: bool = False) -> Config:
    """The configuration at `path` with its drop-ins (`path`.d/*.conf, in name order); defaults where there is none."""
    try:
        if must_exist and not path.exists():
            raise ConfigError(f"{path}: no such file")
        found = sources(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    config = Config()
    for source in found:
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: cannot be read: {error}") from None
        config = parse(text, str(source), config)
    return config


def describe(config: Config) -> str:
    """The configuration as it takes effect, one `section.key = value` a line."""
    lines = [
        f"grid.{item.name} = {', '.join(str(value).lower() for value in getattr(config.grid, item.name))}"
        for item in fields(config.grid)
    ]
    lines += [
        f"{item.metadata['section']}.{item.name} = {getattr(config, item.name)}"
        for item in fields(config)
        if "section" in item.metadata
    ]
    return "\n".join(lines)
