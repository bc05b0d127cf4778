"""The file of public keys of nodes, which coordinators and operators have: a line "NODE PUBLICKEY" for each."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.errors import ConfigError
from aio_tuned.fleet import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

# In place of a node's name, for keys of all nodes without a line of their own.
OTHERS = "*"
_KEY_BYTES = 32


class NodeKeys(NamedTuple):
    """The keys of single nodes by their names, and those by which any other node may sign."""

    by_node: Mapping[str, str]
    nodes: tuple[str, ...]


def parse(text: str, origin: str) -> NodeKeys:
    """Return the keys in the text of a file; raise ConfigError, which names the origin and the line, for a wrong line.

    Empty lines, and all from "#" on, are comments. A node has one line, "*" may have several.
    """
    by_node: dict[str, str] = {}
    nodes: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            node, key = _parse_words(words)
            if node in by_node:
                raise ValueError(f"{node} has two keys; keep one of the two lines")  # noqa: TRY301 - as the others
        except ValueError as error:
            raise ConfigError(f"{origin}: line {number}: {error}") from None
        if node == OTHERS:
            nodes.append(key)
        else:
            by_node[node] = key
    return NodeKeys(MappingProxyType(by_node), tuple(nodes))


def _parse_words(words: list[str]) -> tuple[str, str]:
    if len(words) != len(("NODE", "PUBLICKEY")):
        raise ValueError(f"has {len(words)} words; write a node and its public key, such as: node-17 PUBLICKEY")
    node, key = words
    try:
        size = len(base64.b64decode(key, validate=True))
    except ValueError:
        size = 0
    if size != _KEY_BYTES:
        raise ValueError(f"{key!r} is not an Ed25519 public key of {_KEY_BYTES} bytes in base64")
    return node if node == OTHERS else wire.host(node), key
