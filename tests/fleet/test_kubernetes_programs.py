"""Agents and coordinators on the stand-in for Kubernetes, beside daemons that do what their orders say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet.coordinator import Coordinator
from aio_tuned.fleet.kubernetes_store import KubernetesStore
from aio_tuned.fleet.service_account import Node as NodeObject
from fleet.kube_api import KubeApi, kube_api
from fleet.kube_manifests import User
from fleet.kube_stores import ADMIN, TOKENS, connection
from unit.support.fleet import CLASS
from unit.support.fleet_node import COORDINATOR_KEY, KEYRING, NODE_KEY, Node, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = [f"gpu-{number}" for number in range(6)]
# A lease of a minute is renewed every 20 s.
ROUND_S = 15.0
MOST_ROUNDS = 120
HASTY = Path(__file__).with_name("hasty_agent.py")
POLLS = 3
MOST_RSS_KIB = 48 << 10


class KubeFleet:
    """Six nodes of one class, and two coordinators."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        users = {name: User("aio-tuned-fleet-agent", name) for name in NODES}
        self.api: KubeApi = stack.enter_context(kube_api({**TOKENS, **users}))
        self.api.second_s = 0.02
        self.site = Site(folder)
        self.nodes = [self.site.node(name) for name in NODES]
        self.tasks: dict[str, list[str]] = {name: [] for name in NODES}
        for node in self.nodes:
            node.store = KubernetesStore(  # type: ignore[assignment]
                connection(self.api, node.name, stack), KEYRING, node=NodeObject(node.name, "uid")
            )
            node.restart()
            node.show()
        self.coordinators = [self._coordinator(name, stack) for name in ("c1", "c2")]
        self.admin = connection(self.api, ADMIN, stack)

    def _coordinator(self, name: str, stack: ExitStack) -> Coordinator:
        return Coordinator(
            KubernetesStore(connection(self.api, "coordinator", stack), KEYRING),
            COORDINATOR_KEY,
            name,
            7 * 86400.0,
            clock=lambda: self.site.now_s,
            monotonic=lambda: self.site.now_s,
            watch_s=0,
        )

    def step(self) -> None:
        """Let a quarter of a minute pass."""
        self.site.now_s += ROUND_S
        self.api.ahead_s += ROUND_S
        for coordinator in self.coordinators:
            coordinator.step()
        for node in self.nodes:
            node.agent.step()
            orders, refused = node.spool.orders()
            assert refused == ()
            if "d1" in orders:
                self._obey(node, orders["d1"].task)

    def _obey(self, node: Node, task: str) -> None:
        done = self.tasks[node.name]
        if task in ("sweep", "check") and task not in done:
            done.append(task)
            getattr(node, task)()

    def conditions(self) -> dict[str, str]:
        found = self.admin.call("GET", f"/apis/aio-tuned.io/v1alpha1/driveclasses/{CLASS}")["status"]
        return {each["type"]: each["reason"] for each in found["conditions"]}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[KubeFleet]:
    with ExitStack() as stack:
        yield KubeFleet(tmp_path, stack)


def test_three_nodes_sweep_and_the_others_check(fleet: KubeFleet) -> None:
    for _ in range(MOST_ROUNDS):
        fleet.step()
        if all(fleet.tasks.values()):
            break
    tasks = sorted(each[0] for each in fleet.tasks.values())
    assert tasks == ["check"] * 3 + ["sweep"] * 3
    for _ in range(5):
        fleet.step()
    (status,) = KubernetesStore(fleet.admin, KEYRING).list_statuses()
    assert (status.document.nodes, status.document.generation, status.document.swept) == (6, 1, 3)
    assert status.document.confirmed >= 3
    assert fleet.conditions() == {"Ready": "Settled", "RollingOut": "AllNodes", "Disagreement": "SweepsAgree"}
    assert all(each.trouble == "" for each in fleet.coordinators)
    assert all(each.agent.trouble == "" for each in fleet.nodes)


def test_another_coordinator_takes_the_lead_of_one_that_is_gone(fleet: KubeFleet) -> None:
    fleet.step()
    fleet.coordinators.pop(0)
    for _ in range(MOST_ROUNDS):
        fleet.step()
        if all(fleet.tasks.values()):
            break
    assert sorted(each[0] for each in fleet.tasks.values()) == ["check"] * 3 + ["sweep"] * 3
    (lease,) = fleet.admin.call(
        "GET",
        "/apis/coordination.k8s.io/v1/namespaces/aio-tuned/leases",
        params={"labelSelector": "aio-tuned.io/slots=leader-coordinator"},
    )["items"]
    assert lease["spec"]["holderIdentity"] == "c2"
    assert lease["spec"]["leaseTransitions"] >= 1


def test_the_agent_as_a_program_puts_reports_and_takes_less_than_48_mb(tmp_path: Path) -> None:
    """By an endpoint of this host, as `kubectl proxy` has it: its user is the one who runs that."""
    node = Site(tmp_path).node("n1")
    node.show()
    (tmp_path / "signing-key").write_bytes(NODE_KEY.to_pem())
    with kube_api({"": User()}) as api:
        config = tmp_path / "aio-tuned.conf"
        config.write_text(
            f"""[fleet]
enabled = true
store = "kubernetes"
endpoints = ["{api.url}"]
node = "n1"
trusted_keys = ["{COORDINATOR_KEY.public}"]
[paths]
state = "{tmp_path / "n1"}"
"""
        )
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, HASTY, "--config", config, "fleet", "agent"],
                env={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            ends = time.monotonic() + 30
            while sum("GET /apis/aio-tuned.io/v1alpha1/driveclassplans/" in call for call in api.calls) < POLLS:
                assert time.monotonic() < ends, (tmp_path / "log").read_text()
                time.sleep(0.1)
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        finally:
            process.kill()
            process.wait(timeout=30)
        assert "POST /apis/aio-tuned.io/v1alpha1/drivereports" in api.calls
    (kib,) = re.findall(r"^Rss: +([0-9]+) kB$", rollup, re.MULTILINE)
    print(f"agent: {int(kib) / 1024:.1f} MiB RSS")
    # A pod shares no pages with others, so its PSS is its RSS.
    assert int(kib) < MOST_RSS_KIB
