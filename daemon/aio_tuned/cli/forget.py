"""The command forget."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.arguments import not_empty, read_config
from aio_tuned.devices import resolve, sysfs
from aio_tuned.devices.lock import lock_device
from aio_tuned.errors import AioTunedError, BusyError, Exit, NotRunningError
from aio_tuned.storage import forget, targets
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    import argparse

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    command = commands.add_parser(
        "forget",
        help="remove the profile, samples and history of a drive",
        description="Remove the published profile of TARGET's drive, its samples and its history. Overrides stay. The"
        " drive must not be in a sweep. A running daemon does not sweep it again until aio-tuned retune, until it is"
        " plugged in again, or until the daemon is restarted.",
    )
    command.add_argument(
        "target",
        type=not_empty,
        metavar="TARGET",
        help="drive name (see history), profile file, directory, file or block device",
    )
    command.set_defaults(run=_run)


def _device(name: str, register: NameRegister) -> Device | None:
    """Return the present disk or volume of that name; None if it was removed."""
    for number in sysfs.names(sysfs.SYS / "dev/block"):
        try:
            if sysfs.whole_disk(number) == number:
                device = resolve.read_device(number)
                if register.name_of(device.name, device.id) == name:
                    return device
        except (AioTunedError, OSError):
            continue  # a device that cannot be read is not swept
    return None


def _remove(config: Config, name: str) -> str:
    """Remove the files while no daemon can start; return a sentence for the operator."""
    from aio_tuned.service.main import hold_lock

    lock = hold_lock(config.runtime)
    try:
        return f"{name}: {forget.removed(forget.remove(config.profiles, config.state, name))}"
    finally:
        os.close(lock)


def _run(arguments: argparse.Namespace) -> int:
    from aio_tuned.service import control  # loads asyncio

    config = read_config(arguments)
    register = NameRegister(config.profiles, config.state)
    found = targets.find_drive(
        arguments.target,
        lambda name: bool(forget.files(config.profiles, config.state, name)),
        f"{arguments.target}: neither a path nor a drive with stored data; aio-tuned history lists the drives",
        register,
    )
    device = _device(found.name, register)
    with ExitStack() as held:
        if device:
            try:
                held.enter_context(lock_device(device))
            except BusyError as error:
                raise BusyError(f"{error}; to stop a sweep of the daemon: aio-tuned stop {found.name}") from None
        try:
            said = control.ask(config.runtime, {"do": "forget", "name": found.name})
        except NotRunningError:
            said = _remove(config, found.name)
    print(said)
    return Exit.OK
