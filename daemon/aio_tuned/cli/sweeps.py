"""The commands that show finished sweeps: history and report."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.cli import output
from aio_tuned.cli.arguments import not_empty, read_config
from aio_tuned.cli.arguments import path as path_argument
from aio_tuned.errors import Exit, NoProfileError, ProfileError, PublishError, UsageError
from aio_tuned.search.threads import limit_threads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.model.profile import Profile
    from aio_tuned.report.terminal.history import Row
    from aio_tuned.storage.sweep_archive import StoredSweep

_SWEEP = "drive name, profile file, directory, file or block device; @TIME selects an earlier sweep"
_OUT = "folder of `tune --out DIR` (default: as configured)"


def add_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the commands to the parser of the whole command line."""
    history = commands.add_parser(
        "history",
        help="list the sweeps of a drive and the changes between them",
        description="List the finished sweeps of TARGET's drive, oldest first, with the results of each and the"
        " changes since the previous one. Without TARGET, print one line for each drive; a drive that was removed"
        " can be named as in that list.",
    )
    history.add_argument(
        "target",
        type=not_empty,
        nargs="?",
        metavar="TARGET",
        help="drive name, profile file, directory, file or block device (default: all drives)",
    )
    history.add_argument("--out", type=path_argument, metavar="DIR", help=_OUT)
    history.add_argument("--json", action="store_true", help="one JSON document")
    history.set_defaults(run=_history)

    report = commands.add_parser(
        "report",
        help="write an HTML report of a sweep, or compare two",
        description="Write an HTML page about the last sweep of TARGET's drive: the chosen settings and their"
        " confidence, all measured settings, the search, and the throughput over time. The page needs no network"
        " and no server; docs/how-to/read-a-report.md explains it.",
    )
    report.add_argument("target", type=not_empty, nargs="?", metavar="TARGET[@TIME]", help=_SWEEP)
    report.add_argument(
        "--compare",
        type=not_empty,
        nargs=2,
        metavar=("A[@TIME]", "B[@TIME]"),
        help="two sweeps or two drives, side by side",
    )
    report.add_argument(
        "-o",
        "--output",
        type=not_empty,
        metavar="FILE",
        help="file to write (default: <name>-<time>.html in the current folder; - for standard output)",
    )
    report.add_argument("--out", type=path_argument, metavar="DIR", help=_OUT)
    report.set_defaults(run=_report)


def _config(arguments: argparse.Namespace) -> Config:
    config = read_config(arguments)
    return replace(config, profiles=arguments.out, state=arguments.out) if arguments.out else config


def _rows(paths: tuple[Path, ...], broken: list[ProfileError]) -> tuple[Row, ...]:
    """Return the rows of a drive's sweeps; append the errors of damaged files to `broken`."""
    from aio_tuned.profiles.files import load_profile
    from aio_tuned.report.terminal import history as terminal_history
    from aio_tuned.storage import sweep_archive

    found: dict[str, Profile] = {}
    for path in paths:
        try:
            measured = load_profile(path)
            found[sweep_archive.stamp(measured)] = measured
        except ProfileError as error:
            broken.append(error)
    return terminal_history.rows(found)


def _history(arguments: argparse.Namespace) -> int:
    from aio_tuned.report.terminal import history as terminal_history
    from aio_tuned.storage import sweep_archive

    config = _config(arguments)
    if arguments.target:
        head, at = sweep_archive.split(config, arguments.target)
        if at:
            raise UsageError(f"{arguments.target}: history lists all sweeps; leave out @TIME: {head}")
        named = sweep_archive.drive(config, head)
        listed = {named.name: sweep_archive.sweeps(named)}
    else:
        listed = {name: sweep_archive.list_sweeps(config.state, name) for name in sweep_archive.names(config.state)}
    if not listed:
        raise NoProfileError(f"{config.state}: no finished sweeps; run aio-tuned tune TARGET")
    broken: list[ProfileError] = []
    histories = {name: found for name, paths in listed.items() if (found := _rows(paths, broken))}
    if arguments.json:
        table = [{"drive": name, "sweeps": [asdict(row) for row in found]} for name, found in histories.items()]
        print(json.dumps(table, indent=2))
    elif arguments.target:
        for name, found in histories.items():
            terminal_history.show(name, found)
    elif histories:
        terminal_history.show_drives(histories)
    # A damaged file must not hide the other sweeps.
    for problem in broken:
        print(f"aio-tuned: {problem}", file=sys.stderr)
    return Exit.DATA if broken else Exit.OK


def _file_name(sweeps: Sequence[StoredSweep]) -> str:
    from aio_tuned.storage import sweep_archive

    words = []
    for sweep in sweeps:
        measured = sweep.profile.evidence.measured_at is not None
        words += [sweep.profile.device.name, sweep_archive.stamp(sweep.profile) if measured else "unmeasured"]
    return "-".join(words).replace("/", "_") + ".html"


def _write(page: str, path: Path) -> None:
    """Write the page to a file, completely or not at all; raise UsageError or PublishError.

    As with a shell's >, the umask applies to a new file, and a symbolic link is followed.
    """
    from aio_tuned.storage import atomic_file

    # os.path is used because Path's methods raise if a folder may not be searched.
    new = not os.path.exists(path)  # noqa: PTH110
    # The new file is renamed over FILE, which would replace a device or a pipe.
    if not new and not os.path.isfile(path):  # noqa: PTH113
        raise UsageError(f"-o {path}: not a regular file; use -o - for standard output")
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise PublishError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        atomic_file.publish(path, page, mode=None)
    except PublishError:
        if new:
            path.resolve().unlink(missing_ok=True)
        raise


def _report(arguments: argparse.Namespace) -> int:
    if (arguments.target is None) == (arguments.compare is None):
        raise UsageError("report: give one TARGET, or --compare A B; aio-tuned history lists the sweeps")
    limit_threads()
    from aio_tuned.report.html import comparison, figure
    from aio_tuned.report.html import page as html_page
    from aio_tuned.storage import sweep_archive

    config = _config(arguments)
    sweeps = [sweep_archive.find(config, target) for target in arguments.compare or [arguments.target]]
    for problem in (each for sweep in sweeps for each in sweep.torn):
        print(f"aio-tuned: {problem}; showing the previous sweep", file=sys.stderr)
    with figure.drawing():
        page = comparison.render(*sweeps) if arguments.compare else html_page.render(sweeps[0])
    if arguments.output == "-":
        output.use_utf8()
        sys.stdout.write(page)
        return Exit.OK
    path = Path(arguments.output or _file_name(sweeps))
    _write(page, path)
    print(path)
    return Exit.OK
