"""The store as the caller of a command may use it: the configuration, the user, and the password."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from typing import TYPE_CHECKING

from aio_tuned.cli.arguments import read_config
from aio_tuned.errors import ConfigError, TargetError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.fleet.store import Store

_MOST_BYTES = 16 << 10


def enabled(arguments: argparse.Namespace) -> Config:
    """Return the configuration; raise ConfigError if its fleet is not enabled."""
    config = read_config(arguments)
    if not config.fleet:
        raise ConfigError(
            "[fleet] enabled: is false; set it to true, with endpoints, ca_file and trusted_keys, as in"
            " docs/how-to/fleet.md"
        )
    return config


def user(arguments: argparse.Namespace) -> str:
    """Return the caller's name: the given one, or else that of the login."""
    given: str | None = arguments.user
    try:
        return given or getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("--user: missing, and this process has no login name; pass your user of etcd") from None


def open_store(arguments: argparse.Namespace, config: Config) -> Store:
    """Return the store as the caller may use it; raise ConfigError without a password or a package that it needs."""
    from aio_tuned.fleet import access

    keyring = access.keyring(config)
    if config.fleet_store != "etcd":  # Kubernetes knows the caller by the token of the pod
        return access.open_store(config, keyring, user="", password="")
    name = user(arguments)
    return access.open_store(config, keyring, user=name, password=_password(arguments.password_file, name))


def _password(file: Path | None, name: str) -> str:
    """Return the password from a file, the unit's credential, or a prompt.

    It is no argument, because every user sees the arguments of processes.
    """
    from aio_tuned.fleet import access

    if file is not None:
        return access.password_in(_private(file), str(file))
    if os.environ.get("CREDENTIALS_DIRECTORY"):
        return access.password()
    if not sys.stdin.isatty():
        raise ConfigError("--password-file: missing, and there is no terminal to ask; pass a file with the password")
    # getpass writes to the terminal itself, so that a pipe gets the output alone.
    return access.password_in(getpass.getpass(f"password of {name}: ").encode(), "password")


def _private(file: Path) -> bytes:
    """Return the bytes of a file; raise ConfigError if other users may read it. A pipe may stand in for a file."""
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"{file}: other users may read it (mode {stat.S_IMODE(status.st_mode):04o}); run chmod 600 {file}"
                )
            return opened.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def find_class(known: Iterable[str], given: str) -> str:
    """Return the class whose key is given, or begins so; raise TargetError if there is none, or more than one."""
    found = sorted(each for each in known if each.startswith(given))
    if not found:
        raise TargetError(f"class {given}: not of this fleet; aio-tuned fleet status lists the classes")
    if len(found) > 1:
        raise TargetError(f"class {given}: the start of {len(found)} classes; give more digits, as in {found[0]}")
    return found[0]
