"""The command line of those who look back: history, report. Arguments only."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.cli_words import load_config
from aio_tuned.errors import Exit, NoProfileError, ProfileError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from aio_tuned.archive import Stored
    from aio_tuned.config import Config
    from aio_tuned.history import Row
    from aio_tuned.model import Profile

_SWEEP = "a drive's name, a directory, a file, a block device or a profile's file; @TIME names an earlier sweep"


def add_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the commands to the parser of the whole command line."""
    history = commands.add_parser(
        "history",
        help="the past sweeps of a drive, and what changed between them",
        description="List the finished sweeps of TARGET's drive, oldest first: what each gave, and in what it differs"
        " from the one before. The drive need not be there if it is named as in the list without TARGET: that has a"
        " line for each drive.",
    )
    history.add_argument(
        "target", nargs="?", metavar="TARGET", help="a drive's name, a profile's file, or any target of tune"
    )
    history.add_argument("--out", type=Path, metavar="DIR", help="look where tune --out DIR has put it")
    history.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    history.set_defaults(run=_history)

    report = commands.add_parser(
        "report",
        help="a finished sweep as one HTML page, or two compared",
        description="Write a page on the last sweep of TARGET's drive: what was chosen and how sure that is, every"
        " setting, the path of the search, throughput over time. It needs no network and no server; docs/report.md says"
        " how to read it.",
    )
    report.add_argument("target", nargs="?", metavar="TARGET[@TIME]", help=_SWEEP)
    report.add_argument(
        "--compare", nargs=2, metavar=("A[@TIME]", "B[@TIME]"), help="two sweeps, or two drives, side by side"
    )
    report.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="where to write it (default: <name>-<when>.html here; - for standard output)",
    )
    report.add_argument("--out", type=Path, metavar="DIR", help="look where tune --out DIR has put it")
    report.set_defaults(run=_report)


def _config(arguments: argparse.Namespace) -> Config:
    config = load_config(arguments)
    return replace(config, profiles=arguments.out, state=arguments.out) if arguments.out else config


def _rows(paths: tuple[Path, ...], broken: list[ProfileError]) -> tuple[Row, ...]:
    """The rows of a drive's sweeps; files that are no profiles are left out and told of."""
    from aio_tuned import archive, history, shelf

    found: dict[str, Profile] = {}
    for path in paths:
        try:
            measured = shelf.load(path)
            found[archive.stamp(measured)] = measured
        except ProfileError as error:
            broken.append(error)
    return history.rows(found)


def _history(arguments: argparse.Namespace) -> int:
    from aio_tuned import archive, history

    config = _config(arguments)
    if arguments.target:
        named = archive.drive(config, arguments.target)
        listed = {named.name: archive.sweeps(named)}
    else:
        listed = {name: archive.list_of(config.state, name) for name in archive.names(config.state)}
    if not listed:
        raise NoProfileError(f"{config.state} has no finished sweep of any drive: run aio-tuned tune TARGET")
    broken: list[ProfileError] = []
    histories = {name: found for name, paths in listed.items() if (found := _rows(paths, broken))}
    if arguments.json:
        table = [{"drive": name, "sweeps": [asdict(row) for row in found]} for name, found in histories.items()]
        print(json.dumps(table, indent=2))
    elif arguments.target:
        for name, found in histories.items():
            history.show(name, found)
    elif histories:
        history.show_drives(histories)
    # One torn file must not hide the others.
    for problem in broken:
        print(f"aio-tuned: {problem}", file=sys.stderr)
    return Exit.DATA if broken else Exit.OK


def _file_name(sweeps: Sequence[Stored]) -> str:
    from aio_tuned import archive

    words = []
    for sweep in sweeps:
        measured = sweep.profile.evidence.measured_at is not None
        words += [sweep.profile.device.name, archive.stamp(sweep.profile) if measured else "unmeasured"]
    return "-".join(words).replace("/", "_") + ".html"


def _write(page: str, path: Path) -> None:
    from aio_tuned import publish

    # Renaming over it would put a file in the place of a device or a pipe.
    if path.exists() and not path.is_file():
        raise UsageError(f"-o {path}: not a regular file; -o - writes to standard output")
    publish.publish(path.parent, path.name, page)


def _report(arguments: argparse.Namespace) -> int:
    if (arguments.target is None) == (arguments.compare is None):
        raise UsageError("report takes one TARGET, or --compare A B: aio-tuned history lists them")
    from aio_tuned import archive
    from aio_tuned.page import figure, pair, single

    config = _config(arguments)
    sweeps = [archive.find(config, target) for target in arguments.compare or [arguments.target]]
    with figure.drawing():
        page = pair.render(*sweeps) if arguments.compare else single.render(sweeps[0])
    if arguments.output == "-":
        sys.stdout.buffer.write(page.encode())
        return Exit.OK
    path = Path(arguments.output or _file_name(sweeps))
    _write(page, path)
    print(path)
    return Exit.OK
