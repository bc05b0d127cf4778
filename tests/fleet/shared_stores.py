"""Stores of a fleet, for the same users in memory, on etcd, and on a stand-in for Kubernetes."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import coordinator_rights, node_rights, operator_rights
from aio_tuned.fleet.memory_store import MemoryStore, SharedMemory
from aio_tuned.fleet.signature import Keyring, SigningKey
from fleet import kube_stores

if TYPE_CHECKING:
    from contextlib import ExitStack

    from aio_tuned.fleet.keys import Right
    from aio_tuned.fleet.store import Store
    from fleet.etcd_cluster import EtcdCluster
    from fleet.kube_api import KubeApi

NODE_KEY, COORDINATOR_KEY, STRANGERS_KEY = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(3))
KEYRING = Keyring.of(nodes=[NODE_KEY.public], coordinators=[COORDINATOR_KEY.public])
USERS: dict[str, tuple[Right, ...]] = {
    "n1": node_rights("n1"),
    "n2": node_rights("n2"),
    "coordinator": coordinator_rights(),
    "operator": operator_rights(),
}
# Each test has a class and racks of its own, since all share one etcd.
_numbers = itertools.count(1)


@dataclass(eq=False)
class Fleet:
    """Stores by the user, and time."""

    cluster: EtcdCluster | None
    stack: ExitStack
    kube: KubeApi | None = None
    now_s: float = 0.0
    number: int = field(default_factory=lambda: next(_numbers))
    shared: SharedMemory = field(init=False)

    def __post_init__(self) -> None:
        self.shared = SharedMemory(clock=lambda: self.now_s)

    @property
    def hardware_class(self) -> str:
        return f"{self.number:016x}"

    @property
    def drive(self) -> str:
        return f"nvme-ACME_X1_S{self.number}_1"

    def store(self, user: str, **changes: Any) -> Store:  # noqa: ANN401 - of the connection
        if self.kube:
            return kube_stores.kube_store(self.kube, user, KEYRING, self.stack, **changes)
        if not self.cluster:
            return MemoryStore(self.shared, KEYRING, USERS[user])
        connection = EtcdConnection(self.cluster.access(user), **changes)
        self.stack.callback(connection.close)
        return EtcdStore(connection, KEYRING)

    def put_raw(self, key: str, text: str) -> None:
        """Write what an operator, or a node with foreign rights, could write."""
        if self.kube:
            kube_stores.put_raw(self.kube, key, text, self.stack)
        elif self.cluster:
            self.cluster.ctl("put", "--", key, text)
        else:
            with self.shared.changed:
                self.shared.put(key, text)

    def wait(self, seconds: float) -> None:
        """Let leases end."""
        if self.cluster:
            time.sleep(seconds)
        if self.kube:
            self.kube.ahead_s += seconds
        self.now_s += seconds
