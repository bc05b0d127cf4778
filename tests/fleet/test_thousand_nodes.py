"""A fleet of a thousand nodes: three sweeps a class, one more for each that disagrees, and checks for all others.

Agents, coordinators, the daemon's decisions and etcd are real. Drives are simulated: 3 % are slow, and 1 % of the nodes
lie. A drive of each kind is among the first of a class, so that its class has it among its first sweeps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.keys import coordinator_rights, node_rights, operator_rights
from aio_tuned.fleet.memory_store import MemoryStore, SharedMemory
from aio_tuned.fleet.signature import Keyring, SigningKey
from fleet.crowd_process import Member, crowd_processes
from fleet.etcd_cluster import etcd_cluster
from fleet.fleet_verdict import Verdict
from fleet.simulated_daemon import SimulatedDaemon
from fleet.simulated_drive import SimulatedDrive
from fleet.simulated_fleet import MODELS, Crowd, Outcome, SimulatedNode, plans, simulated_coordinator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aio_tuned.fleet.store import Store
    from fleet.crowd_process import CrowdProcess
    from fleet.etcd_cluster import EtcdCluster
    from fleet.simulated_fleet import Plan

NODES, PROGRAMS, PROCESSES = 1000, 10, 4
# Less than the time after which a coordinator that did not renew its lead has lost it.
TICK_S = 20.0
# A coordinator steps at each tick, and waits so long for reports.
WATCH_S = 0.2
# Nodes that were swept have a measured profile, and check the class's within six hours.
HOURS = 7.0
COORDINATORS = ("c1", "c2")


def new_key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


def verdict(outcomes: list[Outcome], store: Store) -> Verdict:
    statuses = [each.document for each in store.list_statuses()]
    entries = [store.get_class(each.hardware_class).result for each in statuses]
    return Verdict(outcomes, statuses, [each.document for each in entries if each])


def judge(found: Verdict, models: tuple[str, ...]) -> None:
    """Say all figures, then what must hold of them."""
    print(found)
    assert found.faults == []
    assert len(found.results) == len(models)
    assert len(found.claimants) == 3 * len(models) + len(found.odd_claimants)
    assert len(found.odd_claimants) >= len(models)
    assert found.impatient == []
    assert found.well_set >= 0.99
    assert found.lies == []
    assert found.slow <= found.noted("odd", "refused")
    assert len(found.wrongly_odd) <= 0.01 * len(found.outcomes)
    # Who has the class's settings has checked them, and all sound drives have.
    assert all(each.generation == 1 for each in found.outcomes if each.sound)


def test_sixty_nodes_on_a_store_in_memory(tmp_path: Path) -> None:
    crowd = Crowd(1_800_000_000.0)
    shared = SharedMemory(clock=lambda: crowd.now_s)
    coordinator_key = new_key()
    keys = {each.name: new_key() for each in plans(60, MODELS[:2])}
    everyone = Keyring.of(
        coordinators=[coordinator_key.public], by_node={name: key.public for name, key in keys.items()}
    )
    for plan in plans(60, MODELS[:2]):
        key = new_key() if plan.lie == "forged signature" else keys[plan.name]
        store = MemoryStore(shared, everyone, node_rights(plan.name))
        crowd.add(SimulatedNode(plan, tmp_path, store, key, (coordinator_key.public,), lambda: crowd.now_s))
    coordinators = [
        simulated_coordinator(
            MemoryStore(shared, everyone, coordinator_rights()), coordinator_key, name, lambda: crowd.now_s, 0.0
        )
        for name in COORDINATORS
    ]
    for _ in range(round(HOURS * 3600 / TICK_S)):
        crowd.run_until(crowd.now_s + TICK_S)
        for each in coordinators:
            each.step()
    judge(
        verdict([each.outcome() for each in crowd.nodes], MemoryStore(shared, everyone, operator_rights())), MODELS[:2]
    )


# --- on etcd ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Program:
    """The real program `aio-tuned fleet agent`, beside a daemon whose clock is the real one."""

    plan: Plan
    key: SigningKey
    folder: Path
    cluster: EtcdCluster
    trusted_keys: tuple[str, ...]
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        name = self.plan.name
        drive = SimulatedDrive(self.plan.model, self.plan.number + 1)
        self.daemon = SimulatedDaemon(
            self.folder / name, name, self.plan.domain, drive, self.trusted_keys, time.time, sweep_s=20.0, check_s=2.0
        )
        credentials = self.folder / f"{name}.credentials"
        credentials.mkdir()
        (credentials / "password").write_text(f"password of {name}\n")
        (credentials / "signing-key").write_bytes(self.key.to_pem())
        config = {
            "enabled": True,
            "endpoints": list(self.cluster.endpoints),
            "ca_file": str(self.cluster.folder / "ca.pem"),
            "node": name,
            "domain": self.plan.domain,
            "trusted_keys": list(self.trusted_keys),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in config.items()]
        path = credentials / "aio-tuned.conf"
        path.write_text("\n".join(["[fleet]", *lines, "[paths]", f'state = "{self.folder / name}"', ""]))
        with (credentials / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aio_tuned", "--config", str(path), "fleet", "agent"],
                env={**os.environ, "CREDENTIALS_DIRECTORY": str(credentials), "RUNTIME_DIRECTORY": str(credentials)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def outcome(self) -> Outcome:
        daemon = self.daemon
        order = daemon.spool.orders()[0].get(daemon.name)
        return Outcome(
            plan=self.plan, hardware_class=daemon.hardware_class, state=daemon.shown.state,
            generation=daemon.generation, loss=daemon.loss(), did=tuple(daemon.did), faults=tuple(daemon.faults),
            trouble="" if self.process.poll() is None else f"{self.plan.name} has ended",
            task=order.task if order else "",
        )  # fmt: skip


@pytest.fixture
def large_cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    (tmp_path / "etcd").mkdir()
    tokens = "jwt,pub-key=jwt.pub,priv-key=jwt.key,sign-method=RS256,ttl=24h"
    with etcd_cluster(tmp_path / "etcd", auth_token=tokens) as made:
        made.add_user("coordinator", coordinator_rights())
        made.add_user("operator", operator_rights())
        yield made


@dataclass(eq=False)
class Run:
    """All nodes and coordinators; `now_s` is the clock of all but the programs."""

    crowds: Sequence[CrowdProcess]
    cluster: EtcdCluster
    key: SigningKey
    everyone: Keyring
    now_s: float = field(default_factory=time.time)
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun_s, self._began = self.now_s, time.monotonic()
        self.coordinators = [
            simulated_coordinator(self.store("coordinator"), self.key, name, lambda: self.now_s, WATCH_S)
            for name in COORDINATORS
        ]

    def store(self, user: str) -> EtcdStore:
        return EtcdStore(EtcdConnection(self.cluster.access(user)), self.everyone)

    @property
    def lived_s(self) -> float:
        return self.now_s - self.begun_s

    def live(self) -> int:
        """Let all nodes live for a moment; return how many of the processes' nodes have a measured profile."""
        self.now_s += TICK_S
        for crowd in self.crowds:
            crowd.begin(self.now_s)
        for coordinator in self.coordinators:
            coordinator.step()
            assert coordinator.trouble == ""
        for program in self.programs:
            program.daemon.work()
        found = [crowd.progress() for crowd in self.crowds]
        if self.lived_s % 600 < TICK_S:
            print(f"{self.lived_s / 60:.0f} min in {self.took()}: {found}")
        return sum(each.measured for each in found)

    def took(self) -> str:
        return f"{time.monotonic() - self._began:.0f} s"

    def outcomes(self) -> list[Outcome]:
        return [
            *(each for crowd in self.crowds for each in crowd.outcomes()),
            *(each.outcome() for each in self.programs),
        ]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_nodes_on_etcd(large_cluster: EtcdCluster, tmp_path: Path) -> None:
    cluster, wanted = large_cluster, plans(NODES, MODELS)
    began = time.monotonic()
    cluster.add_nodes([each.name for each in wanted])
    print(f"{NODES} users with roles were made in {time.monotonic() - began:.1f} s")
    coordinator_key, keys = new_key(), {each.name: new_key() for each in wanted}
    trusted = (coordinator_key.public,)
    everyone = Keyring.of(coordinators=trusted, by_node={name: key.public for name, key in keys.items()})
    sound = [each for each in wanted if not (each.slow or each.lie)]
    real = sound[:: len(sound) // PROGRAMS][:PROGRAMS]
    forged = {each.name: new_key() for each in wanted if each.lie == "forged signature"}
    members = [
        Member(each, cluster.access(each.name), forged.get(each.name, keys[each.name]).to_pem())
        for each in wanted
        if each not in real
    ]
    with ExitStack() as stack:
        crowds = stack.enter_context(crowd_processes(PROCESSES, members, trusted, tmp_path, time.time()))
        run = Run(crowds, cluster, coordinator_key, everyone)
        while run.live() < len(members):
            assert run.lived_s < 2 * 3600, "drives still wait"
        # Leases are by the real clock, so a program that was swept for its class would hold its claim for an hour.
        for each in real:
            run.programs.append(Program(each, keys[each.name], tmp_path, cluster, trusted))
            stack.callback(run.programs[-1].close)
        ends = time.monotonic() + 300
        while not all(each.daemon.shown.state == "measured" for each in run.programs):
            assert time.monotonic() < ends, "drives of programs still wait"
            for program in run.programs:
                program.daemon.work()
            time.sleep(0.5)
        print(f"all have a measured profile after {run.took()}")
        while run.lived_s < HOURS * 3600:
            run.live()
        print(f"memory of etcd: {[round(each / 2**20) for each in cluster.memory_bytes()]} MiB")
        judge(verdict(run.outcomes(), run.store("operator")), MODELS)
