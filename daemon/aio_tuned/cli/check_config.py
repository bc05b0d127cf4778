"""The command check-config."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import path, read_config
from aio_tuned.config import render
from aio_tuned.config.load import DEFAULT_PATH, config_sources, load_config
from aio_tuned.errors import Exit

if TYPE_CHECKING:
    import argparse


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    check = commands.add_parser(
        "check-config",
        help="check the configuration and print the values in effect",
        description="Check the configuration and print every key with its value in effect, as TOML.",
    )
    check.add_argument("file", nargs="?", type=path, metavar="FILE", help="file to check (default: the one in use)")
    check.add_argument(
        "--json", action="store_true", help="one JSON document, with sizes in bytes and times in seconds"
    )
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from aio_tuned.service import export_text

    # FILE is not in use, so any user may own it; `--config` and the default must be trusted.
    loaded = load_config(arguments.file, must_exist=True, owners=None) if arguments.file else read_config(arguments)
    export_text.check(loaded.export)
    main_file = arguments.file or arguments.config or DEFAULT_PATH
    used = [str(source) for source in config_sources(main_file)]
    if arguments.json:
        print(json.dumps({"files": used, "config": render.to_document(loaded)}, indent=2, ensure_ascii=False))
    else:
        print(f"# read from {', '.join(used)}" if used else f"# defaults: {main_file} does not exist")
        print(f"\n{render.render(loaded)}", end="")
    return Exit.OK
