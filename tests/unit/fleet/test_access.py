"""The node's name, the trusted keys, the credentials, and the store, from the configuration and the unit."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.config.load import Config
from aio_tuned.errors import ConfigError, FleetDataError
from aio_tuned.fleet import access
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.signature import Keyring, SigningKey
from unit.support.fleet import class_result, sweep_report

if TYPE_CHECKING:
    from pathlib import Path

NODE, OTHER, COORDINATOR = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(3))
USER: dict[str, Any] = {"user": "n1", "password": "secret"}


def config(**changes: Any) -> Config:  # noqa: ANN401 - any field
    return replace(Config(), fleet=True, fleet_trusted_keys=(COORDINATOR.public,), **changes)


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


# --- the node's name --------------------------------------------------------------------------------------


def test_a_node_has_the_name_of_its_host_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-17.hall-2")
    assert access.node_name(config()) == "gpu-17.hall-2"
    assert access.node_name(config(fleet_node="n17")) == "n17"


def test_a_node_of_kubernetes_has_the_name_of_its_node_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "ip-10-0-0-7.ec2.internal")
    assert access.node_name(config()) == "ip-10-0-0-7.ec2.internal"
    assert access.node_name(config(fleet_node="n17")) == "n17"


def test_a_host_name_that_is_no_part_of_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a/b")
    with pytest.raises(ConfigError, match=r"^host name: .a/b. is not a .*; set \[fleet\] node$"):
        access.node_name(config())


# --- keys -------------------------------------------------------------------------------------------------


def test_a_node_trusts_its_coordinators_alone() -> None:
    found = access.keyring(config())
    found.read_result(COORDINATOR.sign(class_result()).text)
    for signer in (NODE, OTHER):
        with pytest.raises(FleetDataError, match="signed by no trusted key"):
            found.read_result(signer.sign(class_result()).text)
        with pytest.raises(FleetDataError, match="signed by no trusted key"):
            found.read_report(signer.sign(sweep_report()).text)


def test_a_coordinator_trusts_the_nodes_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "node-keys"
    path.write_text(f"n1 {NODE.public}\n")
    found = access.keyring(config(fleet_node_keys=path))
    found.read_report(NODE.sign(sweep_report("n1")).text)
    with pytest.raises(FleetDataError, match="signed by no trusted key"):
        found.read_report(OTHER.sign(sweep_report("n1")).text)


def test_without_a_coordinators_key_nothing_could_be_trusted() -> None:
    with pytest.raises(ConfigError, match=r"^\[fleet\] trusted_keys: has none; give the public key"):
        access.keyring(Config())


def test_a_file_of_keys_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node-keys"
    path.write_text(f"n1 {NODE.public}\n")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match=r"node-keys: not trusted: writable by other users .*chmod go-w"):
        access.keyring(config(fleet_node_keys=path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, r"node-keys: cannot be read: No such file or directory"),
        (b"\xff", r"node-keys: cannot be read: not UTF-8"),
        (b"n1 AAAA", r"node-keys: line 1: 'AAAA' is not an Ed25519 public key"),
    ],
)
def test_a_file_of_keys_that_cannot_be_read_is_named(tmp_path: Path, data: bytes | None, said: str) -> None:
    path = tmp_path / "node-keys"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        access.keyring(config(fleet_node_keys=path))


# --- credentials ------------------------------------------------------------------------------------------


def test_credentials_are_those_of_the_unit(credentials: Path) -> None:
    (credentials / "password").write_text("secret\n")
    (credentials / "signing-key").write_bytes(NODE.to_pem())
    assert access.credential("password") == b"secret\n"
    assert access.password() == "secret"
    assert access.signing_key().public == NODE.public


def test_without_the_unit_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match=r"^credential password: no credentials were given; start the program by its"):
        access.password()


def test_a_credential_that_is_missing_is_named(credentials: Path) -> None:
    assert not list(credentials.iterdir())
    with pytest.raises(ConfigError, match=r"^credential signing-key: is missing; add LoadCredential=signing-key:FILE"):
        access.signing_key()


@pytest.mark.parametrize("data", [b"", bytes(17 << 10)])
def test_a_credential_without_bytes_or_with_too_many_is_refused(credentials: Path, data: bytes) -> None:
    (credentials / "signing-key").write_bytes(data)
    with pytest.raises(ConfigError, match=r"^credential signing-key: has no bytes, or more than 16384"):
        access.signing_key()


def test_a_credential_that_cannot_be_read_is_named(credentials: Path) -> None:
    (credentials / "password").mkdir()
    with pytest.raises(ConfigError, match=r"^credential password: cannot be read: Is a directory"):
        access.password()


def test_a_key_that_is_none_is_refused(credentials: Path) -> None:
    (credentials / "signing-key").write_text("secret")
    with pytest.raises(ConfigError, match=r"^credential signing-key: not an Ed25519 private key") as raised:
        access.signing_key()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "password"), [(b"a b", "a b"), (b" a \n", " a "), (b"a\r\n", "a"), ("schlüssel\n".encode(), "schlüssel")]
)
def test_a_password_is_one_line(data: bytes, password: str) -> None:
    assert access.password_in(data, "FILE") == password


@pytest.mark.parametrize("data", [b"\n", b"a\nb\n", b"a\n\n", b"\xff\n"])
def test_any_other_text_is_no_password(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^FILE: not .*; write the password in one line"):
        access.password_in(data, "FILE")


# --- the store --------------------------------------------------------------------------------------------


def test_the_store_is_etcd(tmp_path: Path) -> None:
    made = access.open_store(
        config(fleet_endpoints=("https://etcd-1:2379",), fleet_ca_file=tmp_path / "ca.pem"),
        Keyring.of(),
        **USER,
    )
    assert isinstance(made, EtcdStore)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fleet_endpoints": ("https://etcd-1:2379",)}, r"^\[fleet\] ca_file: is not set"),
        ({}, r"^\[fleet\] endpoints: has none"),
    ],
)
def test_etcd_needs_endpoints_and_a_ca(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    given = {"fleet_ca_file": tmp_path / "ca.pem"} if not changes else {}
    with pytest.raises(ConfigError, match=said):
        access.open_store(config(**given, **changes), Keyring.of(), **USER)
