"""The commands that read profiles: get, wait, explain and export."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned import consumers, reader
from aio_tuned.cli.arguments import argument, read_config
from aio_tuned.config import parsing
from aio_tuned.errors import AioTunedError, ConfigError, Exit, NoProfileError, TargetError, TimedOutError, UsageError
from aio_tuned.reader.lookup import find_disk, find_profile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from aio_tuned.config.load import Config
    from aio_tuned.consumers.export import Export

_WAIT_S = 600.0
_TARGET = "a directory, a file, or a block device"


def add_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the commands to the parser of the whole command line."""
    get = commands.add_parser(
        "get",
        help="the settings for a path",
        description="Print the settings for I/O on PATH, a line each, or the value of KEY alone: a parameter"
        " (block_size), or anything in the profile (read.throughput_bytes_per_s, state, device.serial).",
    )
    get.add_argument("path", metavar="PATH", help=_TARGET)
    get.add_argument("key", nargs="?", metavar="KEY", help="print its value alone")
    get.add_argument(
        "--direction",
        choices=reader.DIRECTIONS,
        default="combined",
        help="whose parameters (default: combined, one setting for both)",
    )
    get.add_argument("--default", action="store_true", help="DeepSpeed's defaults where there is no sound profile")
    get.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    get.set_defaults(run=_get)

    wait = commands.add_parser(
        "wait",
        help="wait for the settings for a path, for ExecStartPre=",
        description="Wait, without polling, until there is a profile for PATH in the wanted state. PATH, its filesystem"
        " and its drive need not be there yet.",
    )
    wait.add_argument("path", type=Path, metavar="PATH", help=_TARGET)
    wait.add_argument(
        "--state", choices=("measured", "any"), default="measured", help="what to wait for (default: measured)"
    )
    wait.add_argument(
        "--confidence",
        choices=("settled", "bounded"),
        help="least confidence of each measured direction (default: any)",
    )
    wait.add_argument(
        "--timeout",
        type=argument(parsing.duration_s),
        default=_WAIT_S,
        metavar="TIME",
        help="give up after that, e.g. 90s, 5m (default: 10m)",
    )
    wait.set_defaults(run=_wait)

    explain = commands.add_parser(
        "explain",
        help="why a path has the settings that it has",
        description="Say how PATH leads to its drive, what was chosen for it, against how many, by how much, and what"
        " has changed since.",
    )
    explain.add_argument("path", type=Path, metavar="PATH", help=_TARGET)
    explain.set_defaults(run=_explain)

    export = commands.add_parser(
        "export",
        help="the settings for a path, as a framework's own configuration",
        description="Print the settings for I/O on PATH in CONSUMER's own format, units and types, or put them into its"
        " configuration FILE (JSON, YAML or environment) and leave the rest of that as it is."
        f" Consumers: {', '.join(consumers.NAMES)}.",
    )
    export.add_argument("consumer", choices=consumers.NAMES, metavar="CONSUMER", help="the framework")
    export.add_argument("path", type=Path, metavar="PATH", help=_TARGET)
    export.add_argument("--merge", type=Path, metavar="FILE", help="put them into that JSON, YAML or environment file")
    export.add_argument(
        "--for-version", metavar="VERSION", help="the consumer's release, where its keys depend on it (default: newest)"
    )
    export.add_argument(
        "--max-block-size",
        type=argument(parsing.block_size),
        metavar="SIZE",
        help="cap the block size, e.g. 1M: DeepSpeed does not swap tensors that are smaller than it",
    )
    export.add_argument("--default", action="store_true", help="DeepSpeed's defaults where there is no sound profile")
    export.set_defaults(run=_export)
    for command in (get, wait, explain, export):
        command.add_argument(
            "--profiles", type=Path, metavar="DIR", help="where the profiles are (default: as configured)"
        )


def _profiles(arguments: argparse.Namespace) -> Path:
    given: Path | None = arguments.profiles
    return given or read_config(arguments).profiles


def _say(text: str) -> None:
    print(f"aio-tuned: {text}", file=sys.stderr, flush=True)


# --- get -------------------------------------------------------------------------------------------------


def _toml(value: object) -> str:
    """Return the value as text for TOML and JSON; without its quotes a shell can use it too."""
    return json.dumps(value, ensure_ascii=False)


def _look_up(document: dict[str, Any], key: str) -> object:
    at: Any = document
    for word in key.split("."):
        if not isinstance(at, dict) or word not in at:
            has = f"; there are {', '.join(at)}" if isinstance(at, dict) else ""
            raise UsageError(f"{key}: the profile has no {word!r} there{has}")
        at = at[word]
    return at


def _get(arguments: argparse.Namespace) -> int:
    missing: reader.Missing = "default" if arguments.default else "error"
    folder = _profiles(arguments)
    found = reader.settings_for(arguments.path, arguments.direction, missing=missing, profiles=folder)
    table = found._asdict() | {"source": found.source._asdict()}
    if arguments.key:
        if arguments.key in table:
            value: object = table[arguments.key]
            if value is None:
                raise NoProfileError(f"{arguments.key}: not known for {arguments.direction}: see read and write")
        elif arguments.key.startswith("source."):
            value = _look_up(table, arguments.key)
        else:
            value = _look_up(reader.profile_for(arguments.path, profiles=folder), arguments.key)
        print(value if isinstance(value, str) and not arguments.json else _toml(value))
    elif arguments.json:
        print(json.dumps(table, indent=2))
    else:
        for name in parsing.SETTING_KEYS:
            print(f"{name} = {_toml(table[name])}")
        where = f" ({found.source.file})" if found.source.file else ""
        print(f"# {arguments.direction}: {found.source.state}{where}")
        if found.source.note:
            print(f"# {found.source.note}")
    return Exit.OK


