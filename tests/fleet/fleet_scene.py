"""A small fleet of one class on a store that tests take away, with nodes, coordinators, and clocks that tests move."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.fleet.keys import ROOT, Right, coordinator_rights, node_rights
from aio_tuned.fleet.memory_store import MemoryStore, SharedMemory
from aio_tuned.fleet.signature import Keyring, Signed, SigningKey
from fleet.simulated_fleet import MODELS, Crowd, Plan, SimulatedNode, simulated_coordinator
from unit.support.fleet_node import FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.coordinator import Coordinator
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.store import Store, StoreError
    from aio_tuned.model.setting import Setting

MODEL = MODELS[0]
COORDINATORS = ("c1", "c2")
# Users of a store, beside those of nodes.
COORDINATOR, EVERYONE = "coordinator", "everyone"
NOW_S = 1_800_000_000.0
TICK_S = 20.0
MAX_WAIT_S, SWEEP_S = 3600.0, 600.0


def new_key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


def planned(count: int) -> list[Plan]:
    """Plan sound nodes, two in each rack."""
    return [Plan(5 * number, MODEL) for number in range(count)]


def names(count: int) -> list[str]:
    return [each.name for each in planned(count)]


@dataclass(eq=False)
class Scene:
    """`open_store` gives a user's access to the store; without one, the store is in memory."""

    folder: Path
    count: int
    open_store: Callable[[str, Keyring], Store] | None = None
    now_s: float = NOW_S
    # How far the clock of a node, or of a coordinator, is ahead.
    ahead_s: Callable[[str], float] = lambda _: 0.0
    watch_s: float = 0.0
    key: SigningKey = field(init=False, default_factory=new_key)
    coordinators: dict[str, Coordinator] = field(init=False, default_factory=dict)
    _due_s: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.now_s)
        shared = self.shared = SharedMemory(clock=lambda: self.crowd.now_s)
        keys = {name: new_key() for name in names(self.count)}
        self.keyring = Keyring.of(
            coordinators=[self.key.public], by_node={name: key.public for name, key in keys.items()}
        )
        rights = {COORDINATOR: coordinator_rights(), EVERYONE: (Right("readwrite", ROOT),)}
        if self.open_store is None:
            self.open_store = lambda user, keyring: MemoryStore(shared, keyring, rights.get(user) or node_rights(user))
        for plan in planned(self.count):
            name, trusted = plan.name, (self.key.public,)
            store = self._open(name)
            self.crowd.add(SimulatedNode(plan, self.folder, store, keys[name], trusted, self.clock_of(name)))
        for name in COORDINATORS:
            self.start(name)
        self.store = self._open(EVERYONE)

    def _open(self, user: str) -> FaultyStore:
        assert self.open_store
        return FaultyStore(self.open_store(user, self.keyring))

    def clock_of(self, name: str) -> Callable[[], float]:
        ahead_s = self.ahead_s(name)
        return lambda: self.crowd.now_s + ahead_s

    def start(self, name: str) -> None:
        """Start a coordinator; one that is taken from `coordinators` has been killed."""
        store = self._open(COORDINATOR)
        self.coordinators[name] = simulated_coordinator(store, self.key, name, self.clock_of(name), self.watch_s)

    @property
    def nodes(self) -> list[SimulatedNode]:
        return self.crowd.nodes

    def go_on(self, seconds: float) -> None:
        """Let all live, and look whether what must never happen has happened."""
        ends_s = self.crowd.now_s + seconds
        while self.crowd.now_s < ends_s:
            self.crowd.run_until(self.crowd.now_s + TICK_S)
            for name, each in list(self.coordinators.items()):
                if self._due_s.get(name, 0.0) <= self.crowd.now_s:
                    self._due_s[name] = self.crowd.now_s + each.step()
        assert [fault for node in self.nodes for fault in node.daemon.faults] == []
        late = [did for node in self.nodes for did in node.daemon.did if did.waited_s > MAX_WAIT_S + SWEEP_S + 120]
        assert [did for did in late if did.task == "sweep" and not did.ordered] == []

    def go_on_until(self, condition: Callable[[], bool], most_s: float) -> float:
        """Return the seconds that it took."""
        begun_s = self.crowd.now_s
        while not condition():
            assert self.crowd.now_s - begun_s < most_s, self.state()
            self.go_on(TICK_S)
        return self.crowd.now_s - begun_s

    def fail(self, wanted: list[SimulatedNode], error: StoreError | None) -> None:
        """Have all calls of these nodes fail, or succeed again."""
        for node in wanted:
            assert isinstance(node.store, FaultyStore)
            node.store.fault = lambda _: error

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def hardware_class(self) -> str:
        return self.nodes[0].daemon.hardware_class

    @property
    def result(self) -> ClassResult | None:
        found = self.store.get_class(self.hardware_class).result
        return found.document if found else None

    @property
    def plan(self) -> ClassPlan | None:
        found = self.store.get_plan(self.hardware_class)
        return found.document if found else None

    @property
    def status(self) -> ClassStatus | None:
        return next((each.document for each in self.store.list_statuses()), None)

    def settings(self) -> tuple[Setting | None, ...]:
        assert self.result
        return self.result.settings()

    def swept(self) -> list[str]:
        return [node.plan.name for node in self.nodes for did in node.daemon.did if did.task == "sweep"]

    def have(self, generation: int) -> int:
        """Return how many nodes publish that generation."""
        return sum(node.daemon.generation == generation for node in self.nodes)

    def all_have(self, generation: int) -> bool:
        return self.have(generation) == len(self.nodes)

    def stored(self, basis: str) -> int:
        return sum(isinstance(each, Signed) and each.document.basis == basis for each in self.store.list_reports())

    def state(self) -> str:
        nodes = [
            f"{node.plan.name}: {node.daemon.shown.state} {node.daemon.generation} {node.task} {node.agent.trouble}"
            for node in self.nodes
        ]
        troubles = [f"{name}: {each.trouble}" for name, each in self.coordinators.items()]
        return "\n".join([*nodes, *troubles, str(self.status), str(self.plan)])
