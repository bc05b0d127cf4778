"""The configuration of /etc/aio-tuned/aio-tuned.conf and its drop-ins, with its defaults."""

from __future__ import annotations

import sys
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from aio_tuned import trust
from aio_tuned.config import export_rules, fleet_section
from aio_tuned.config.device_rules import PATTERN_KEYS, MatchRule
from aio_tuned.config.parsing import (
    SETTING_KEYS,
    absolute_path,
    block_size,
    celsius,
    day_spans,
    did_you_mean,
    duration_or_never,
    duration_s,
    flag,
    host_or_none,
    minutes_s,
    moment_s,
    name_or_path,
    number,
    path_or_none,
    paths,
    pattern,
    several,
    size_bytes,
    table,
    tables,
    whole,
    whole_numbers,
    word,
)
from aio_tuned.errors import ConfigError
from aio_tuned.model.measurement import BufferPages, DropCaches, Engine
from aio_tuned.model.profile import Effort
from aio_tuned.model.setting import Grid
from aio_tuned.model.target import Btrfs, RawWrite

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import time

Siblings = Literal["check", "full"]
KernelChange = Literal["minor", "exact", "never"]
FleetStore = Literal["etcd", "kubernetes"]

DEFAULT_PATH = Path("/etc/aio-tuned/aio-tuned.conf")


def _key(section: str, parse: Callable[[object], Any], default: object, none: str = "", key: str = "") -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"section": section, "parse": parse, "none": none, "key": key})


def key_of(item: Field[Any]) -> str:
    """Return the key in the file of a field of Config that has a section."""
    return item.metadata["key"] or item.name


