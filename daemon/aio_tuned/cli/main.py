"""The parser of the whole command line, and the entry point."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import __version__
from aio_tuned.cli import check_config, daemon, read, show, sweeps, tune
from aio_tuned.cli.arguments import Parser
from aio_tuned.config.load import DEFAULT_PATH
from aio_tuned.errors import AioTunedError, Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(prog="aio-tuned", description="Measures NVMe drives and publishes their best Linux AIO settings.")
    top.add_argument("--version", action="version", version=f"aio-tuned {__version__}")
    top.add_argument("--config", type=Path, metavar="FILE", help=f"configuration (default: {DEFAULT_PATH})")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    tune.add_command(commands)
    show.add_command(commands)
    read.add_commands(commands)
    sweeps.add_commands(commands)
    daemon.add_commands(commands)
    check_config.add_command(commands)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an AioTunedError is printed as one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may be limited to ASCII
    arguments = parser().parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except AioTunedError as error:
        print(f"aio-tuned: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe, which is no error; buffered output must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return code
