"""The command show."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import not_empty, path, read_config
from aio_tuned.errors import Exit, ProfileError, UsageError
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from aio_tuned.report.terminal import consumers, summary
from aio_tuned.storage import profile_store
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from aio_tuned.model.profile import Profile


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    show = commands.add_parser("show", help="show published profiles", description="Show published profiles.")
    show.add_argument(
        "target",
        type=not_empty,
        nargs="?",
        metavar="TARGET",
        help="profile name or file, directory, file or block device (default: all profiles)",
    )
    show.add_argument("--out", type=path, metavar="DIR", help="folder of the profiles (default: as configured)")
    show.add_argument(
        "--format", choices=("text", "json", "toml"), default="text", help="output format (default: text)"
    )
    show.add_argument("--json", action="store_const", const="json", dest="format", help="same as --format json")
    show.set_defaults(run=_run)


def _print(found: list[tuple[Path, Profile]], form: str) -> None:
    """Print the profiles; raise UsageError if there are several, and the format has room for one."""
    if form == "json":
        print(json.dumps([{"file": str(file), "profile": codec.to_table(one)} for file, one in found], indent=2))
    elif form == "toml":
        if len(found) > 1:
            names = ", ".join(file.stem for file, _ in found)
            raise UsageError(f"--format toml: a document has one profile; name one as TARGET: {names}")
        for _, one in found:
            print(codec.render(one), end="")
    else:
        for file, one in found:
            summary.show(one)
            for line in consumers.lines(one):
                print(line)
            print(f"\n{file}\n")


def _run(arguments: argparse.Namespace) -> int:
    config = None if arguments.out else read_config(arguments)
    directory = config.profiles if config else arguments.out
    register = NameRegister(directory, config.state if config else arguments.out)
    found, broken = [], []
    for file in profile_store.find_profiles(directory, arguments.target, register):
        try:
            found.append((file, load_profile(file)))
        except ProfileError as error:
            broken.append(error)
    if found or not broken:
        _print(found, arguments.format)
    if not found and not broken and arguments.format != "json":
        print(f"aio-tuned: {directory}: no profiles; run aio-tuned tune TARGET", file=sys.stderr)
    # A damaged file must not hide the other profiles.
    for problem in broken:
        print(f"aio-tuned: {problem}", file=sys.stderr)
    return Exit.DATA if broken else Exit.OK