GRID_KEYS: Mapping[str, Callable[[object], tuple[Any, ...]]] = {
    key: several(parse_config) for key, parse_config in SETTING_KEYS.items()
}
_RULE_KEYS: Mapping[str, Callable[[object], Any]] = {**dict.fromkeys(PATTERN_KEYS, pattern), "tune": flag}
# Former names are refused with the new one, because a key that is ignored has no effect and gives no warning.
_RENAMED_SECTIONS = {"manners": "throttle"}
_RENAMED_KEYS = {
    "least_pause": "min_pause",
    "most_hold": "max_hold",
    "most_celsius": "max_celsius",
    "retry_first": "min_retry",
    "retry_most": "max_retry",
}
_IO_PRIORITIES = ("none", *(f"best-effort:{level}" for level in range(8)), "idle")
# Pages of a key-value cache have 4 to 256 KiB, chunks of it 1 to 16 MiB, and experts and layers more.
_CURVE_SIZES = tuple(number << 10 for number in (4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384))
# The helper's limit for its key `groups`.
MOST_PROCESSES = 16
_DEFAULT_GRID = Grid(
    block_size=(128 << 10, 256 << 10, 512 << 10, 1 << 20),
    queue_depth=(4, 8, 16, 32, 64),
    io_parallelism=(1, 2, 4, 8),
    overlap_events=(True, False),
    single_submit=(True, False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every key of the configuration file, parsed; etc/aio-tuned.conf documents each.

    Each field's metadata has its section in the file, the function that parses it (which raises ValueError), the word
    that the file has for None, and its key in the file if that is not the field's name.
    """

    grid: Grid = _DEFAULT_GRID
    match: tuple[MatchRule, ...] = ()
    export: tuple[export_rules.ExportRule, ...] = ()

    transfer_bytes: int = _key("sweep", size_bytes, 256 << 20)
    span_bytes: int = _key("sweep", size_bytes, 1 << 30)
    buffer: BufferPages = _key("sweep", word(*get_args(BufferPages)), "consumer")
    drop_caches: DropCaches = _key("sweep", word(*get_args(DropCaches)), "auto")
    btrfs: Btrfs = _key("sweep", word(*get_args(Btrfs)), "folder")
    effort: Effort = _key("sweep", word(*get_args(Effort)), "default")
    time_budget: float = _key("sweep", duration_s, 150.0)
    write_budget: int = _key("sweep", size_bytes, 64 << 30)
    write_budget_percent: float = _key("sweep", number(0.01, 100), 1.0)
    write_budget_floor: int = _key("sweep", size_bytes, 25 << 30)
    processes: tuple[int, ...] = _key("sweep", whole_numbers(1, MOST_PROCESSES), (1, 2, 4, 8))

    curves: bool = _key("curves", flag, True, key="enabled")
    curve_engines: tuple[Engine, ...] = _key(
        "curves", several(word(*get_args(Engine))), ("psync", "io_uring"), key="engines"
    )
    curve_sizes: tuple[int, ...] = _key("curves", several(block_size), _CURVE_SIZES, key="sizes")

    tolerance_percent: float = _key("choose", number(0.1, 20), 2.0)
    read_weight: float = _key("choose", number(0, 1), 0.5)

    raw_write: RawWrite = _key("safety", word(*get_args(RawWrite)), "never")
    thin_writes: tuple[Path, ...] = _key("safety", paths("/dev/mapper/NAME"), ())
    min_free: int = _key("safety", size_bytes, 10 << 30)

    settle: float = _key("daemon", moment_s, 2.0)
    siblings: Siblings = _key("daemon", word(*get_args(Siblings)), "check")
    kernel_change: KernelChange = _key("daemon", word(*get_args(KernelChange)), "minor")
    min_retry: float = _key("daemon", duration_s, 60.0)
    max_retry: float = _key("daemon", duration_s, 6 * 3600.0)

    busy_bytes_per_s: int = _key("throttle", size_bytes, 16 << 20)
    busy_requests_per_s: int = _key("throttle", whole(0, 1_000_000), 20)
    busy_pressure_percent: float = _key("throttle", number(0, 100), 10.0)
    min_pause: float = _key("throttle", duration_s, 10.0)
    max_hold: float = _key("throttle", duration_s, 60.0)
    patience: float | None = _key("throttle", duration_or_never, 86400.0, none="never")
    quiet_hours: tuple[tuple[time, time], ...] = _key("throttle", day_spans, ())
    nice: int = _key("throttle", whole(0, 19), 10)
    io_priority: str = _key("throttle", word(*_IO_PRIORITIES), "best-effort:7")
    max_celsius: float | None = _key("throttle", celsius, None, none="drive")
    write_budget_per_day: int = _key("throttle", size_bytes, 128 << 30)

    metrics: Path | None = _key("publish", name_or_path, Path("metrics.prom"), none="")
    node_features: Path | None = _key("publish", path_or_none, None, none="")
    node_features_expiry: float = _key("publish", minutes_s, 3600.0)
    export_folders: tuple[Path, ...] = _key("publish", export_rules.parse_folders, export_rules.FOLDERS)

    fleet: bool = _key("fleet", flag, False, key="enabled")
    fleet_store: FleetStore = _key("fleet", word(*get_args(FleetStore)), "etcd", key="store")
    fleet_endpoints: tuple[str, ...] = _key("fleet", fleet_section.endpoints, (), key="endpoints")
    fleet_ca_file: Path | None = _key("fleet", path_or_none, None, none="", key="ca_file")
    fleet_user: str = _key("fleet", host_or_none, "", key="user")
    fleet_node: str = _key("fleet", host_or_none, "", key="node")
    fleet_domain: str = _key("fleet", host_or_none, "", key="domain")
    fleet_trusted_keys: tuple[str, ...] = _key("fleet", fleet_section.public_keys, (), key="trusted_keys")
    fleet_node_keys: Path | None = _key("fleet", path_or_none, None, none="", key="node_keys")
    fleet_sweeps_per_domain: int = _key("fleet", whole(1, 16), 2, key="sweeps_per_domain")
    fleet_max_wait: float = _key("fleet", duration_s, 3600.0, key="max_wait")
    fleet_report_every: float = _key("fleet", minutes_s, 7 * 86400.0, key="report_every")

    profiles: Path = _key("paths", absolute_path, Path("/etc/aio-tuned"))
    state: Path = _key("paths", absolute_path, Path("/var/lib/aio-tuned"))
    runtime: Path = _key("paths", absolute_path, Path("/run/aio-tuned"))

    @property
    def metrics_file(self) -> Path | None:
        """Return the path of the metrics file, or None; a name without a folder is placed in `state`."""
        return self.metrics and self.state / self.metrics

    def write_budget_bytes(self, device_bytes: int) -> int:
        """Return the number of bytes that one sweep may write to a device of that size.

        One percent of a small drive is too little for a sweep: filling the scratch file takes 1 GiB, measuring every
        setting once in transfers of 16 MiB 5 GiB, comparing the finalists up to 14 GiB, the experiments after the
        choice up to 4 GiB, and filling the file again after a restart 1 GiB. Hence the floor of 25 GiB: 11 % of one
        overwrite of a 250 GB drive, which is rated for hundreds.
        """
        share = int(device_bytes * self.write_budget_percent / 100)
        return min(self.write_budget, max(share, self.write_budget_floor))


def _sections() -> dict[str, dict[str, Callable[[object], Any]]]:
    """Return the parser of every key, by section and key."""
    known: dict[str, dict[str, Callable[[object], Any]]] = {}
    for item in fields(Config):
        if "section" in item.metadata:
            known.setdefault(item.metadata["section"], {})[key_of(item)] = item.metadata["parse"]
    return known


def _named(section: str, parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a section by the names of their fields."""
    names = {key_of(item): item.name for item in fields(Config) if item.metadata.get("section") == section}
    return {names[key]: value for key, value in parsed.items()}


def lay_grid(given: Mapping[str, object], base: Grid) -> Grid:
    """Return the grid with the parameters in `given` replaced.

    Raise ValueError, which names the key, if one is unknown or wrong.
    """
    return replace(base, **table(given, GRID_KEYS))


def _match_rule(given: Mapping[str, object]) -> MatchRule:
    """Return the rule of one [[match]] table; raise ValueError, with the key that is wrong or missing."""
    parsed = table(given, _RULE_KEYS)
    if "tune" not in parsed:
        raise ValueError("lacks tune; set it to true to tune matching drives, or to false to exclude them")
    if len(parsed) == 1:
        raise ValueError(f"has no pattern; set one of {', '.join(PATTERN_KEYS)}")
    return MatchRule(**parsed)


# The lists of tables, each with the parser of one. The rules of a file follow those of the files before it.
_LISTS: Mapping[str, Callable[[Mapping[str, object]], Any]] = {
    "match": _match_rule,
    "export": export_rules.parse_rule,
}


def parse_config(text: str, origin: str, base: Config | None = None) -> Config:
    """Return `base` with the keys of one file's text replaced.

    [[match]] and [[export]] rules are appended to those of `base`. Raise ConfigError, which names the origin, the key
    and the remedy, if the text is not TOML, or if a section, key or value is unknown or wrong.
    """
    config = base or Config()
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # 5,000 digits raise ValueError, 1,000 brackets RecursionError
        raise ConfigError(f"{origin}: not valid TOML: {error}") from None
    known = _sections()
    changes: dict[str, Any] = {}
    for section, given in document.items():
        try:
            if section in _LISTS:
                changes[section] = getattr(config, section) + tables(given, section, _LISTS[section])
                continue
            if section in _RENAMED_SECTIONS:
                new = _RENAMED_SECTIONS[section]
                raise ConfigError(f"{origin}: [{section}] is now called [{new}]; rename it")
            if section not in ("grid", *known):
                names = ("grid", *_LISTS, *known)
                near = did_you_mean(section, names) or f"; the sections are {', '.join(names)}"
                raise ConfigError(f"{origin}: unknown section [{section}]{near}")
            if not isinstance(given, dict):
                raise ConfigError(f"{origin}: [{section}] is not a table; write [{section}], with single brackets")
            if section == "grid":
                changes["grid"] = lay_grid(given, config.grid)
            else:
                for key in given.keys() & _RENAMED_KEYS.keys():
                    raise ConfigError(f"{origin}: [{section}] {key} is now called {_RENAMED_KEYS[key]}; rename it")
                changes |= _named(section, table(given, known[section]))
        except ValueError as error:
            raise ConfigError(f"{origin}: [{section}] {error}") from None
    return replace(config, **changes)


def config_sources(path: Path) -> tuple[Path, ...]:
    """Return the files of the configuration at `path`; later files override earlier ones.

    Raise OSError if its folder of drop-ins cannot be read: a drop-in may forbid something, so none may be missed.
    """
    try:
        found = sorted(Path(f"{path}.d").iterdir())
    except FileNotFoundError:
        found = []
    # Editors leave hidden files and links in the folder.
    drop_ins = (each for each in found if each.name.endswith(".conf") and not each.name.startswith("."))
    return (*((path,) if path.exists() else ()), *drop_ins)


def load_config(path: Path = DEFAULT_PATH, *, must_exist: bool = False, owners: trust.Owners = ()) -> Config:
    """Return the configuration at `path` with its drop-ins (`path`.d/*.conf, in the order of their names).

    Without a file the defaults apply. Raise ConfigError if a file cannot be read or is wrong, if a user other than
    root, this process's user and `owners` can have written or removed it, or if `must_exist` and `path` is missing.
    """
    drop_ins = Path(f"{path}.d")
    try:
        trust.check_way(path, owners)
        if drop_ins.exists():
            trust.check(drop_ins.stat(), drop_ins, drop_ins, owners)
        if must_exist and not path.exists():
            raise ConfigError(f"{path}: no such file")
        found = config_sources(path)
    except trust.UntrustedError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    config = Config()
    for source in found:
        try:
            text = trust.read_text(source, owners)
        except trust.UntrustedError as error:
            raise ConfigError(str(error)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: cannot be read: {error}") from None
        config = parse_config(text, str(source), config)
    _check(config, path)
    return config


def _check(config: Config, path: Path) -> None:
    """Raise ConfigError if keys that are right by themselves do not fit together."""
    part = "[[export]]"
    try:
        export_rules.check(config.export, config.export_folders, (config.profiles, config.state, config.runtime))
        if config.fleet:
            part = "[fleet]"
            needed = {key: getattr(config, f"fleet_{key}") for key in ("endpoints", "ca_file", "trusted_keys")}
            fleet_section.check(config.fleet_store, needed)
    except ValueError as error:
        raise ConfigError(f"{path}: {part} {error}") from None
