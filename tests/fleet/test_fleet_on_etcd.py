"""A small fleet on a real etcd that fails: members, space, certificates, and the network of a rack."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet import keys
from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import Right, coordinator_rights
from aio_tuned.fleet.lead import LEASE_S
from aio_tuned.fleet.signature import Keyring, Signed
from aio_tuned.fleet.store import ReportId
from fleet.etcd_cluster import MEMBERS, etcd_cluster, make_server
from fleet.fleet_scene import COORDINATOR, EVERYONE, MODEL, Scene, names, new_key
from fleet.simulated_daemon import SimulatedDaemon
from fleet.simulated_drive import SimulatedDrive
from fleet.simulated_fleet import simulated_coordinator
from processes import until
from tiers import machine_has
from unit.support.fleet import class_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.fleet.signature import SigningKey
    from aio_tuned.fleet.store import Store
    from fleet.etcd_cluster import EtcdCluster

NODES = 8
HOUR_S = 3600.0
HASTY = Path(__file__).with_name("hasty_agent.py")
TOKENS = "jwt,pub-key=jwt.pub,priv-key=jwt.key,sign-method=RS256,ttl=24h"


@pytest.fixture(scope="module")
def shaken_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("shaken"), auth_token=TOKENS) as made:
        made.add_nodes(names(NODES))
        made.add_user(COORDINATOR, coordinator_rights())
        made.add_user(EVERYONE, (Right("readwrite", keys.ROOT),))
        yield made


@dataclass(eq=False)
class Site:
    """A scene on etcd, and the connections of its nodes and coordinators."""

    cluster: EtcdCluster
    folder: Path
    connections: list[EtcdConnection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scene = Scene(self.folder, NODES, open_store=self._open, now_s=time.time(), watch_s=0.1)

    def _open(self, user: str, keyring: Keyring) -> Store:
        # Each call of a node ends soon where there is no etcd, since the simulated clock stands still meanwhile.
        connection = EtcdConnection(self.cluster.access(user), call_timeout_s=1.0, give_up_s=0.2)
        self.connections.append(connection)
        return EtcdStore(connection, keyring)

    def reconnect(self) -> None:
        """End all connections, as after a time without calls."""
        for each in self.connections:
            each.close()


@pytest.fixture
def site(shaken_cluster: EtcdCluster, tmp_path: Path) -> Iterator[Site]:
    shaken_cluster.ctl("del", "--prefix", keys.ROOT)
    made = Site(shaken_cluster, tmp_path)
    try:
        yield made
    finally:
        made.reconnect()
        for member in range(MEMBERS):
            if shaken_cluster.processes[member] is None:
                shaken_cluster.start(member)
        shaken_cluster.wait_until_healthy()


def outlast_the_lead() -> None:
    """Wait by the real clock, which is that of etcd's leases, until one that was not renewed has ended."""
    time.sleep(LEASE_S + 2)


def most_have_it(scene: Scene) -> bool:
    """Whether all nodes but those that were swept have the first generation."""
    return scene.have(1) >= NODES - 3


def troubles(scene: Scene) -> set[str]:
    agents = {node.agent.trouble for node in scene.nodes}
    return (agents | {each.trouble for each in scene.coordinators.values()}) - {""}


def test_a_fleet_begins_while_members_are_killed(site: Site) -> None:
    scene = site.scene
    scene.go_on_until(lambda: sum(node.task == "sweep" for node in scene.nodes) == 3, HOUR_S)
    site.cluster.kill(0)
    scene.go_on(240)
    site.cluster.start(0)
    site.cluster.wait_until_healthy()
    site.cluster.kill(1)
    scene.go_on_until(lambda: most_have_it(scene), HOUR_S)
    assert len(scene.swept()) == 3


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_fleet_waits_for_two_members_that_were_killed(site: Site) -> None:
    scene = site.scene
    scene.go_on(120)
    for member in (0, 1):
        site.cluster.kill(member)
    scene.go_on(800)
    # What was ordered is done without etcd.
    assert len(scene.swept()) == 3
    assert any("no store reachable" in each for each in troubles(scene))
    for member in (0, 1):
        site.cluster.start(member)
    site.cluster.wait_until_healthy()
    outlast_the_lead()
    scene.go_on_until(lambda: most_have_it(scene), HOUR_S)
    scene.go_on(900)
    assert troubles(scene) == set()
    assert len(scene.swept()) == 3


