"""The checks of the section [fleet]: endpoints with TLS, public keys, and what a fleet cannot do without."""

from __future__ import annotations

import base64
import binascii
import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXAMPLE = "https://etcd-1:2379"
_THIS_HOST = ("127.0.0.1", "::1", "localhost")
_KEY_BYTES = 32


# What a fleet needs, and how to set it.
_REMEDIES = {
    "endpoints": f'name those of etcd, as ["{_EXAMPLE}"]',
    "ca_file": "name the file with the certificate of the authority that signed those of etcd",
    "trusted_keys": "add the public key of each coordinator, which `aio-tuned fleet keygen` printed",
}
_OF_ETCD = ("endpoints", "ca_file")


def node_name(configured: str) -> str:
    """Return the name of this node: the configured one, that of the Node in a pod, or that of the host."""
    return configured or os.environ.get("NODE_NAME") or socket.gethostname()


def endpoints(value: object) -> tuple[str, ...]:
    """Return a list of https URLs of hosts; raise ValueError for any other value.

    The error does not show the value, which may have a password. http is for this host alone, as for `kubectl proxy`.
    """
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
    is_private = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_HOST)
    return bool(is_private and parts.hostname and port_fits and not is_more)


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


def check(store: str, given: Mapping[str, Any]) -> None:
    """Raise ValueError, which names the key, if a fleet that is enabled lacks what its store needs.

    `given` has the values of `endpoints`, `ca_file` and `trusted_keys`. etcd has no endpoint without TLS.
    """
    for key, remedy in _REMEDIES.items():
        if not given[key] and (store == "etcd" or key not in _OF_ETCD):
            raise ValueError(f"{key}: not set, and the fleet needs it; {remedy}, or set enabled = false")
    for place, each in enumerate(given["endpoints"], start=1):
        if store == "etcd" and not each.startswith("https:"):
            raise ValueError(f'endpoints: item {place} is not an https URL, which etcd needs; write it as "{_EXAMPLE}"')
