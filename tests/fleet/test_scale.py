"""Many nodes with eight drives each on a real etcd: what their reports take, and what is read of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.fleet.class_status import Noted
from aio_tuned.fleet.consensus import MOST_NAMES
from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import REPORTS, Right
from aio_tuned.fleet.store import IgnoredReport
from aio_tuned.search.grid import settings
from fleet.etcd_cluster import etcd_cluster
from fleet.shared_stores import COORDINATOR_KEY, KEYRING, NODE_KEY, USERS
from unit.support.fleet import class_status, direction_report, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet.etcd_cluster import EtcdCluster

DRIVES = 8
CLASSES = 12
THREADS = 8
PAGE = 1000
MIB = 1 << 20
STATUS_WITHIN_S = 3.0

GRID = Config().grid
# The largest report that drives of usual names have: both directions with their 16 best points.
PART = direction_report(13_512_345_678.0, settings(GRID)[-16:], 37)
REPORT = sweep_report(read=PART, write=PART, grid=GRID)


class CountingConnection(EtcdConnection):
    """Counts the calls."""

    calls = 0

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        return super().call(path, body)


@contextmanager
def stopwatch(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.2f} s")


@pytest.fixture
def empty_cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path) as made:
        made.add_user("coordinator", USERS["coordinator"])
        made.add_user("operator", USERS["operator"])
        made.add_user("nodes", (Right("readwrite", REPORTS),))
        yield made


def class_of(place: int) -> str:
    return f"{place % CLASSES:016x}"


def put_reports(cluster: EtcdCluster, nodes: range) -> None:
    store = EtcdStore(EtcdConnection(cluster.access("nodes")), KEYRING)
    for node in nodes:
        for drive in range(DRIVES):
            name = f"nvme-SAMSUNG_MZQL23T8HCLS-00A07_S64HNE0T5{node:05}{drive}_1"
            of = replace(REPORT, node=f"node-{node:05}.example.org", drive=name, hardware_class=class_of(node))
            store.put_report(NODE_KEY.sign(of))


def put_statuses(cluster: EtcdCluster) -> None:
    """Each names as many drives as one may."""
    store = EtcdStore(EtcdConnection(cluster.access("coordinator")), KEYRING)
    noted = tuple(Noted("odd", f"node-{place:05}.example.org", "d" * 60, "r" * 200) for place in range(MOST_NAMES))
    for place in range(CLASSES):
        store.put_status(COORDINATOR_KEY.sign(class_status(hardware_class=class_of(place), noted=noted)))


def show_status(cluster: EtcdCluster, folder: Path) -> None:
    """Run the operators' command, which is to take less than three seconds however large the fleet is."""
    conf = folder / "aio-tuned.conf"
    (folder / "password").touch(mode=0o600)
    (folder / "password").write_text("password of operator\n")
    (folder / "node-keys").write_text(f"* {NODE_KEY.public}\n")
    conf.write_text(
        f"[fleet]\nenabled = true\nendpoints = {json.dumps(list(cluster.endpoints))}\n"
        f'ca_file = "{cluster.folder}/ca.pem"\ntrusted_keys = ["{COORDINATOR_KEY.public}"]\n'
        f'node_keys = "{folder}/node-keys"\n'
    )
    login = ["--user", "operator", "--password-file", str(folder / "password")]
    with stopwatch(f"aio-tuned fleet status of {CLASSES} classes"):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "aio_tuned", "--config", str(conf), "fleet", "status", *login],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        took_s = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("10,000 nodes") >= CLASSES
    assert took_s < STATUS_WITHIN_S


def print_sizes(cluster: EtcdCluster) -> int:
    """Print what each member takes, and return the bytes of the largest database."""
    found = [each["Status"] for each in json.loads(cluster.ctl("endpoint", "status", "-w", "json"))]
    print(f"databases: {[round(each['dbSize'] / MIB, 1) for each in found]} MiB")
    print(f"memory: {[round(each / MIB) for each in cluster.memory_bytes()]} MiB")
    return max(int(each["dbSize"]) for each in found)


@pytest.mark.parametrize("nodes", [100, pytest.param(10_000, marks=pytest.mark.long)])
def test_operators_and_coordinators_read_a_whole_fleet(empty_cluster: EtcdCluster, nodes: int, tmp_path: Path) -> None:
    """Statuses take one call however many reports there are, and a report takes at most 2 KiB of the database."""
    cluster, count = empty_cluster, nodes * DRIVES
    before = print_sizes(cluster)
    with stopwatch(f"{count} reports put by {THREADS} threads"), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put_reports, [cluster] * THREADS, [range(part, nodes, THREADS) for part in range(THREADS)]))
    put_statuses(cluster)
    after = print_sizes(cluster)
    assert after - before < 2048 * count + 8 * MIB  # etcd reserves pages in advance
    connection = CountingConnection(cluster.access("operator"))
    operator = EtcdStore(connection, KEYRING)
    operator.get_pin(class_of(0))  # logs in
    connection.calls = 0
    with stopwatch(f"{CLASSES} statuses listed"):
        statuses = list(operator.list_statuses())
    assert [each.document.hardware_class for each in statuses] == [class_of(place) for place in range(CLASSES)]
    assert connection.calls == 1
    (tmp_path / "operator").mkdir()
    show_status(cluster, tmp_path / "operator")
    with stopwatch(f"{count} reports listed and their signatures checked"):
        found = [each for each in operator.list_reports() if not isinstance(each, IgnoredReport)]
    assert len({(each.document.node, each.document.drive) for each in found}) == len(found) == count
    assert connection.calls == 1 + -(-count // PAGE)
