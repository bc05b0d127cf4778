"""An etcd that has reached its quota: writes are refused by name, reads go on, and all goes on once it has space."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import Slot, report
from aio_tuned.fleet.store import FullError, ReportId
from fleet.etcd_cluster import etcd_cluster
from fleet.shared_stores import COORDINATOR_KEY, KEYRING, NODE_KEY, USERS
from unit.support.fleet import CLASS, class_pin, class_plan, class_result, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet.etcd_cluster import EtcdCluster

QUOTA_BYTES = 4 << 20
MAD = ReportId("n2", "mad", "sweep")
REPORT = NODE_KEY.sign(sweep_report())
PLAN = COORDINATOR_KEY.sign(class_plan())
RESULT = COORDINATOR_KEY.sign(class_result())


@pytest.fixture
def small_cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path, quota_backend_bytes=str(QUOTA_BYTES)) as made:
        for user, rights in USERS.items():
            made.add_user(user, rights)
        yield made


def store_of(cluster: EtcdCluster, user: str) -> EtcdStore:
    return EtcdStore(EtcdConnection(cluster.access(user)), KEYRING)


def fill(cluster: EtcdCluster) -> None:
    """Write one key again and again, as a node that went mad would; without compaction etcd keeps each value."""
    connection = EtcdConnection(cluster.access("n2"))
    key, value = (base64.b64encode(text.encode()).decode() for text in (report(*MAD), "x" * (1 << 19)))

    def write() -> None:
        for _ in range(2 * QUOTA_BYTES >> 19):
            connection.call("kv/put", {"key": key, "value": value})

    with pytest.raises(FullError, match="compact and defragment etcd, or raise its quota"):
        write()


def test_writes_are_refused_until_etcd_has_space_and_reads_are_not(small_cluster: EtcdCluster) -> None:
    node, coordinator, operator = (store_of(small_cluster, user) for user in ("n1", "coordinator", "operator"))
    node.put_report(REPORT)
    coordinator.put_plan(PLAN)
    entry = coordinator.put_class(RESULT, coordinator.get_class(CLASS))
    operator.put_pin(class_pin())
    held = node.claim(Slot("claim", CLASS, 0), "n1", 60)
    assert held
    begin = coordinator.watch(None, 0).revision
    fill(small_cluster)
    for write in (
        lambda: node.put_report(REPORT),
        lambda: node.claim(Slot("claim", CLASS, 1), "n1", 60),
        lambda: coordinator.put_plan(PLAN),
        lambda: coordinator.put_class(RESULT, entry),
        lambda: operator.put_pin(class_pin()),
    ):
        with pytest.raises(FullError):
            write()
    assert (node.get_plan(CLASS), node.get_class(CLASS), list(node.list_reports("n1"))) == (PLAN, entry, [REPORT])
    assert coordinator.watch(begin, 10).reports == {MAD}
    node.keep_alive(held)
    node.release(held)
    assert operator.delete_pin(CLASS)

    small_cluster.ctl("compact", str(coordinator.watch(None, 0).revision))
    small_cluster.ctl("defrag")
    small_cluster.ctl("alarm", "disarm")
    node.put_report(REPORT)
    coordinator.put_class(RESULT, entry)
    assert node.claim(Slot("claim", CLASS, 0), "n1", 60)