@pytest.mark.long
def test_a_fleet_goes_on_when_a_full_etcd_has_space_again(site: Site) -> None:
    scene = site.scene
    scene.go_on(120)
    root = EtcdConnection(site.cluster.access("root"))
    site.connections.append(root)
    member = root.call("maintenance/status", {})["header"]["member_id"]
    alarm = {"memberID": member, "alarm": "NOSPACE"}
    root.call("maintenance/alarm", {"action": "ACTIVATE", **alarm})
    try:
        scene.go_on(900)
        assert len(scene.swept()) == 3
        assert any("database space exceeded" in each for each in troubles(scene))
        assert scene.have(1) == 0
    finally:
        root.call("maintenance/alarm", {"action": "DEACTIVATE", **alarm})
    scene.go_on_until(lambda: most_have_it(scene), HOUR_S)
    scene.go_on(900)
    assert troubles(scene) == set()
    assert len(scene.swept()) == 3


@pytest.mark.long
def test_a_fleet_goes_on_when_certificates_that_had_expired_are_renewed(site: Site) -> None:
    scene, cluster = site.scene, site.cluster
    scene.go_on(120)
    make_server(cluster.folder, *cluster.ca, lasts=-dt.timedelta(days=1))
    site.reconnect()
    try:
        scene.go_on(900)
        assert any("certificate has expired" in each for each in troubles(scene))
        assert len(scene.swept()) == 3
    finally:
        make_server(cluster.folder, *cluster.ca)
    outlast_the_lead()
    scene.go_on_until(lambda: most_have_it(scene), HOUR_S)
    scene.go_on(900)
    assert troubles(scene) == set()
    assert len(scene.swept()) == 3


# --- the network of a rack --------------------------------------------------------------------------------

NAMESPACE, BRIDGE, OURS, THEIRS = "aio-rack", "aio-rack-br", "aio-rack-0", "aio-rack-1"
ADDRESS, OF_RACK = "10.213.77.1", "10.213.77.2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30, capture_output=True)


