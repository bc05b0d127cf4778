"""Composition root of the daemon: builds the adapters and hands them to the supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from aio_tuned import config as configuration
from aio_tuned import control, journald, publish, status
from aio_tuned.errors import ConfigError, PublishError
from aio_tuned.ledger import Ledger
from aio_tuned.mount_watch import MountWatch
from aio_tuned.notify import Notify
from aio_tuned.shelf import Shelf
from aio_tuned.supervisor import Supervisor, ledger_path, tally_path
from aio_tuned.tally import Tally
from aio_tuned.udev_source import UdevSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.config import Config

_log = logging.getLogger(__name__)


def run(config: Config, load_config: Callable[[], Config], helper: Path | None = None) -> None:
    """Be the daemon until SIGTERM or SIGINT. BusyError if there is one already."""
    journald.log()
    lock = status.hold_lock(config.runtime)
    try:
        asyncio.run(_run(config, load_config, helper))
    finally:
        os.close(lock)
    # A thread that a dead drive holds in the kernel must not hold us.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


async def _run(config: Config, load_config: Callable[[], Config], helper: Path | None) -> None:
    for folder in (config.state, config.profiles):
        try:
            publish.make_folder(folder)
        except PublishError as error:
            _log.error("%s", error)  # it is tried again with every profile
    notify = Notify()
    # Both follow from now on: what happens while the first look is taken comes as an event.
    source, mount_watch = UdevSource(), MountWatch()
    supervisor = Supervisor(
        config,
        load_config=load_config,
        source=source,
        mount_watch=mount_watch,
        notify=notify,
        shelf=Shelf(config.profiles, config.state),
        ledger=Ledger.open(ledger_path(config.state)),
        tally=Tally.open(tally_path(config.state)),
        helper=helper,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    server = await control.serve(control.socket_path(config.runtime), supervisor.answer)
    try:
        await supervisor.run()
    finally:
        server.close()
        mount_watch.close()
        source.close()
        notify.close()


def loader(path: Path | None, config: Config) -> Callable[[], Config]:
    """What SIGHUP reads the configuration with. ConfigError if the paths differ: those hold for the daemon's life."""

    def load() -> Config:
        fresh = configuration.load(path, must_exist=True) if path else configuration.load()
        paths = ("profiles", "state", "runtime")
        moved = [name for name in paths if getattr(fresh, name) != getattr(config, name)]
        if moved:
            raise ConfigError(f"[paths] {', '.join(moved)}: changed paths need a restart: systemctl restart aio-tuned")
        return fresh

    return load
