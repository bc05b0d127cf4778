"""How a pod finds the API server, its namespace and its node, and whom it trusts."""

from __future__ import annotations

import base64
import json
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import ConfigError
from aio_tuned.fleet import service_account
from aio_tuned.fleet.kube_connection import KubeAccess, KubeConnection
from aio_tuned.fleet.service_account import Node, node_of
from aio_tuned.fleet.store import LoginError, TlsError
from fleet.kube_api import kube_api
from fleet.kube_manifests import User
from fleet.relay import expired_certificate

if TYPE_CHECKING:
    from pathlib import Path

IN_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"sub": "x", "kubernetes.io": claims}).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def mounted(folder: Path) -> Path:
    (folder / "token").write_text("abc\n")
    (folder / "ca.crt").write_text("certificate")
    (folder / "namespace").write_text("fleet-7")
    return folder


def test_a_pod_knows_the_server_and_its_namespace(tmp_path: Path) -> None:
    folder = mounted(tmp_path)
    found = service_account.access(folder, IN_POD)
    assert (found.server, found.ca_file, found.token()) == ("https://10.96.0.1:443", folder / "ca.crt", "abc")
    assert service_account.namespace(folder) == "fleet-7"
    six = service_account.access(folder, IN_POD | {"KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert six.server == "https://[fd00::1]:443"


def test_a_token_that_the_kubelet_renewed_is_read_again(tmp_path: Path) -> None:
    found = service_account.access(mounted(tmp_path), IN_POD)
    (tmp_path / "token").write_text("def")
    assert found.token() == "def"
    (tmp_path / "token").unlink()
    with pytest.raises(LoginError, match="cannot be read"):
        found.token()


@pytest.mark.parametrize("environ", [{}, IN_POD])
def test_outside_a_pod_the_error_names_both_ways(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"fleet\.yaml, or run `kubectl proxy` and set endpoints"):
        service_account.access(tmp_path, environ)
    assert service_account.namespace(tmp_path) == "aio-tuned"


def test_the_node_is_that_of_the_token() -> None:
    assert node_of(token(node={"name": "n1", "uid": "u1"}, namespace="x")) == Node("n1", "u1")


@pytest.mark.parametrize(
    "text", ["", "abc", "a.b.c", "a.%%.c", token(), token(node="n1"), token(node={"name": "n1"}), "a.bnVsbA.c"]
)
def test_a_token_without_a_node_has_none(text: str) -> None:
    assert node_of(text) is None


@pytest.mark.parametrize(
    "server",
    ["http://10.0.0.1:8001", "https://", "ftp://127.0.0.1", "https://user:secret@host", "https://host?x=1", "host"],
)
def test_a_server_without_tls_is_this_host_alone(server: str) -> None:
    with pytest.raises(ConfigError, match="is no API server"):
        KubeAccess(server=server)
    for allowed in ("http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001", "https://10.0.0.1:6443"):
        KubeAccess(server=allowed)


def test_a_certificate_that_is_not_trusted_ends_the_call(tmp_path: Path) -> None:
    certificate = expired_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ExitStack() as stack:
        served = stack.enter_context(kube_api({"": User()}, lambda found: context.wrap_socket(found, server_side=True)))
        access = KubeAccess(server=served.url.replace("http:", "https:"), ca_file=certificate)
        connection = KubeConnection(access, give_up_s=0)
        stack.callback(connection.close)
        with pytest.raises(TlsError, match="its certificate is not trusted"):
            connection.call("GET", "/apis/aio-tuned.io/v1alpha1/drivereports")
        assert served.calls == []