@contextmanager
def rack_network() -> Iterator[None]:
    """A network of two addresses: that of etcd, here, and that of a rack, in a namespace of its own."""
    try:
        ip("netns", "add", NAMESPACE)
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{ADDRESS}/24", "dev", BRIDGE)
        ip("link", "add", OURS, "type", "veth", "peer", "name", THEIRS)
        ip("link", "set", OURS, "master", BRIDGE, "up")
        ip("link", "set", THEIRS, "netns", NAMESPACE)
        ip("link", "set", BRIDGE, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{OF_RACK}/24", "dev", THEIRS)
        ip("-n", NAMESPACE, "link", "set", THEIRS, "up")
        yield
    finally:
        for words in (["netns", "del", NAMESPACE], ["link", "del", BRIDGE]):
            subprocess.run(["ip", *words], check=False, timeout=30, capture_output=True)


@dataclass(eq=False)
class Rack:
    """A node in the namespace, whose agent is the real program with short waits, and a coordinator outside."""

    cluster: EtcdCluster
    folder: Path
    coordinator_key: SigningKey = field(default_factory=new_key)
    node_key: SigningKey = field(default_factory=new_key)

    def __post_init__(self) -> None:
        trusted = (self.coordinator_key.public,)
        self.daemon = self._daemon("n1", 1)
        keyring = Keyring.of(coordinators=trusted, nodes=[self.node_key.public])
        self.store = EtcdStore(EtcdConnection(self.cluster.access(EVERYONE)), keyring)
        self.coordinator = simulated_coordinator(self.store, self.coordinator_key, "c1", time.time, 0.2)
        for name, data in (("password", b"password of n1\n"), ("signing-key", self.node_key.to_pem())):
            (self.folder / name).write_bytes(data)
        config = {
            "enabled": True,
            "endpoints": list(self.cluster.endpoints),
            "ca_file": str(self.cluster.folder / "ca.pem"),
            "node": "n1",
            "domain": "rack-1",
            "trusted_keys": list(trusted),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in config.items()]
        path = self.folder / "aio-tuned.conf"
        path.write_text("\n".join(["[fleet]", *lines, "[paths]", f'state = "{self.daemon.state}"', ""]))
        words = [sys.executable, str(HASTY), "--config", str(path), "fleet", "agent"]
        with (self.folder / "log").open("wb") as log:
            self.program = subprocess.Popen(
                ["ip", "netns", "exec", NAMESPACE, *words],
                env={**os.environ, "CREDENTIALS_DIRECTORY": str(self.folder), "RUNTIME_DIRECTORY": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _daemon(self, name: str, number: int) -> SimulatedDaemon:
        drive = SimulatedDrive(MODEL, number)
        trusted = (self.coordinator_key.public,)
        return SimulatedDaemon(self.folder / name, name, "rack-1", drive, trusted, time.time, sweep_s=0.0, check_s=0.5)

    def close(self) -> None:
        self.program.kill()
        self.program.wait(timeout=30)
        self.coordinator.close()

    def sweep_elsewhere(self) -> None:
        """Have three drives of the class swept on other nodes."""
        for number in (2, 3, 4):
            daemon = self._daemon(f"n{number}", number)
            daemon.ask()
            daemon.work()
            daemon.work()
            for report in daemon.spool.reports_of(daemon.name).values():
                self.store.put_report(self.node_key.sign(replace(report, sent_s=int(time.time()))))

    def task(self) -> str:
        self.daemon.work()
        order = self.daemon.spool.orders()[0].get(self.daemon.name)
        return order.task if order else ""

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def has(self, generation: int) -> bool:
        """Let all live for a moment, and return whether the drive has the generation."""
        self.coordinator.step()
        self.task()
        return self.daemon.generation == generation

    def stored(self, basis: str) -> bool:
        found = self.store.get_report(ReportId("n1", self.daemon.name, basis))
        return isinstance(found, Signed)


@pytest.mark.long
@pytest.mark.skipif(not machine_has("root"), reason="needs root, to make a network namespace")
def test_a_rack_whose_network_is_cut_keeps_what_it_has_and_comes_back(tmp_path: Path) -> None:
    """Packets are dropped and not refused, so that calls end by their time limits."""
    with ExitStack() as stack:
        stack.enter_context(rack_network())
        (tmp_path / "etcd").mkdir()
        cluster = stack.enter_context(etcd_cluster(tmp_path / "etcd", host=ADDRESS, auth_token=TOKENS))
        cluster.add_nodes(["n1"])
        cluster.add_user(EVERYONE, (Right("readwrite", keys.ROOT),))
        # No claim is open, so that the rack waits for others.
        rack = Rack(cluster, tmp_path)
        stack.callback(rack.close)
        rack.store.put_plan(
            rack.coordinator_key.sign(
                class_plan(
                    hardware_class=rack.daemon.hardware_class, generation=0, rollout=None, open_slots=(),
                    result_made_at_s=0, made_at_s=int(time.time()),
                )
            )
        )  # fmt: skip
        assert until(lambda: rack.stored("presence")), f"no report: {rack.log()}"
        assert until(lambda: rack.task() == "wait"), "no order"
        ip("-n", NAMESPACE, "link", "set", THEIRS, "down")
        rack.sweep_elsewhere()
        assert until(lambda: rack.has(0) and "no store reachable since" in rack.log()), "the cut is not told"
        assert rack.task() == "wait"
        ip("-n", NAMESPACE, "link", "set", THEIRS, "up")
        assert until(lambda: rack.has(1)), "the generation does not come"
        assert until(lambda: rack.stored("check")), "no report of the check"
        ip("-n", NAMESPACE, "link", "set", THEIRS, "down")
        assert until(lambda: rack.log().count("no store reachable since") > 1), "the second cut is not told"
        assert rack.has(1)
        assert rack.daemon.faults == []
        ip("-n", NAMESPACE, "link", "set", THEIRS, "up")
        assert rack.program.poll() is None
