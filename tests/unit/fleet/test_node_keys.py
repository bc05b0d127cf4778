"""The file of public keys of nodes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.errors import ConfigError
from aio_tuned.fleet.node_keys import parse
from aio_tuned.fleet.signature import Keyring, SigningKey

KEYS = [SigningKey(Ed25519PrivateKey.generate()).public for _ in range(3)]


def test_lines_have_a_node_and_its_key() -> None:
    text = f"# all nodes of hall 2\n\nnode-1 {KEYS[0]}\n  node-2\t{KEYS[1]}  # moved in May\n* {KEYS[2]}\n* {KEYS[0]}"
    found = parse(text, "node-keys")
    assert dict(found.by_node) == {"node-1": KEYS[0], "node-2": KEYS[1]}
    assert found.nodes == (KEYS[2], KEYS[0])
    Keyring.of(nodes=found.nodes, by_node=found.by_node)


def test_an_empty_file_has_no_keys() -> None:
    assert parse("# none yet\n", "node-keys") == ({}, ())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("node-1", r"line 2: has 1 words; write a node and its public key"),
        (f"node-1 {KEYS[0]} {KEYS[1]}", r"line 2: has 3 words"),
        ("node-1 AAAA", r"line 2: 'AAAA' is not an Ed25519 public key of 32 bytes in base64"),
        (f"node-1 {KEYS[0][:-1]}", r"line 2: .* is not an Ed25519 public key"),
        ("node-1 schlüssel", r"line 2: .* is not an Ed25519 public key"),
        (f"../n {KEYS[0]}", r"line 2: .\.\./n. is not a "),
        (f"n0 {KEYS[1]}", r"line 2: n0 has two keys; keep one of the two lines"),
    ],
    # The keys are others in each process.
    ids=["no key", "two keys", "a short key", "a key without its end", "no ASCII", "a path", "a node twice"],
)
def test_a_wrong_line_is_named(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^/etc/aio-tuned/node-keys: {said}"):
        parse(f"n0 {KEYS[0]}\n{line}\n", "/etc/aio-tuned/node-keys")
