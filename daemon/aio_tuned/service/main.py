"""The daemon's start: lock, event sources, files and supervisor."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import trust
from aio_tuned.config import load as config_file
from aio_tuned.consumers import proven
from aio_tuned.devices.mount_monitor import MountWatch
from aio_tuned.devices.udev_monitor import UdevSource
from aio_tuned.errors import BusyError, ConfigError, PrivilegeError, PublishError
from aio_tuned.journald import handler
from aio_tuned.service import control, export_text
from aio_tuned.service.sd_notify import Notify
from aio_tuned.service.supervisor import Supervisor
from aio_tuned.service.sweep_counter import SweepCounter, sweep_counts_path
from aio_tuned.service.waits import Waits, waits_path
from aio_tuned.service.write_ledger import Ledger, ledger_path
from aio_tuned.storage import atomic_file
from aio_tuned.storage.profile_store import ProfileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.config.load import Config

_log = logging.getLogger(__name__)


def run(config: Config, load_config: Callable[[], Config], helper: Path | None = None) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    `load_config` is called at each SIGHUP, and `helper` is the path of aio-sweep if it is not the installed one. Raise
    BusyError if another daemon is running, and ConfigError if other users can write to one of the daemon's folders.
    """
    check_folders(config)
    handler.log()
    lock = hold_lock(config.runtime)
    try:
        asyncio.run(_run(config, load_config, helper))
    finally:
        os.close(lock)
    # A thread may be blocked in the kernel by a drive that does not answer; os._exit() does not wait for it.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


async def _run(config: Config, load_config: Callable[[], Config], helper: Path | None) -> None:
    for folder in (config.state, config.profiles):
        try:
            atomic_file.make_folder(folder)
        except PublishError as error:
            _log.error("%s", error)  # no reason to end: the store retries with every profile
    notify = Notify()
    # The sources are opened before the first scan, so that changes during the scan arrive as events.
    source, mount_watch = UdevSource(), MountWatch()
    supervisor = Supervisor(
        config,
        load_config=load_config,
        source=source,
        mount_watch=mount_watch,
        notify=notify,
        store=ProfileStore(config.profiles, config.state, proven.holds),
        ledger=Ledger.open(ledger_path(config.state)),
        sweep_counter=SweepCounter.open(sweep_counts_path(config.state)),
        waits=Waits.open(waits_path(config.state)),
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


def check_folders(config: Config) -> None:
    """Raise ConfigError if users other than root may write to one of the daemon's folders or replace it.

    The daemon trusts the files in them: measured profiles, checkpoints and the count of bytes written to drives.
    """
    for folder in (config.profiles, config.state, config.runtime):
        try:
            trust.check_way(folder / "any")
        except trust.UntrustedError as error:
            raise ConfigError(str(error)) from None
        except OSError as error:
            raise ConfigError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None


def load_config(path: Path | None) -> Config:
    """Read the daemon's configuration, at `path` or at the default one; raise ConfigError if it is invalid.

    The file must be root's, even at a given `path`: the daemon runs unattended, so no user vouches for a file that
    another user can change.
    """
    config = config_file.load_config(path, must_exist=True) if path else config_file.load_config()
    export_text.check(config.export)
    return config


def loader(path: Path | None, config: Config) -> Callable[[], Config]:
    """Return a function that reads the configuration again, for SIGHUP.

    It raises ConfigError if the configuration is invalid or its [paths] differ from those of `config`.
    """

    def load() -> Config:
        fresh = load_config(path)
        paths = ("profiles", "state", "runtime")
        moved = [name for name in paths if getattr(fresh, name) != getattr(config, name)]
        if moved:
            raise ConfigError(f"[paths] {', '.join(moved)}: changed paths need a restart: systemctl restart aio-tuned")
        return fresh

    return load


def hold_lock(runtime: Path) -> int:
    """Take the daemon's lock, and return its descriptor, which must stay open.

    Raise BusyError if another daemon holds the lock, PrivilegeError if this process may not open it. Only root can open
    the file, because any other user who locks it would prevent the daemon from starting.
    """
    path = runtime / "daemon.lock"
    try:
        runtime.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise PrivilegeError(f"{path}: permission denied; run the command as root") from None
    except OSError as error:
        raise BusyError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise BusyError(
            f"{path}: the daemon is already running as process {holder}; stop it with: systemctl stop aio-tuned"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
