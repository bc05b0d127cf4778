"""The command line of those who look back: history. Arguments only."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.cli_words import load_config
from aio_tuned.errors import Exit, NoProfileError, ProfileError

if TYPE_CHECKING:
    import argparse

    from aio_tuned.config import Config
    from aio_tuned.history import Row
    from aio_tuned.model import Profile


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
