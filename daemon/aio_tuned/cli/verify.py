"""The command verify."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import JSON_HELP, add_profiles, argument, not_empty, path, read_config
from aio_tuned.config import parsing
from aio_tuned.errors import Exit, TimedOutError
from aio_tuned.launch.verify import CONSUMERS
from aio_tuned.search.threads import limit_threads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_SECONDS = 180.0


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    verify = commands.add_parser(
        "verify",
        help="compare a consumer's default with the exported settings",
        description="Run CONSUMER's own I/O in the folder PATH with its default and with the exported settings, in"
        " pairs in random order, and print both, the ratio with its 95 % interval, and which options are in effect. At"
        " most 8 GiB are written. If ours is not better, aio-tuned export gives CONSUMER's own default for that drive.",
    )
    verify.add_argument("path", type=path, metavar="PATH", help="folder on the drive's filesystem")
    verify.add_argument("--consumer", choices=CONSUMERS, required=True, metavar="CONSUMER", help=", ".join(CONSUMERS))
    verify.add_argument(
        "--python",
        type=not_empty,
        metavar="INTERPRETER",
        help="Python interpreter of the consumer's environment (default: python3)",
    )
    verify.add_argument(
        "--time-budget",
        type=argument(parsing.duration_s),
        default=_SECONDS,
        metavar="TIME",
        help="time limit for the comparison, without pauses, e.g. 90s, 5m (default: 3m)",
    )
    output = verify.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help=JSON_HELP)
    output.add_argument("-q", "--quiet", action="store_true", help="no progress on standard error")
    add_profiles(verify)
    verify.set_defaults(run=_run)


def _sayer(arguments: argparse.Namespace) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not (arguments.json or arguments.quiet):
            print(f"aio-tuned: {text}", file=sys.stderr, flush=True)

    return say


def _run(arguments: argparse.Namespace) -> int:
    limit_threads()
    # Imported here because these load numpy and asyncio, which only this command needs.
    import random

    from aio_tuned.launch.verify import run, sides, table
    from aio_tuned.sweep.one_shot import run_interruptibly

    config = read_config(arguments)
    request = run.Request(
        folder=arguments.path.absolute(),
        consumer=arguments.consumer,
        python=run.interpreter(arguments.python),
        config=config,
        profiles=arguments.profiles or config.profiles,
        seconds=arguments.time_budget,
        dice=random.SystemRandom(),
        say=_sayer(arguments),
    )
    try:
        outcome = run_interruptibly(run.verify(request))
    except sides.SameSettingsError as same:
        print(json.dumps({"verdict": None, "note": str(same)}, indent=2) if arguments.json else same)
        return Exit.OK
    if arguments.json:
        print(json.dumps(table.document(outcome), indent=2))
    else:
        print("\n".join(table.lines(outcome)))
    if outcome.kept is None:
        low, high = outcome.comparison.both.ci95
        raise TimedOutError(
            f"{arguments.consumer}: undecided after the budget: the interval of the ratio is {low:.3f} to {high:.3f};"
            " nothing was kept; repeat it with a longer --time-budget, or when the drive is idle"
        )
    return Exit.OK
