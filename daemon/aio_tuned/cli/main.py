"""The parser of the whole command line, and the entry point."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aio_tuned.cli import output, run
from aio_tuned.cli.arguments import Parser, path
from aio_tuned.cli.version import ShowVersion
from aio_tuned.config.load import DEFAULT_PATH
from aio_tuned.errors import AioTunedError, Exit
from aio_tuned.report.terminal import color

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the whole command line; of one command alone if `words` begin with "run" or "fleet"."""
    top = Parser(
        prog="aio-tuned",
        description="Measure NVMe drives and publish their best Linux AIO settings.",
        allow_abbrev="run" not in words,  # a word of that command's own, such as --co, would be ambiguous
    )
    top.add_argument("-V", "--version", action=ShowVersion, help="print version, commit and protocol")
    top.add_argument("--config", type=path, metavar="FILE", help=f"configuration file (default: {DEFAULT_PATH})")
    top.add_argument("--color", choices=color.CHOICES, default="auto", help="when to use colors (default: auto)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    if list(words[:1]) == ["run"]:
        run.add_command(commands)
    elif list(words[:1]) == ["fleet"]:
        from aio_tuned.cli.fleet import commands as fleet

        fleet.add_command(commands)
    else:
        _add_all(commands)
    return top


def _add_all(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add all commands; their modules take 30 ms to load, and `run` starts its command after 70 ms without them.

    The agent of a fleet runs for months, and needs no memory for them.
    """
    from aio_tuned.cli import check_config, daemon, doctor, forget, get, read, show, sweeps, tune, verify
    from aio_tuned.cli.fleet import commands as fleet

    tune.add_command(commands)
    show.add_command(commands)
    get.add_command(commands)
    read.add_commands(commands)
    run.add_command(commands)
    sweeps.add_commands(commands)
    daemon.add_commands(commands)
    forget.add_command(commands)
    doctor.add_command(commands)
    verify.add_command(commands)
    check_config.add_command(commands)
    fleet.add_command(commands)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; print an AioTunedError as one line on standard error."""
    with output.lossy_stderr():
        try:
            with output.checked_stdout():
                given = sys.argv[1:] if words is None else [*words]
                arguments = parser(given).parse_args(given)
                color.choose(arguments.color)
                code: int = arguments.run(arguments)
        except AioTunedError as error:
            if error.exit_code != Exit.CLOSED_PIPE:
                print(f"aio-tuned: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        return code
