"""What the halves of the command line share: arguments of values.py's kinds, and the configuration in use."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

from aio_tuned.config.load import Config, load_config

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def argument(parse: Callable[[object], _T]) -> Callable[[str], _T]:
    """A parser of values.py as an argument's type: its ValueError text is shown."""

    def convert(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def read_config(arguments: argparse.Namespace) -> Config:
    """The configuration that --config names, which must exist then, or the usual one. ConfigError."""
    if arguments.config is not None:
        return load_config(arguments.config, must_exist=True)
    return load_config()
