"""The command check-config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import read_config
from aio_tuned.config.load import DEFAULT_PATH, config_sources, describe_config, load_config
from aio_tuned.errors import Exit

if TYPE_CHECKING:
    import argparse


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    check = commands.add_parser("check-config", help="check the configuration and say what it comes to")
    check.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a file to check (default: the one in use)")
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # A file to check is not in use, so it may belong to anybody; `--config` and the default are read as they are used.
    loaded = load_config(arguments.file, must_exist=True, owners=None) if arguments.file else read_config(arguments)
    path = arguments.file or arguments.config or DEFAULT_PATH
    used = config_sources(path)
    print(
        "read: " + (", ".join(str(source) for source in used) or f"nothing ({path} does not exist): the defaults hold")
    )
    print(describe_config(loaded))
    return Exit.OK
