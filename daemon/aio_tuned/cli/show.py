"""The command show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import read_config
from aio_tuned.errors import Exit, ProfileError
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from aio_tuned.report.terminal import summary
from aio_tuned.storage import profile_store
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    import argparse


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    show = commands.add_parser("show", help="show published profiles")
    show.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="a profile's name or file, or any target of tune (default: all)",
    )
    show.add_argument("--out", type=Path, metavar="DIR", help="where the profiles are (default: as configured)")
    show.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    show.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    config = None if arguments.out else read_config(arguments)
    directory = config.profiles if config else arguments.out
    register = NameRegister(directory, config.state if config else arguments.out)
    found, broken = [], []
    for path in profile_store.find_profiles(directory, arguments.target, register):
        try:
            found.append((path, load_profile(path)))
        except ProfileError as error:
            broken.append(error)
    if arguments.json and (found or not broken):
        print(json.dumps([{"file": str(path), "profile": codec.to_table(one)} for path, one in found], indent=2))
    elif not arguments.json:
        for path, one in found:
            summary.show(one)
            print(f"\n{path}\n")
        if not found and not broken:
            print(f"no profiles in {directory}: run aio-tuned tune TARGET", file=sys.stderr)
    # A damaged file must not hide the other profiles.
    for problem in broken:
        print(f"aio-tuned: {problem}", file=sys.stderr)
    return Exit.DATA if broken else Exit.OK
