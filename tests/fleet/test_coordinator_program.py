"""The coordinator as a program on a real etcd: it is killed in a rollout, members are killed, and a node lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet import keys
from aio_tuned.fleet.coordinator import METRICS_FILE
from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import Right, coordinator_rights
from aio_tuned.fleet.lead import SLOT
from aio_tuned.fleet.rollout import takes
from fleet.etcd_cluster import etcd_cluster
from fleet.shared_stores import COORDINATOR_KEY, KEYRING, NODE_KEY, STRANGERS_KEY
from processes import until
from unit.support.fleet import CLASS, POINTS, class_pin, direction_report, presence_report, rate_of, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.report import DriveReport
    from fleet.etcd_cluster import EtcdCluster

HASTY = Path(__file__).with_name("hasty_coordinator.py")
NODES = tuple(f"n{number}" for number in range(30))
# The names of the user in documents.
USER = "aio-tuned-coordinator"


@dataclass(eq=False)
class Site:
    """An etcd with the reports of 30 nodes, and coordinators by their names."""

    cluster: EtcdCluster
    folder: Path
    store: EtcdStore = field(init=False)
    programs: dict[str, subprocess.Popen[bytes]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.store = EtcdStore(EtcdConnection(self.cluster.access("everyone")), KEYRING)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "password").write_text(f"password of {USER}\n")
        (folder / "signing-key").write_bytes(COORDINATOR_KEY.to_pem())
        (folder / "node-keys").write_text(f"* {NODE_KEY.public}\n")
        made = {
            "enabled": True,
            "endpoints": list(self.cluster.endpoints),
            "ca_file": str(self.cluster.folder / "ca.pem"),
            "node": name,
            "trusted_keys": [COORDINATOR_KEY.public],
            "node_keys": str(folder / "node-keys"),
        }
        lines = ["[fleet]", *(f"{key} = {json.dumps(value)}" for key, value in made.items())]
        (folder / "aio-tuned.conf").write_text("\n".join([*lines, ""]))
        with (folder / "log").open("ab") as log:
            self.programs[name] = subprocess.Popen(
                [sys.executable, str(HASTY), "--config", str(folder / "aio-tuned.conf"), "fleet", "coordinator"],
                env={**os.environ, "CREDENTIALS_DIRECTORY": str(folder), "RUNTIME_DIRECTORY": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.programs[name]

    def close(self) -> None:
        for each in self.programs.values():
            each.kill()
            each.wait(timeout=30)

    def logs(self) -> str:
        return "\n".join(f"{path.parent.name}: {path.read_text()}" for path in sorted(self.folder.glob("*/log")))

    def leads(self, name: str) -> bool:
        path = self.folder / name / METRICS_FILE
        return path.exists() and "\naio_tuned_fleet_coordinator_leader 1.0\n" in path.read_text()

    def put(self, report: DriveReport, *, forged: bool = False) -> None:
        now_s = int(time.time())
        key = STRANGERS_KEY if forged else NODE_KEY
        self.store.put_report(key.sign(replace(report, at_s=now_s, sent_s=now_s)))

    def sweep(self, *nodes: str) -> None:
        for node in nodes:
            self.put(sweep_report(node, direction_report(best=POINTS[:6], step=200)))

    def check(self, *nodes: str) -> None:
        """Confirm the generation that the class has."""
        result = self.result()
        assert result
        assert result.read
        rate = result.read.rate.bytes_per_s
        part = replace(direction_report(rate, (result.read.setting,)), best=(), before=rate_of(rate))
        for node in nodes:
            self.put(sweep_report(node, part, basis="check", generation=result.generation, confirms=True))

    def result(self) -> ClassResult | None:
        found = self.store.get_class(CLASS).result
        return found.document if found else None

    def plan(self) -> ClassPlan | None:
        found = self.store.get_plan(CLASS)
        return found.document if found else None

    def status(self) -> ClassStatus | None:
        return next((each.document for each in self.store.list_statuses()), None)

    def reached(self) -> list[str]:
        plan = self.plan()
        rollout = plan.rollout if plan else None
        return [node for node in NODES if rollout and takes(node, rollout)]

    def has_generation(self, generation: int) -> bool:
        plan = self.plan()
        return plan is not None and plan.generation == generation


@pytest.fixture(scope="module")
def coordinated_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("coordinated")) as made:
        made.add_user(USER, coordinator_rights())
        made.add_user("everyone", (Right("readwrite", keys.ROOT),))
        yield made


@pytest.fixture
def site(coordinated_cluster: EtcdCluster, tmp_path: Path) -> Iterator[Site]:
    coordinated_cluster.ctl("del", "--prefix", keys.ROOT)
    made = Site(coordinated_cluster, tmp_path)
    for node in NODES:
        made.put(presence_report(node))
    try:
        yield made
    finally:
        made.close()
        print(made.logs())


def test_a_rollout_goes_on_when_its_coordinator_is_killed(site: Site) -> None:
    first = site.start("c1")
    assert until(lambda: site.leads("c1")), "c1 does not lead"
    site.start("c2")
    site.sweep(*NODES[:3])
    assert until(lambda: site.has_generation(1)), "no generation"
    site.check(*NODES)
    site.store.put_pin(class_pin(read=POINTS[1], at_s=int(time.time())))
    assert until(lambda: site.has_generation(2)), "no generation for the pin"
    assert len(site.reached()) <= 3
    assert (site.leads("c1"), site.leads("c2")) == (True, False)
    first.kill()
    for _ in range(3):
        before = site.reached()
        site.check(*before)
        if len(before) < len(NODES):
            assert until(lambda: len(site.reached()) > len(before)), "the rollout has stopped"  # noqa: B023 - called here
    assert len(site.reached()) == len(NODES)
    assert until(lambda: (status := site.status()) is not None and status.confirmed == len(NODES)), (
        "not confirmed by all"
    )
    assert site.leads("c2")
    assert site.store.holders(*SLOT[:2]) == {0: "c2"}
    result = site.result()
    assert result
    assert (result.generation, result.settings()[0]) == (2, POINTS[1])


def test_a_coordinator_that_is_ended_gives_its_lead_to_the_next(site: Site) -> None:
    first = site.start("c1")
    assert until(lambda: site.leads("c1")), "c1 does not lead"
    site.start("c2")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=15) == 0
    assert site.store.holders(*SLOT[:2]) != {0: "c1"}
    assert until(lambda: site.leads("c2")), "c2 does not lead"


def test_members_that_are_killed_one_by_one_change_nothing(site: Site) -> None:
    program = site.start("c1")
    assert until(lambda: site.leads("c1")), "c1 does not lead"
    for member, node in enumerate(NODES[:3]):
        site.cluster.kill(member)
        site.sweep(node)
        assert until(lambda: (plan := site.plan()) is not None and plan.swept == member + 1), "a sweep is not counted"  # noqa: B023 - called here
        site.cluster.start(member)
        site.cluster.wait_until_healthy()
    assert until(lambda: site.has_generation(1)), "no generation"
    assert program.poll() is None


@pytest.mark.long
def test_two_members_that_are_killed_end_the_lead_and_all_comes_back(site: Site) -> None:
    program = site.start("c1")
    assert until(lambda: site.leads("c1")), "c1 does not lead"
    for member in (0, 1):
        site.cluster.kill(member)
    assert until(lambda: not site.leads("c1")), "c1 leads without a store"
    for member in (0, 1):
        site.cluster.start(member)
    site.cluster.wait_until_healthy()
    assert until(lambda: site.leads("c1")), "c1 does not lead again"
    site.sweep(*NODES[:3])
    assert until(lambda: site.has_generation(1)), "no generation"
    assert program.poll() is None


def test_a_forged_sweep_is_not_counted_and_named(site: Site) -> None:
    site.start("c1")
    assert until(lambda: site.leads("c1")), "c1 does not lead"
    site.sweep(*NODES[:2])
    site.put(sweep_report(NODES[2]), forged=True)
    assert until(lambda: (status := site.status()) is not None and status.ignored == 1), "the forged sweep is not named"
    status, plan = site.status(), site.plan()
    assert status
    assert plan
    assert [(each.kind, each.node) for each in status.noted] == [("ignored", NODES[2])]
    assert (plan.swept, plan.generation) == (2, 0)
