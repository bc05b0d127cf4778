"""The files for consumers that read one, and the variables that pass them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.consumers.rendering import GENERATED, render
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.consumers.export import Export

# The variables by which consumers find their file.
OWN_VARIABLES = {
    "cufile": "CUFILE_ENV_PATH_JSON",
    "fastsafetensors": "FASTSAFETENSORS_CONFIG",
    "lmcache": "LMCACHE_CONFIG_FILE",
}
# cuFile reads this file unless the variable names another one, which then replaces it as a whole.
CUFILE_JSON = Path("/etc/cufile.json")
# fastsafetensors reads this file of the current folder unless the variable names another one.
_FASTSAFETENSORS_JSON = "fastsafetensors.json"
# LMCache takes this variable for the whole table of the file that has our keys.
_LMCACHE_TABLE = "LMCACHE_EXTRA_CONFIG"
_FIRST_LINE = f"{GENERATED} run; the next run removes this file once its command has ended.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file for the private folder, and the variable that gets its path; `own` is the part that is not the caller's.

    `kept` are the keys that the caller's file already has.
    """

    variable: str
    name: str
    text: str
    own: str
    kept: tuple[str, ...] = ()


def variable_for(consumer: str) -> str:
    """Return the variable that passes the file: the consumer's own, or else ours for the command line."""
    return OWN_VARIABLES.get(consumer, f"AIO_TUNED_{consumer.upper()}_FILE")


def file_for(
    consumer: str, export: Export, environment: Mapping[str, str], cufile_json: Path = CUFILE_JSON
) -> File | str:
    """Return the consumer's file, or the name of the variable or file by which the caller has set one already.

    Raise ConfigError if the settings cannot be added to a file that the consumer would read, and UsageError if a value
    cannot be written in the export's format.
    """
    variable = variable_for(consumer)
    if consumer == "lmcache":
        return _lmcache(export, environment, variable)
    if variable in environment:
        return variable
    if consumer == "fastsafetensors" and os.path.lexists(_FASTSAFETENSORS_JSON):
        return _FASTSAFETENSORS_JSON
    text = _over(cufile_json, export) if consumer == "cufile" else None
    return _file(consumer, variable, export, text)


def _file(consumer: str, variable: str, export: Export, text: str | None = None, kept: tuple[str, ...] = ()) -> File:
    """Return the file with that text, by default the export alone."""
    own = render(export)
    first = "" if export.format == "json" else _FIRST_LINE
    return File(
        variable=variable,
        name=f"{consumer}.{export.format}",
        text=first + (own if text is None else text),
        own=own,
        kept=kept,
    )


def _over(host_file: Path, export: Export) -> str | None:
    """Return the host's file with the export's values set, None if there is no such file."""
    from aio_tuned.launch import given_file

    try:
        text = given_file.read(host_file, str(host_file))
    except FileNotFoundError:
        return None
    return given_file.merged(text, export, str(host_file))


def _lmcache(export: Export, environment: Mapping[str, str], variable: str) -> File | str:
    """Return the export, or the file that the caller has named with those keys of the export that it lacks."""
    if _LMCACHE_TABLE in environment:
        return _LMCACHE_TABLE
    given = environment.get(variable)
    if given is None:
        return _file("lmcache", variable, export)
    if not given:
        return variable
    from aio_tuned.consumers.merge.document import shown
    from aio_tuned.launch import given_file

    named = f"the file of {variable}"
    try:
        text = given_file.read(given, named)
    except FileNotFoundError:
        raise ConfigError(f"{named}: no such file") from None
    lacking = given_file.missing_from(text, export, named)
    if not lacking.values:
        return variable
    kept = tuple(shown(keys) for keys in export.values if keys not in lacking.values)
    return _file("lmcache", variable, lacking, given_file.merged(text, lacking, named), kept)
