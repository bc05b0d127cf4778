"""What a command gets for its consumers: variables of its environment, and private files that variables name.

A consumer with an environment gets its variables. A consumer with a file gets the file, by the variable that the
consumer itself reads, or else by AIO_TUNED_<CONSUMER>_FILE for the command's own arguments. A variable that the caller
has set keeps its value, and so does a key in the file that LMCACHE_CONFIG_FILE names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned import consumers, reader
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import env_word
from aio_tuned.errors import AioTunedError, UsageError
from aio_tuned.launch import consumer_files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from aio_tuned.launch.consumer_files import File
    from aio_tuned.reader import DriveSettings

# These integrations read the settings in the process of the consumer, once the variable is 1.
_SWITCHES = {"vllm": "AIO_TUNED_VLLM"}
# Integrations look for profiles in this folder.
_PROFILES = "AIO_TUNED_PROFILES"
# The consumer whose variables every command gets.
_FOR_ALL = "env"


@dataclass(slots=True, kw_only=True)
class Additions:
    """The variables and files to add to a command's own.

    `kept` are the names that the caller has set, and whose values stay. `failed` are the reasons why consumers get
    nothing, each beginning with the consumer's name.
    """

    variables: dict[str, str] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def make(
    drive: DriveSettings,
    path: Path,
    environment: Mapping[str, str],
    named: Collection[str] = (),
    profiles: Path = reader.PROFILES,
    cufile_json: Path = consumer_files.CUFILE_JSON,
) -> Additions:
    """Return what a command with that environment gets for the consumers that are named, and AIO_TUNED_… for all.

    If none is named, these are all consumers with an environment or with a variable for their file. One that the path
    does not fit, such as a cache on a block device, then gets nothing, and no variable gets the path itself: it would
    move the consumer's data there. `profiles` is the folder of the profiles.
    """
    made = Additions()
    for name in dict.fromkeys((_FOR_ALL, *(named or consumers.NAMES))):
        try:
            if name in _SWITCHES:
                _add_variables(made, {_SWITCHES[name]: "1"}, environment)
                continue
            export = consumers.export_for(name, drive, str(path), ExportOptions())
            if export.format == "env":
                found = {str(keys[0]): env_word(value) for keys, value in export.values.items()}
                _add_variables(made, found if named else _without(found, str(path)), environment)
            elif named or name in consumer_files.OWN_VARIABLES:
                _add_file(made, consumer_files.file_for(name, export, environment, cufile_json))
        except UsageError as error:
            if named:
                made.failed.append(f"{name}: {error}")
        except AioTunedError as error:
            made.failed.append(f"{name}: {error}")
    if profiles != reader.PROFILES:
        _add_variables(made, {_PROFILES: str(profiles.absolute())}, environment)
    return made


def _without(variables: Mapping[str, str], unwanted: str) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value != unwanted}


def _add_variables(made: Additions, variables: Mapping[str, str], environment: Mapping[str, str]) -> None:
    for name, value in variables.items():
        if name in environment:
            made.kept.append(name)
        else:
            made.variables[name] = value


def _add_file(made: Additions, file: File | str) -> None:
    if isinstance(file, str):
        made.kept.append(file)
    else:
        made.files.append(file)
        made.kept += file.kept