# --- wait ------------------------------------------------------------------------------------------------


def _daemon_says(settings: Config, path: Path) -> str:
    """Return a sentence on what the daemon does with the path's drive; "" if the path is on no drive yet."""
    from aio_tuned.service import status
    from aio_tuned.storage.name_register import NameRegister

    try:
        disk = find_disk(path)
    except AioTunedError:
        return ""
    name = NameRegister(settings.profiles, settings.state).name_of(disk.name, disk.id)
    try:
        drives = status.read(settings.runtime).drives
    except AioTunedError as error:
        return str(error)
    for drive in drives:
        if drive.name == name:
            left = f" ({drive.sweeping.share:.0%})" if drive.sweeping else ""
            return f"the daemon says: {drive.stage}{left}: {drive.reason}"
    return f"the daemon does not know the drive {name}: see [[match]] in aio-tuned.conf(5)"


def _wait(arguments: argparse.Namespace) -> int:
    from aio_tuned.reader import wait as reader_wait

    settings = read_config(arguments)
    folder = arguments.profiles or settings.profiles

    def waits(missing: str) -> None:
        says = _daemon_says(settings, arguments.path)
        _say(f"waiting: {missing}" + (f"; {says}" if says else ""))

    try:
        found = reader_wait.until(
            arguments.path.absolute(), arguments.state, arguments.timeout, folder, waits, arguments.confidence
        )
    except TimedOutError as error:
        says = _daemon_says(settings, arguments.path)
        raise TimedOutError(f"{error}; {says}" if says else str(error)) from None
    print(f"{found.path}: {found.profile.state} ({found.disk.node})")
    return Exit.OK


# --- explain ---------------------------------------------------------------------------------------------


def _explain(arguments: argparse.Namespace) -> int:
    from aio_tuned.devices import identity, mountinfo, resolve, sysfs
    from aio_tuned.profiles import decision
    from aio_tuned.report.terminal import explain as terminal_explain

    settings = read_config(arguments)
    found = find_profile(arguments.path, arguments.profiles or settings.profiles)
    device = resolve.read_device(found.disk.number)
    mount, number = None, found.disk.number
    try:
        if arguments.path.is_block_device():
            number = sysfs.device_number(arguments.path)
        else:
            number, mount = mountinfo.block_device_number(arguments.path, mountinfo.read(), sysfs.SYS)
    except OSError as error:
        raise TargetError(f"{error.filename or arguments.path}: {error.strerror}") from None
    way = terminal_explain.Way(
        path=str(arguments.path), device=device, node_name=sysfs.directory(number).name, mount=mount
    )
    release = platform.release()
    # The filesystem is left empty, and so not compared: which of the drive's was swept is not known here.
    now = identity.fingerprint(device, "", release)
    measured = found.profile.evidence.measured_at is not None
    changed = decision.differences(found.profile, now, release, settings.kernel_change) if measured else ()
    print(terminal_explain.describe(way, found.profile, str(found.path), changed))
    return Exit.OK


# --- export ----------------------------------------------------------------------------------------------


def _export(arguments: argparse.Namespace) -> int:
    from aio_tuned.consumers import rendering
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.consumers.merge import apply

    missing: reader.Missing = "default" if arguments.default else "error"
    drive = reader.drive_settings_for(arguments.path, missing=missing, profiles=_profiles(arguments))
    options = ExportOptions(max_block_size=arguments.max_block_size, for_version=arguments.for_version)
    made: Export = consumers.load(arguments.consumer).export(drive, str(arguments.path.absolute()), options)
    for text in _about(drive):
        _say(text)
    is_merged = arguments.merge is not None and apply.is_mergeable(made)
    if is_merged or made.format == "json":  # other formats have the notes as comments
        for note in made.notes:
            _say(note)
    if is_merged:
        _merge(made, arguments.merge)
    else:
        print(rendering.render(made), end="")
    if arguments.merge is not None and not is_merged:
        raise UsageError(
            f"{arguments.merge}: not changed, since --merge edits JSON, YAML and environment files only;"
            " paste the settings on standard output into it"
        )
    return Exit.OK


def _about(drive: reader.DriveSettings) -> Iterator[str]:
    """Yield sentences on the origin of the settings that the user should know."""
    source = drive.combined.source
    if source.state != "measured":
        yield f"these settings are {source.state}" + (f": {source.note}" if source.state == "default" else "")
    if source.state != "default":
        for settings in drive:
            if settings.source.note:
                yield f"{settings.direction}: {settings.source.note}"


def _merge(made: Export, path: Path) -> None:
    from aio_tuned.consumers.merge import apply
    from aio_tuned.storage import atomic_file

    try:
        # Read as bytes, so that line ends stay as they are.
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise TargetError(f"{path} does not exist; to make it, leave out --merge and write the output to it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    merged = apply.merge(made, text, str(path))
    if merged == text:
        print(f"{path}: nothing to change")
        return
    atomic_file.publish(path, merged, mode=None)
    print(f"{path}: changed")
