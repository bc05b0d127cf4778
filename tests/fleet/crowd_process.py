"""Processes that each step some nodes of a simulated fleet on a real etcd; their clock is that of the test."""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.signature import Keyring, SigningKey
from aio_tuned.search.threads import limit_threads
from fleet.simulated_fleet import Crowd, Outcome, SimulatedNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from aio_tuned.fleet.etcd_connection import EtcdAccess
    from fleet.simulated_fleet import Plan

_ENDS_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Member:
    """A node, its access to etcd, and its private key as PEM."""

    plan: Plan
    access: EtcdAccess
    pem: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process is: the steps of its agents, and the nodes whose drives have a measured profile."""

    steps: int
    measured: int


@dataclass(frozen=True, slots=True)
class CrowdProcess:
    """One process; `begin` and `progress` go in pairs."""

    pipe: Connection
    nodes: int

    def begin(self, until_s: float) -> None:
        self.pipe.send(until_s)

    def progress(self) -> Progress:
        found = self.pipe.recv()
        assert isinstance(found, Progress)
        return found

    def outcomes(self) -> list[Outcome]:
        self.pipe.send(None)
        found = self.pipe.recv()
        assert isinstance(found, list)
        return found


@contextmanager
def crowd_processes(
    count: int, members: Sequence[Member], trusted_keys: tuple[str, ...], folder: Path, now_s: float
) -> Iterator[list[CrowdProcess]]:
    """Processes that share the nodes evenly."""
    context = multiprocessing.get_context("spawn")
    made, running = [], []
    try:
        for place in range(count):
            ours, theirs = context.Pipe()
            part = members[place::count]
            process = context.Process(target=_work, args=(theirs, part, trusted_keys, folder, now_s), daemon=True)
            process.start()
            theirs.close()
            running.append(process)
            made.append(CrowdProcess(ours, len(part)))
        yield made
    finally:
        for process in running:
            process.kill()
            process.join(_ENDS_WITHIN_S)


def node_of(member: Member, trusted_keys: tuple[str, ...], folder: Path, crowd: Crowd) -> SimulatedNode:
    """Return the node with its own user of etcd and its own key."""
    key = SigningKey.from_pem(member.pem, "key")
    name = member.plan.name
    keyring = Keyring.of(coordinators=trusted_keys, by_node={name: key.public})
    store = EtcdStore(EtcdConnection(member.access), keyring)
    return SimulatedNode(member.plan, folder, store, key, trusted_keys, lambda: crowd.now_s)


def _work(
    pipe: Connection, members: Sequence[Member], trusted_keys: tuple[str, ...], folder: Path, now_s: float
) -> None:
    limit_threads()
    crowd = Crowd(now_s)
    for member in members:
        crowd.add(node_of(member, trusted_keys, folder, crowd))
    while True:
        until_s = pipe.recv()
        if until_s is None:
            pipe.send([each.outcome() for each in crowd.nodes])
            return
        crowd.run_until(until_s)
        pipe.send(Progress(crowd.steps, sum(each.daemon.shown.state == "measured" for each in crowd.nodes)))
