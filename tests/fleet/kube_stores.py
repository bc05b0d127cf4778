"""Stores on the stand-in for an API server, for the accounts of docs/kubernetes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet import drive_class_object, drive_report_object, keys
from aio_tuned.fleet.kube_connection import KubeAccess, KubeConnection
from aio_tuned.fleet.kubernetes_store import API, PLAN_KIND, PLAN_PLURAL, KubernetesStore
from aio_tuned.fleet.service_account import Node
from aio_tuned.fleet.store import ReportId
from fleet.kube_manifests import User

if TYPE_CHECKING:
    from contextlib import ExitStack

    from aio_tuned.fleet.signature import Keyring
    from fleet.kube_api import KubeApi

NODES = ("n1", "n2")
ADMIN = "admin"
# The token of a user is the user's name.
TOKENS = {
    **{node: User("aio-tuned-fleet-agent", node) for node in NODES},
    "coordinator": User("aio-tuned-fleet-coordinator", "n7"),
    "operator": User("aio-tuned-fleet-operator"),
    ADMIN: User(),
}


def connection(api: KubeApi, user: str, stack: ExitStack, **changes: Any) -> KubeConnection:  # noqa: ANN401 - its own
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "token").write_text(user)
    made = KubeConnection(KubeAccess(server=api.url, token_file=folder / "token"), **changes)
    stack.callback(made.close)
    return made


def kube_store(
    api: KubeApi,
    user: str,
    keyring: Keyring,
    stack: ExitStack,
    **changes: Any,  # noqa: ANN401 - of KubeConnection
) -> KubernetesStore:
    node = Node(user, f"uid-of-{user}") if user in NODES else None
    # Pages of two, so that lists have several.
    return KubernetesStore(connection(api, user, stack, **changes), keyring, node=node, page=2)


def put_raw(api: KubeApi, key: str, text: str, stack: ExitStack) -> None:
    """Write a text where the store has that of a key, as an administrator can."""
    plural, kind, field = PLAN_PLURAL, PLAN_KIND, "spec"
    if key.startswith(keys.REPORTS):
        of = ReportId(*keys.report_of(key))
        plural, kind, name = drive_report_object.PLURAL, drive_report_object.KIND, of.node
        part: dict[str, Any] = drive_report_object.merge(of, text)
    elif key.startswith(keys.STATUSES):
        plural, kind, name = drive_class_object.PLURAL, drive_class_object.KIND, key.removeprefix(keys.STATUSES)
        field, part = "status", {"report": text}
    else:
        name, _, document = key.removeprefix(keys.CLASSES).partition("/")
        part = {{"consensus": "result"}.get(document, document): text}
    to, path = connection(api, ADMIN, stack), f"/apis/{API}/{plural}"
    if name not in [each["metadata"]["name"] for page in to.pages(path, {}, 100) for each in page]:
        spec = part if field == "spec" else {}
        to.call("POST", path, body={"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec})
    to.patch(f"{path}/{name}" + ("" if field == "spec" else "/status"), {field: part})
