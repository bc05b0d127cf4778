"""The commands daemon, status, retune and stop."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import not_empty, path, read_config
from aio_tuned.errors import Exit
from aio_tuned.service import status
from aio_tuned.storage import targets
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    import argparse

_TARGET = "drive name (see status), directory, file or block device"


def add_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the commands to the parser of the whole command line."""
    daemon = commands.add_parser(
        "daemon",
        help="tune all drives as they appear, until SIGTERM",
        description="Watch udev for NVMe drives, publish the known profile of each at once, and sweep the drives that"
        " need it, one at a time. SIGHUP reloads the configuration. systemd runs this as aio-tuned.service.",
    )
    daemon.add_argument("--helper", type=path, metavar="PATH", help="replacement for aio-sweep (native/PROTOCOL.md)")
    daemon.set_defaults(run=_daemon)

    shown = commands.add_parser(
        "status",
        help="show every drive that the daemon manages",
        description="Show every drive that the daemon manages, with its state and the reason.",
    )
    shown.add_argument("--json", action="store_true", help="one JSON document")
    shown.set_defaults(run=_status)

    retune = commands.add_parser(
        "retune",
        help="have the daemon check a drive again, and sweep it if needed",
        description="Have the daemon check TARGET's drive again now, for example after a failure or after stop, and"
        " sweep it if needed. With --force it is swept in full, even if its profile is valid.",
    )
    retune.add_argument("target", type=not_empty, metavar="TARGET", help=_TARGET)
    retune.add_argument("--force", action="store_true", help="full sweep, even if the profile is valid")
    retune.set_defaults(run=_retune)

    stop = commands.add_parser(
        "stop",
        help="stop the daemon's sweep of a drive",
        description="Stop the sweep of TARGET's drive. When the command returns, the scratch file is removed, and the"
        " filesystem can be unmounted. The drive is not swept again until aio-tuned retune, until it is plugged in"
        " again, or until the daemon is restarted.",
    )
    stop.add_argument("target", type=not_empty, metavar="TARGET", help=_TARGET)
    stop.set_defaults(run=_stop)


def _daemon(arguments: argparse.Namespace) -> int:
    from aio_tuned.service import main as service_main

    settings = service_main.load_config(arguments.config)
    service_main.run(settings, service_main.loader(arguments.config, settings), arguments.helper)
    return Exit.OK


def _status(arguments: argparse.Namespace) -> int:
    found = status.read(read_config(arguments).runtime)
    print(json.dumps(asdict(found), indent=2) if arguments.json else status.describe(found))
    return Exit.OK


def _name(target: str, register: NameRegister) -> str:
    """Return the daemon's name of the target's drive; raise TargetError if the target is on no drive."""
    # os.path.exists() is used because Path.exists() raises if the current folder may not be searched.
    missing = f"{target}: no such file or directory"
    found = targets.find_drive(target, lambda name: not os.path.exists(name), missing, register, profiles=False)  # noqa: PTH110
    return found.name


def _ask(arguments: argparse.Namespace, request: dict[str, object]) -> int:
    """Send a request about the target to the daemon, and print its answer."""
    from aio_tuned.service import control  # loads asyncio, which takes a third as long as --version

    config = read_config(arguments)
    name = _name(arguments.target, NameRegister(config.profiles, config.state))
    print(control.ask(config.runtime, {**request, "name": name}))
    return Exit.OK


def _retune(arguments: argparse.Namespace) -> int:
    return _ask(arguments, {"do": "retune", "force": arguments.force})


def _stop(arguments: argparse.Namespace) -> int:
    return _ask(arguments, {"do": "stop"})
