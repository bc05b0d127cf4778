"""The commands daemon, status, retune and stop."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import read_config
from aio_tuned.errors import Exit
from aio_tuned.service import status
from aio_tuned.storage import targets
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the commands to the parser of the whole command line."""
    daemon = commands.add_parser(
        "daemon",
        help="watch for drives and tune them, until SIGTERM",
        description="Watch udev for NVMe drives, publish what is known of each at once, and sweep those that need it,"
        " one at a time. SIGHUP reads the configuration again. systemd runs this as aio-tuned.service.",
    )
    daemon.add_argument("--helper", type=Path, metavar="PATH", help="a stand-in for aio-sweep (native/PROTOCOL.md)")
    daemon.set_defaults(run=_daemon)

    shown = commands.add_parser("status", help="what the daemon does: every drive, its state, and why")
    shown.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    shown.set_defaults(run=_status)

    retune = commands.add_parser(
        "retune",
        help="have the daemon look at a drive again, now",
        description="Have the daemon look at TARGET's drive again: one that has failed, or was stopped. With --force it"
        " is swept in full, whatever is known of it.",
    )
    retune.add_argument("target", metavar="TARGET", help="a drive's name as in status, or any target of tune")
    retune.add_argument("--force", action="store_true", help="sweep it in full even if its profile holds")
    retune.set_defaults(run=_retune)

    stop = commands.add_parser(
        "stop",
        help="end the daemon's sweep of a drive, and leave it alone",
        description="End the sweep of TARGET's drive. When this returns no scratch file is left, and its filesystem can"
        " be unmounted. The drive is left alone until aio-tuned retune, until it is plugged in again, or until the"
        " daemon is started again.",
    )
    stop.add_argument("target", metavar="TARGET", help="a drive's name as in status, or any target of tune")
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
    """Return the name by which the daemon knows the target; raise TargetError if it is on no drive."""
    # os.path.exists() is used because Path.exists() raises if the current folder may not be searched.
    missing = f"{target}: no such file or directory"
    found = targets.find_drive(target, lambda name: not os.path.exists(name), missing, register, profiles=False)  # noqa: PTH110
    return found.name


def _ask(arguments: argparse.Namespace, request: dict[str, object]) -> int:
    """Print the daemon's answer to a request about the target."""
    from aio_tuned.service import control  # loads asyncio: a third of the time that --version takes

    config = read_config(arguments)
    name = _name(arguments.target, NameRegister(config.profiles, config.state))
    print(control.ask(config.runtime, {**request, "name": name}))
    return Exit.OK


def _retune(arguments: argparse.Namespace) -> int:
    return _ask(arguments, {"do": "retune", "force": arguments.force})


def _stop(arguments: argparse.Namespace) -> int:
    return _ask(arguments, {"do": "stop"})
