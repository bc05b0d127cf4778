"""The command doctor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned import consumers
from aio_tuned.cli.arguments import JSON_HELP, PATH_HELP, add_profiles, path, read_config
from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError, ConfigError, Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from aio_tuned.reader.types import Disk


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    doctor = commands.add_parser(
        "doctor",
        help="show what on this host costs throughput, with remedies",
        description="Examine the host and PATH's drive, or every NVMe drive, for what keeps a consumer from the"
        " measured throughput: limits of this process, settings of the kernel, links, filesystems, profiles. Run it as"
        " the consumer's user and where the consumer runs. Exit with 1 if something costs throughput.",
    )
    doctor.add_argument("path", nargs="?", type=path, metavar="PATH", help=f"{PATH_HELP} (default: every NVMe drive)")
    doctor.add_argument(
        "--consumer", choices=consumers.NAMES, metavar="CONSUMER", help="framework that will use it (default: any)"
    )
    doctor.add_argument("--json", action="store_true", help=JSON_HELP)
    add_profiles(doctor)
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from aio_tuned.launch.doctor import examine
    from aio_tuned.launch.doctor.examination import Examination
    from aio_tuned.launch.doctor.finding import HOST, Unchecked
    from aio_tuned.launch.doctor.report import describe, to_document

    unread = ""
    try:
        config = read_config(arguments)
    except ConfigError as error:
        if arguments.config is not None:
            raise
        config, unread = Config(), str(error)
    asked = Examination(
        consumer=arguments.consumer,
        profiles=arguments.profiles or config.profiles,
        kernel_change=config.kernel_change,
        daemon_says=_daemon_words(config),
    )
    report = examine.run(arguments.path, asked)
    if unread:
        missing = Unchecked(check="configuration", subject=HOST, reason=unread)
        report = replace(report, outcomes=(*report.outcomes, missing))
    if arguments.json:
        print(json.dumps(to_document(report), indent=2))
    else:
        print(describe(report))
    return Exit.OBSTACLE if report.costs else Exit.OK


def _daemon_words(config: Config) -> Callable[[Disk], str]:
    """Read the daemon's status, and return the function that `Examination.daemon_says` is.

    It returns the daemon's state of a drive as a phrase, or why there is none; "" if the daemon is not running.
    """
    from aio_tuned.service import status

    try:
        drives = status.read(config.runtime).drives
    except AioTunedError:
        return lambda _: ""
    known = {str(Path(drive.node)): f"{drive.stage}: {drive.reason}" for drive in drives}
    return lambda disk: known.get(disk.node, "it does not manage this drive; see [[match]] in aio-tuned.conf(5)")
