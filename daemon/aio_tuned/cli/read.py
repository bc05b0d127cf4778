"""The commands wait, explain and export, which read the profile of a path."""

from __future__ import annotations

import json
import platform
import sys
from typing import TYPE_CHECKING, Any

from aio_tuned import consumers, reader
from aio_tuned.cli.arguments import (
    DEFAULT_HELP,
    JSON_HELP,
    PATH_HELP,
    add_profiles,
    argument,
    path,
    profiles,
    read_config,
)
from aio_tuned.config import parsing
from aio_tuned.errors import AioTunedError, ConfigError, Exit, TargetError, TimedOutError, UsageError
from aio_tuned.reader.lookup import find_disk, find_profile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.consumers.export import Export

_WAIT_S = 600.0


def add_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the commands to the parser of the whole command line."""
    wait = commands.add_parser(
        "wait",
        help="wait until a path has settings (for ExecStartPre=)",
        description="Wait, without polling, until the drive of PATH has a profile in the given state. PATH, its"
        " filesystem and its drive need not exist yet.",
    )
    wait.add_argument("path", type=path, metavar="PATH", help=PATH_HELP)
    wait.add_argument(
        "--state", choices=("measured", "any"), default="measured", help="state of the profile (default: measured)"
    )
    wait.add_argument(
        "--confidence",
        choices=("settled", "bounded"),
        help="required confidence of every measured direction (default: any)",
    )
    wait.add_argument(
        "--timeout",
        type=argument(parsing.duration_s),
        default=_WAIT_S,
        metavar="TIME",
        help="time limit, e.g. 90s, 5m (default: 10m)",
    )
    wait.set_defaults(run=_wait)

    explain = commands.add_parser(
        "explain",
        help="explain the settings of a path",
        description="Print the drive of PATH, the settings that were chosen for it and the evidence for them, and"
        " what has changed since the sweep.",
    )
    explain.add_argument("path", type=path, metavar="PATH", help=PATH_HELP)
    explain.add_argument("--json", action="store_true", help=JSON_HELP)
    explain.set_defaults(run=_explain)

    export = commands.add_parser(
        "export",
        help="print the settings for a path in a framework's format",
        description="Print the settings for I/O on PATH in CONSUMER's format, units and types, or merge them into its"
        " configuration FILE (JSON, YAML or environment) without changing the rest of it."
        f" Consumers: {', '.join(consumers.NAMES)}.",
    )
    export.add_argument("consumer", choices=consumers.NAMES, metavar="CONSUMER", help="framework")
    export.add_argument("path", type=path, metavar="PATH", help=PATH_HELP)
    export.add_argument("--merge", type=path, metavar="FILE", help="JSON, YAML or environment file to change")
    export.add_argument(
        "--quoted", action="store_true", help="put values of an environment in single quotes, for fileKeyRef"
    )
    export.add_argument(
        "--for-version", metavar="VERSION", help="release of the consumer, if its keys depend on it (default: newest)"
    )
    export.add_argument(
        "--max-block-size",
        type=argument(parsing.block_size),
        metavar="SIZE",
        help="upper limit of the block size, e.g. 1M; DeepSpeed swaps no tensor that is smaller than a block",
    )
    export.add_argument(
        "--request-size",
        type=argument(parsing.size_bytes),
        metavar="SIZE",
        help="bytes of one request of CONSUMER, e.g. 256K (default: its usual size)",
    )
    export.add_argument("--default", action="store_true", help=DEFAULT_HELP)
    export.set_defaults(run=_export)
    for command in (wait, explain, export):
        add_profiles(command)


def _say(text: str) -> None:
    print(f"aio-tuned: {text}", file=sys.stderr, flush=True)


# --- wait ------------------------------------------------------------------------------------------------


def _daemon_says(settings: Config, path: Path) -> str:
    """Return the daemon's state of the path's drive as a sentence; "" if the path is on no drive yet."""
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
            return f"the daemon reports: {drive.stage}{left}: {drive.reason}"
    return f"the daemon does not manage {name}; see [[match]] in aio-tuned.conf(5)"


def _wait(arguments: argparse.Namespace) -> int:
    from aio_tuned.reader import wait as reader_wait
    from aio_tuned.service import export_wait

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
    export_wait.until_written(settings.runtime, arguments.path.absolute(), found.profile.device.name)
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
    # Without a filesystem none is compared: it is not known which one of the drive was swept.
    now = identity.fingerprint(device, "", release)
    measured = found.profile.evidence.measured_at is not None
    changed = decision.differences(found.profile, now, release, settings.kernel_change) if measured else ()
    if arguments.json:
        document = terminal_explain.to_document(way, found.profile, str(found.path), changed)
        print(json.dumps(document, indent=2))
    else:
        print(terminal_explain.describe(way, found.profile, str(found.path), changed))
    return Exit.OK


# --- export ----------------------------------------------------------------------------------------------


def _export(arguments: argparse.Namespace) -> int:
    from aio_tuned.consumers import rendering
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.consumers.merge import apply

    missing: reader.Missing = "default" if arguments.default else "error"
    drive = reader.drive_settings_for(arguments.path, missing=missing, profiles=profiles(arguments))
    options = ExportOptions(
        max_block_size=arguments.max_block_size,
        request_bytes=arguments.request_size,
        for_version=arguments.for_version,
    )
    made = consumers.export_for(arguments.consumer, drive, str(arguments.path.absolute()), options)
    for text in _about(drive):
        _say(text)
    is_merged = arguments.merge is not None and apply.is_mergeable(made)
    if arguments.quoted and arguments.merge is not None:
        raise UsageError("--quoted: not with --merge, which keeps to NAME=VALUE; redirect the output to a new file")
    if is_merged or made.format == "json":  # in other formats the notes are comments
        for note in made.notes:
            _say(note)
    if is_merged:
        _merge(made, arguments.merge)
    else:
        print(rendering.render(made, quoted=arguments.quoted), end="")
    if arguments.merge is not None and not is_merged:
        raise UsageError(
            f"{arguments.merge}: not changed, because --merge edits only JSON, YAML and environment files;"
            " paste the printed settings into it"
        )
    return Exit.OK


def _about(drive: reader.DriveSettings) -> Iterator[str]:
    """Yield remarks on the origin of the settings."""
    source = drive.combined.source
    if source.state != "measured":
        yield f"these settings are {source.state}" + (f": {source.note}" if source.state == "default" else "")
    if source.state != "default":
        for settings in (drive.read, drive.write, drive.combined):
            if settings.source.note:
                yield f"{settings.direction}: {settings.source.note}"


def _merge(made: Export, file: Path) -> None:
    from aio_tuned.consumers.merge import apply
    from aio_tuned.storage import atomic_file

    try:
        # Read as bytes, because reading as text would change the line ends.
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise TargetError(
            f"{file}: no such file; to create it, leave out --merge and redirect the output to it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    merged = apply.merge(made, text, str(file))
    if merged == text:
        print(f"{file}: already up to date")
        return
    atomic_file.publish(file, merged, mode=None)
    print(f"{file}: changed")
