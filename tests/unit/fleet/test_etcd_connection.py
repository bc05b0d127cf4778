"""The connection to etcd where none is: endpoints, pauses, and how long it tries."""

from __future__ import annotations

import importlib
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from aio_tuned.errors import ConfigError
from aio_tuned.fleet.etcd_connection import EtcdAccess, EtcdConnection, address_of
from aio_tuned.fleet.store import TlsError, UnreachableError


def access(*endpoints: str, **changes: Any) -> EtcdAccess:  # noqa: ANN401 - any field
    values = {"user": "n1", "password": "secret-word", "ca_file": Path("/nonexistent/ca.pem"), **changes}
    return EtcdAccess(endpoints=endpoints, **values)


@pytest.fixture
def closed() -> str:
    """An endpoint where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("https://etcd-1:2380", ("etcd-1", 2380)),
        ("https://etcd-1", ("etcd-1", 2379)),
        ("https://[::1]:7/", ("::1", 7)),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(endpoint: str, address: tuple[str, int]) -> None:
    assert address_of(endpoint) == address


@pytest.mark.parametrize(
    "endpoint",
    ["", "etcd-1:2379", "http://etcd-1:2379", "https://", "https://etcd-1:port", "https://user@etcd-1", "https://a/b"],
)
def test_an_endpoint_without_tls_or_host_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"\[fleet\] endpoints: .* is not a URL such as https://etcd-1:2379"):
        access(endpoint)


def test_no_endpoint_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="has none"):
        access()


def test_the_password_is_in_no_repr() -> None:
    assert "secret-word" not in repr(access("https://etcd-1"))


def test_pauses_grow_after_each_round_of_the_endpoints(closed: str) -> None:
    pauses: list[float] = []
    longest: list[float] = []

    def draw(low: float, high: float) -> float:
        longest.append(high)
        return low

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 14:
            raise KeyboardInterrupt

    connection = EtcdConnection(access(closed, closed, ca_file=Path(__file__)), sleep=sleep, draw=draw)
    with pytest.raises(KeyboardInterrupt):
        connection.call("kv/range", {})
    assert longest == [2, 0.5, 1, 2, 4, 8, 8, 8]  # the first one is drawn for the endpoint to begin with


def test_a_pause_that_would_end_too_late_is_not_made(closed: str) -> None:
    connection = EtcdConnection(
        access(closed, ca_file=Path(__file__)),
        give_up_s=1.0,
        sleep=lambda _: None,
        draw=lambda low, high: low if high == 1 else high,
    )
    with pytest.raises(UnreachableError, match="cannot be reached"):
        connection.call("kv/range", {})


def test_a_missing_tls_file_is_named(closed: str) -> None:
    with pytest.raises(TlsError, match=r"/nonexistent/ca\.pem; check the CA file of \[fleet\]"):
        EtcdConnection(access(closed), give_up_s=0).call("kv/range", {})


def test_without_the_package_the_error_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "etcd3gw.client", None)
    monkeypatch.delitem(sys.modules, "aio_tuned.fleet.etcd_connection")
    with pytest.raises(ConfigError, match=r"needs etcd3gw 2\.7 or newer: .* -m pip install 'etcd3gw>=2\.7'"):
        importlib.import_module("aio_tuned.fleet.etcd_connection")
