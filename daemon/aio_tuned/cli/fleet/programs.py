"""The programs of a fleet: the agent of a node, and the coordinator."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from aio_tuned.cli.fleet.login import enabled
from aio_tuned.errors import Exit
from aio_tuned.journald import handler

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from aio_tuned.config.load import Config


def agent(arguments: argparse.Namespace) -> int:
    """Connect this node to the fleet until SIGTERM or SIGINT."""
    config = enabled(arguments)
    from aio_tuned.fleet import agent as program

    return _until_stopped(program.run, config)


def coordinator(arguments: argparse.Namespace) -> int:
    """Compute the settings of each class until SIGTERM or SIGINT."""
    config = enabled(arguments)
    from aio_tuned.fleet import coordinator as program

    return _until_stopped(program.run, config)


def _until_stopped(run: Callable[[Config, threading.Event], None], config: Config) -> int:
    """Run a program, which ends by itself and gives back what it holds once its event is set."""
    handler.log()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(config, stop)
    return Exit.OK
