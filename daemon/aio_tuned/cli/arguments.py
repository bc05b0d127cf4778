"""What the modules of the command line share: the parser class, argument types and the configuration in use."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, TypeVar

from aio_tuned import trust
from aio_tuned.config.load import Config, load_config
from aio_tuned.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Parser(argparse.ArgumentParser):
    """A parser that exits with the code of sysexits(3) for wrong usage."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; exit() does not return
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n")


def argument(parse: Callable[[object], _T]) -> Callable[[str], _T]:
    """Make an argument's type from a parser of config/parsing.py, so that argparse shows the text of its ValueError."""

    def convert(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def read_config(arguments: argparse.Namespace) -> Config:
    """Read the configuration that --config names, which must exist, or else the default one.

    A file that the caller names may belong to the caller, through sudo too: who may run this as root gains nothing by
    it. What others can write is refused even then, because the profile that comes of it is trusted by all. Raise
    ConfigError if the configuration is invalid or not trusted.
    """
    if arguments.config is not None:
        return load_config(arguments.config, must_exist=True, owners=trust.callers())
    return load_config()
