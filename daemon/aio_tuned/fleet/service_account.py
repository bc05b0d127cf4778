"""The service account of a pod: how it reaches the API server, its namespace, and the node that it runs on."""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.errors import ConfigError
from aio_tuned.fleet.kube_connection import KubeAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# That of docs/kubernetes/fleet.yaml.
NAMESPACE = "aio-tuned"
_CLAIM = "kubernetes.io"


@dataclass(frozen=True, slots=True)
class Node:
    """A Node object: its name, and its identity, which another Node of the same name does not have."""

    name: str
    uid: str


def access(folder: Path = FOLDER, environ: Mapping[str, str] = os.environ) -> KubeAccess:
    """Return the access of this pod's account; raise ConfigError outside a pod, or without a token."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").exists():
        raise ConfigError(
            "[fleet] store: this is no pod with a service account; deploy docs/kubernetes/fleet.yaml, "
            'or run `kubectl proxy` and set endpoints = ["http://127.0.0.1:8001"]'
        )
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return KubeAccess(server=server, ca_file=folder / "ca.crt", token_file=folder / "token")


def namespace(folder: Path = FOLDER) -> str:
    """Return the namespace of the pod, by default NAMESPACE."""
    try:
        return (folder / "namespace").read_text(encoding="ascii").strip()
    except OSError:
        return NAMESPACE


def node_of(token: str) -> Node | None:
    """Return the node in a token, without a check of its signature: the API server checks it with each call.

    None if the token has none, as those of Kubernetes before 1.30.
    """
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[_CLAIM]["node"]
        return Node(found["name"], found["uid"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None
