"""What a program of the fleet needs to take part: the node's name, the trusted keys, the credentials, and the store."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import trust
from aio_tuned.config import fleet_section
from aio_tuned.errors import ConfigError
from aio_tuned.fleet import node_keys, wire
from aio_tuned.fleet.signature import Keyring, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config
    from aio_tuned.fleet.store import Store

PASSWORD = "password"  # noqa: S105 - the name of the credential
SIGNING_KEY = "signing-key"
_MOST_BYTES = 16 << 10


def node_name(config: Config) -> str:
    """Return the name of this node, by default the Node's or the host's; raise ConfigError if keys cannot have it."""
    name = fleet_section.node_name(config.fleet_node)
    try:
        return wire.host(name)
    except ValueError as error:
        raise ConfigError(f"host name: {error}; set [fleet] node") from None


def keyring(config: Config) -> Keyring:
    """Return the keys that are trusted: those of the coordinators, and those of the nodes if their file is configured.

    Raise ConfigError without the key of a coordinator, and if the file cannot be read, is wrong, or is not trusted.
    """
    if not config.fleet_trusted_keys:
        raise ConfigError("[fleet] trusted_keys: has none; give the public key of each coordinator")
    by_node, nodes = _node_keys(config.fleet_node_keys) if config.fleet_node_keys else ({}, ())
    return Keyring.of(nodes=nodes, coordinators=config.fleet_trusted_keys, by_node=by_node)


def _node_keys(path: Path) -> node_keys.NodeKeys:
    try:
        return node_keys.parse(trust.read_text(path, trust.callers()), str(path))
    except trust.UntrustedError as error:
        raise ConfigError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None


def credential(name: str) -> bytes:
    """Return a credential of this unit; raise ConfigError if systemd gave it none of that name, or an empty one."""
    what = f"credential {name}"
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(
            f"{what}: no credentials were given; start the program by its unit, which has LoadCredential="
        )
    try:
        with (Path(folder) / name).open("rb") as file:
            found = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{what}: is missing; add LoadCredential={name}:FILE to the unit") from None
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read: {error.strerror}") from None
    if not 0 < len(found) <= _MOST_BYTES:
        raise ConfigError(f"{what}: has no bytes, or more than {_MOST_BYTES}; give another file")
    return found


def password() -> str:
    """Return the password of the store's user, from the credential of this unit."""
    return password_in(credential(PASSWORD), f"credential {PASSWORD}")


def password_in(data: bytes, what: str) -> str:
    """Return the password in the bytes of a file, without the end of its line; raise ConfigError if there is none."""
    try:
        found = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigError(f"{what}: not UTF-8; write the password in one line of UTF-8") from None
    if not found or "\n" in found:
        raise ConfigError(f"{what}: not one line; write the password in one line")
    return found


def signing_key() -> SigningKey:
    """Return the private key of this node or coordinator, from the credential of this unit."""
    return SigningKey.from_pem(credential(SIGNING_KEY), f"credential {SIGNING_KEY}")


def open_store(
    config: Config, keyring: Keyring, *, user: str, password: str, sleep: Callable[[float], None] = time.sleep
) -> Store:
    """Return this user's access to the store of the fleet; raise ConfigError if a key or a package for it is missing.

    `sleep` is called between the attempts of a call. Nothing is sent before the first call.
    """
    if config.fleet_store == "kubernetes":
        from aio_tuned.fleet.kubernetes_store import KubernetesStore

        return KubernetesStore.open(config.fleet_endpoints, keyring, sleep=sleep)
    if config.fleet_ca_file is None:
        raise ConfigError("[fleet] ca_file: is not set; give the certificate of the authority that signed etcd's")
    # The package is loaded where it is used, because the other store needs none of it.
    from aio_tuned.fleet.etcd_connection import EtcdAccess, EtcdConnection
    from aio_tuned.fleet.etcd_store import EtcdStore

    access = EtcdAccess(endpoints=config.fleet_endpoints, user=user, password=password, ca_file=config.fleet_ca_file)
    return EtcdStore(EtcdConnection(access, sleep=sleep), keyring)
