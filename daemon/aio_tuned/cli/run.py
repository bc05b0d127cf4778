"""The command run, which starts another command with the settings of a path."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING, Any

from aio_tuned import consumers
from aio_tuned.cli.arguments import PATH_HELP, add_profiles, argument, path, profiles
from aio_tuned.config import parsing
from aio_tuned.errors import AioTunedError, Exit, UsageError

if TYPE_CHECKING:
    from aio_tuned.launch.run import Prepared

_STDERR = 2


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    run = commands.add_parser(
        "run",
        help="start a command with the settings for a path",
        allow_abbrev=False,  # a word of the command's own, such as --pr, would be ambiguous
        usage="%(prog)s [options] -- COMMAND [ARGUMENT...]",
        description="Start COMMAND with the settings for I/O on PATH in its environment, and in files that variables"
        " name. What the environment already has stays. Without settings COMMAND starts unchanged."
        f" Consumers: {', '.join(consumers.NAMES)}.",
    )
    run.add_argument(
        "--for",
        dest="consumers",
        type=_names,
        default=(),
        metavar="CONSUMER,...",
        help="frameworks that get settings (default: all that read variables)",
    )
    run.add_argument("--path", type=path, metavar="PATH", help=f"{PATH_HELP} (default: the only drive with a profile)")
    run.add_argument(
        "--wait",
        type=argument(parsing.duration_s),
        metavar="TIME",
        help="longest wait for a measured profile of PATH, e.g. 5m (default: none)",
    )
    run.add_argument("--require", action="store_true", help="exit with 66 instead of starting without settings")
    run.add_argument("--print", action="store_true", help="print the settings, and start nothing")
    add_profiles(run)
    run.add_argument("command_line", nargs=argparse.REMAINDER, metavar="COMMAND", help="command, after --")
    run.set_defaults(run=_run)


def _names(text: str) -> tuple[str, ...]:
    """Return the consumers of a list with commas; raise ArgumentTypeError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in consumers.NAMES:
            near = parsing.did_you_mean(name, consumers.NAMES)
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(consumers.NAMES)}{near}")
    return names


def _say(text: str) -> None:
    # sys.stderr would replace a standard error that fails by /dev/null, and the command would inherit that.
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"aio-tuned: {text}\n".encode(errors="backslashreplace"))


def _run(arguments: argparse.Namespace) -> int:
    from aio_tuned.launch import run

    words = arguments.command_line
    command = words[1:] if words[:1] == ["--"] else words
    if not command and not arguments.print:
        raise UsageError("COMMAND: missing; write it after --")
    if arguments.wait is not None and arguments.path is None:
        raise UsageError("--wait: needs --path; pass the folder to wait for")
    environment = run.inherited_environment()
    prepared = _prepared(arguments, environment)
    if arguments.print:
        return _print(prepared, require=arguments.require)
    if prepared is None:
        return Exit.TARGET if arguments.require else run.start(command, environment)
    with run.placed(prepared, environment):
        _tell(prepared)
        if arguments.require and prepared.additions.failed:
            return Exit.TARGET
        return run.start(command, environment | prepared.additions.variables)


def _prepared(arguments: argparse.Namespace, environment: dict[str, str]) -> Prepared | None:
    """Return what the command gets; None after a message if there are no settings."""
    from aio_tuned.launch import run

    starts = not (arguments.require or arguments.print)
    try:
        return run.prepare(
            arguments.consumers,
            arguments.path,
            arguments.wait,
            profiles(arguments),
            environment,
            lambda missing: _say(f"waiting: {missing}"),
        )
    except AioTunedError as error:
        _say(f"{error}; the command starts unchanged" if starts else str(error))
    except Exception as error:  # noqa: BLE001 - the command must start whatever is wrong with the settings
        # The text of the error may have a value of the caller's.
        _say(f"settings: not used because of an unexpected {type(error).__name__}")
    return None


def _tell(prepared: Prepared, verb: str = "set") -> None:
    from aio_tuned.launch import run

    _say(run.described(prepared, verb))
    for reason in prepared.additions.failed:
        _say(f"not set: {reason}")


def _print(prepared: Prepared | None, *, require: bool) -> int:
    from aio_tuned.launch import run

    if prepared is None:
        return Exit.TARGET
    for line in run.shown(prepared):
        print(line)
    _tell(prepared, "would set")
    return Exit.TARGET if require and prepared.additions.failed else Exit.OK
