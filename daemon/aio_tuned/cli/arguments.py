"""The parser class, the argument types and the configuration in use, which all commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aio_tuned import trust
from aio_tuned.config.load import Config, load_config
from aio_tuned.config.parsing import did_you_mean
from aio_tuned.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATH_HELP = "directory, file or block device"
DEFAULT_HELP = "DeepSpeed's defaults if there is no usable profile"
JSON_HELP = "one JSON document"

_T = TypeVar("_T")


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line and one on the help, and exits with 64 (sysexits(3))."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; exit() does not return
        """Print the message and the command that prints the help, and exit."""
        print(f"{self.prog}: {message}\ntry '{self.prog} --help'", file=sys.stderr)
        self.exit(Exit.USAGE)

    def parse_known_args(  # type: ignore[override]  # argparse has overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, but report unknown arguments here: argparse reports those of a command without it."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0]
            kind = "option" if word.startswith("-") else "argument"
            known = self._option_string_actions if kind == "option" else ()
            self.error(f"unexpected {kind} {word!r}{did_you_mean(word.partition('=')[0], known)}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Raise ArgumentError if the value is none of the action's choices; argparse calls this for each value."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = did_you_mean(str(value), known)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name for it
            raise argparse.ArgumentError(None, f"unknown command {value!r}{near}")
        raise argparse.ArgumentError(action, f"{value!r} is not one of {', '.join(known)}{near}")


def argument(parse: Callable[[object], _T]) -> Callable[[str], _T]:
    """Make an argument's type from a parser of config/parsing.py, so that argparse shows the text of its ValueError."""

    def convert(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def not_empty(text: str) -> str:
    """Return the argument; raise ArgumentTypeError if it is empty, as from an unset variable of a script."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def path(text: str) -> Path:
    """Return the argument as a path; raise ArgumentTypeError if it is empty: Path("") is the current folder."""
    return Path(not_empty(text))


def read_config(arguments: argparse.Namespace) -> Config:
    """Return the configuration that --config names, which must exist, or else the default one.

    A file that the caller names may belong to the caller, also when that is the user of sudo, who may run any program
    as root. A file that other users can write is refused, because every user trusts the profiles that depend on it.
    Raise ConfigError if the configuration is invalid or not trusted.
    """
    if arguments.config is not None:
        return load_config(arguments.config, must_exist=True, owners=trust.callers())
    return load_config()


def add_profiles(command: argparse.ArgumentParser) -> None:
    """Add the option for the folder of the profiles."""
    command.add_argument("--profiles", type=path, metavar="DIR", help="folder of the profiles (default: as configured)")


def profiles(arguments: argparse.Namespace) -> Path:
    """Return the folder of the profiles: as given, or else as configured."""
    given: Path | None = arguments.profiles
    return given or read_config(arguments).profiles
