"""The command get."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned import formatting, reader
from aio_tuned.cli.arguments import DEFAULT_HELP, JSON_HELP, PATH_HELP, add_profiles, argument, not_empty, profiles
from aio_tuned.config import parsing
from aio_tuned.errors import Exit, NoProfileError, UsageError
from aio_tuned.model.measurement import Engine
from aio_tuned.model.size_curve import CurveOp

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_REQUEST_DIRECTIONS: tuple[CurveOp, ...] = get_args(CurveOp)
_ENGINES: tuple[Engine, ...] = get_args(Engine)
_LATENCY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(us|ms|s)", re.ASCII)
_MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def _latency_us(text: object) -> float:
    """Return the microseconds of "800us", "5ms", "1s"; raise ValueError, which gives the format."""
    match = _LATENCY.fullmatch(str(text).strip())
    if not match or not float(match[1]):
        raise ValueError(f'"{text}" is not a latency above 0; give "800us", "5ms" or "1s"')
    return float(match[1]) * _MICROSECONDS[match[2]]


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    get = commands.add_parser(
        "get",
        help="print the settings for a path",
        description="Print the settings for I/O on PATH, one per line, or only the value of KEY: a parameter"
        " (block_size) or any key of the profile (read.throughput_bytes_per_s, state, device.serial). With"
        " --request-size, print the requests in flight for requests of one size at random places, and what they give.",
    )
    get.add_argument("path", type=not_empty, metavar="PATH", help=PATH_HELP)
    get.add_argument("key", type=not_empty, nargs="?", metavar="KEY", help="print only the value of this key")
    get.add_argument(
        "--direction",
        choices=(*reader.DIRECTIONS, "mixed"),
        help="direction of the I/O (default: combined, one setting for both; with --request-size read)",
    )
    get.add_argument(
        "--request-size", type=argument(parsing.size_bytes), metavar="SIZE", help="bytes of one request, e.g. 256K"
    )
    get.add_argument("--engine", choices=_ENGINES, help="engine of requests of one size (default: psync, threads)")
    get.add_argument(
        "--max-p99",
        type=argument(_latency_us),
        metavar="TIME",
        help="upper limit of the 99th percentile of the latency, e.g. 5ms",
    )
    get.add_argument("--default", action="store_true", help=DEFAULT_HELP)
    get.add_argument("--json", action="store_true", help=JSON_HELP)
    add_profiles(get)
    get.set_defaults(run=_get)


def _toml(value: object) -> str:
    """Return the value as text for TOML and JSON; without its quotes a shell can use it too."""
    return json.dumps(value, ensure_ascii=False)


def _keys(document: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the keys of all values, as KEY takes them: after the names of their tables, with dots."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _look_up(document: dict[str, Any], key: str) -> object:
    """Return the value of a dotted key; raise UsageError, with the key that is most alike, if it is missing."""
    at: Any = document
    for word in key.split("."):
        if not isinstance(at, dict) or word not in at:
            near = parsing.did_you_mean(key, _keys(document))
            raise UsageError(f"{key}: no such key{near or '; aio-tuned show TARGET --json prints all keys'}")
        at = at[word]
    return at


def _throughputs(arguments: argparse.Namespace, found: reader.Settings, folder: Path) -> dict[str, int | None]:
    """Return the throughput of reads and of writes at these settings, by key; None if it was not measured."""
    known: dict[str, Any] = {}
    if found.source.section == "combined":
        known = reader.profile_for(arguments.path, profiles=folder)["combined"]
    elif found.source.section:
        known = {f"{found.source.section}_throughput_bytes_per_s": found.throughput_bytes_per_s}
    names = [f"{direction}_throughput_bytes_per_s" for direction in ("read", "write")]
    return {name: known.get(name) for name in names}


def _get(arguments: argparse.Namespace) -> int:
    if arguments.request_size is not None:
        return _get_requests(arguments)
    for option, given in (
        ("--engine", arguments.engine),
        ("--max-p99", arguments.max_p99),
        ("--direction mixed", arguments.direction == "mixed" or None),
    ):
        if given is not None:
            raise UsageError(f"{option}: only for requests of one size; pass --request-size too")
    direction: reader.Direction = arguments.direction or "combined"
    missing: reader.Missing = "default" if arguments.default else "error"
    folder = profiles(arguments)
    found = reader.settings_for(arguments.path, direction, missing=missing, profiles=folder)
    rates = _throughputs(arguments, found, folder)
    both = rates if direction == "combined" else {}
    table: dict[str, Any] = found._asdict() | both | {"source": found.source._asdict()}
    if arguments.key or arguments.json:
        _print_table(arguments, table, f"not measured for {direction}; pass --direction")
        return Exit.OK
    shown = [f"{name} {formatting.throughput(rate)}" for name, rate in _named(rates) if rate]
    _print_lines(table, parsing.SETTING_KEYS, direction, ", ".join(shown))
    return Exit.OK


def _named(rates: dict[str, int | None]) -> Iterator[tuple[str, int | None]]:
    return ((key.partition("_")[0], rate) for key, rate in rates.items())


def _get_requests(arguments: argparse.Namespace) -> int:
    direction: CurveOp = arguments.direction or "read"
    engine: Engine = arguments.engine or "psync"
    if direction not in _REQUEST_DIRECTIONS:
        known = ", ".join(_REQUEST_DIRECTIONS)
        raise UsageError(f"--direction {direction}: not measured for requests of one size; pass one of {known}")
    if arguments.default:
        raise UsageError("--default: there are no defaults for requests of one size; leave out one of the options")
    found = reader.requests_for(
        arguments.path, arguments.request_size, direction, engine, arguments.max_p99, profiles=profiles(arguments)
    )
    table: dict[str, Any] = found._asdict() | {"source": found.source._asdict()}
    if arguments.key or arguments.json:
        _print_table(arguments, table, "not measured with this request size")
        return Exit.OK
    latencies = [f"p50 {formatting.latency(found.p50_us)}"]
    if found.p99_us is not None:
        latencies.append(f"p99 {formatting.latency(found.p99_us)}")
    shown = ", ".join((formatting.throughput(found.throughput_bytes_per_s), *latencies))
    _print_lines(table, ("request_bytes", "in_flight"), f"{engine} {direction}", shown)
    return Exit.OK


def _print_table(arguments: argparse.Namespace, table: dict[str, Any], unknown: str) -> None:
    """Print the table as JSON, or the value of the key in it or in the profile; `unknown` explains a value of None."""
    key = arguments.key
    if not key:
        print(json.dumps(table, indent=2))
        return
    if key not in table and not key.startswith("source."):
        # With --default there may be no profile, which is an error for its keys.
        table = reader.profile_for(arguments.path, profiles=profiles(arguments)) | table
    value = _look_up(table, key)
    if value is None:
        raise NoProfileError(f"{key}: {unknown}")
    print(value if isinstance(value, str) and not arguments.json else _toml(value))


def _print_lines(table: dict[str, Any], names: Iterable[str], what: str, throughput: str) -> None:
    """Print the named values as TOML, and comments on their origin and on what they give."""
    for name in names:
        print(f"{name} = {_toml(table[name])}")
    source = table["source"]
    where = f" ({source['file']})" if source["file"] else ""
    print(f"# {what}: {source['state']}{where}")
    if throughput:
        print(f"# throughput: {throughput}")
    if source["note"]:
        print(f"# {source['note']}")
