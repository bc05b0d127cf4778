"""The checks of the section [fleet]: endpoints with TLS, public keys, and what a fleet cannot do without."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config

_EXAMPLE = "https://etcd-1:2379"
_KEY_BYTES = 32


class _Need(NamedTuple):
    """A key that a fleet needs, whether it is set, whether etcd alone needs it, and what to set."""

    key: str
    is_set: Callable[[Config], bool]
    of_etcd: bool
    remedy: str


_NEEDS = (
    _Need("endpoints", lambda config: bool(config.fleet_endpoints), True, f'name those of etcd, as ["{_EXAMPLE}"]'),
    _Need(
        "ca_file",
        lambda config: config.fleet_ca_file is not None,
        True,
        "name the file with the certificate of the authority that signed those of etcd",
    ),
    _Need(
        "trusted_keys",
        lambda config: bool(config.fleet_trusted_keys),
        False,
        "add the public key of each coordinator, which `aio-tuned fleet keygen` printed",
    ),
)


def endpoints(value: object) -> tuple[str, ...]:
    """Return a list of https URLs of hosts; raise ValueError for any other value, which may have a password."""
    found = _list(value, f'a list of URLs; write ["{_EXAMPLE}"]')
    for place, each in enumerate(found, start=1):
        if "@" in each:
            raise ValueError(
                f"item {place} has a user or a password; set the user as `user`, and put the password into the"
                " credential `password` of the unit"
            )
        if not _is_endpoint(each):
            raise ValueError(f'item {place} is not the https URL of a host; write it as "{_EXAMPLE}"')
    return found


def _list(value: object, what: str) -> tuple[str, ...]:
    """Return a list of texts without duplicates; raise ValueError, which does not show the value, for any other."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"not {what}, or [] for none")
    return tuple(dict.fromkeys(value))


def _is_endpoint(text: str) -> bool:
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:  # a port that is no number, or half of an IPv6 address
        return False
    is_more = parts.path.strip("/") or parts.query or parts.fragment
    return bool(parts.scheme == "https" and parts.hostname and port_fits and not is_more)


def public_keys(value: object) -> tuple[str, ...]:
    """Return a list of Ed25519 public keys, each 32 bytes in base64.

    Raise ValueError for any other value; it shows none of them, since it may be a private key.
    """
    found = _list(value, 'a list of public keys; write ["KEY"]')
    for place, each in enumerate(found, start=1):
        if not _is_public_key(each):
            raise ValueError(
                f"key {place} is not a public key of {_KEY_BYTES} bytes in base64; copy the line that `aio-tuned fleet"
                " keygen` printed"
            )
    return found


def _is_public_key(text: str) -> bool:
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return False
    # One key has one text only, so that lists of keys can be compared.
    return len(data) == _KEY_BYTES and base64.b64encode(data).decode("ascii") == text


def check(config: Config) -> None:
    """Raise ValueError, which names the key, if the fleet is enabled and lacks what it needs."""
    if not config.fleet:
        return
    for need in _NEEDS:
        if not need.is_set(config) and (config.fleet_store == "etcd" or not need.of_etcd):
            raise ValueError(f"{need.key}: not set, and the fleet needs it; {need.remedy}, or set enabled = false")
