"""A fleet in one process: stores in memory, a clock that tests move, and nodes whose daemon does what orders say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.fleet.agent import Agent
from aio_tuned.fleet.keys import ROOT, Right, coordinator_rights, node_rights
from aio_tuned.fleet.memory_store import MemoryStore, SharedMemory
from aio_tuned.fleet.signature import Keyring, Signed, SigningKey
from aio_tuned.fleet.spool import Spool
from unit.support.fleet import NOW_S, class_plan, direction_report, presence_report, sweep_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.keys import Slot
    from aio_tuned.fleet.order import Order
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.store import Store, StoreError

NODE_KEY, COORDINATOR_KEY, STRANGERS_KEY = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(3))
KEYRING = Keyring.of(nodes=[NODE_KEY.public], coordinators=[COORDINATOR_KEY.public])


class FaultyStore:
    """A store whose calls fail while `fault` has an error for their names, and which counts them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fault: Callable[[str], StoreError | None] = lambda _: None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method
        method = getattr(self._store, name)

        def call(*arguments: Any) -> Any:  # noqa: ANN401 - as the method
            self.calls.append(name)
            error = self.fault(name)
            if error:
                raise error
            return method(*arguments)

        return call


@dataclass(eq=False)
class Site:
    """What all nodes share; `now_s` is the time of all clocks."""

    folder: Path
    now_s: float = NOW_S
    shared: SharedMemory = field(init=False)
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.shared = SharedMemory(clock=lambda: self.now_s)
        self.store = MemoryStore(self.shared, KEYRING, (*coordinator_rights(), Right("readwrite", ROOT)))

    def node(self, name: str = "n1", **changes: Any) -> Node:  # noqa: ANN401 - any field
        return Node(site=self, name=name, **changes)

    def plan(self, result: ClassResult | None = None, key: SigningKey = COORDINATOR_KEY, **changes: Any) -> None:  # noqa: ANN401
        """Put a plan, and the result that it tells of."""
        made: dict[str, Any] = {"generation": 0, "result_made_at_s": 0, "rollout": None}
        if result:
            signed = key.sign(result)
            self.store.put_class(signed, self.store.get_class(result.hardware_class))
            rollout = class_plan().rollout
            assert rollout
            begun = replace(rollout, generation=result.generation, step=2, reach=10_000, before=result.generation - 1)
            made = {"generation": result.generation, "result_made_at_s": result.made_at_s, "rollout": begun}
        self.store.put_plan(COORDINATOR_KEY.sign(class_plan(**{"open_slots": (), **made, **changes})))

    def reports(self) -> Mapping[tuple[str, str, str], DriveReport]:
        listed = (each.document for each in self.store.list_reports() if isinstance(each, Signed))
        return {(each.node, each.drive, each.basis): each for each in listed}

    def holder(self, slot: Slot) -> str | None:
        return self.store.holders(slot.kind, slot.name).get(slot.number)


@dataclass(eq=False)
class Node:
    """One node with its spool and its agent."""

    site: Site
    name: str
    domain: str = ""
    sweeps_per_domain: int = 2
    spool: Spool = field(init=False)
    store: FaultyStore = field(init=False)
    agent: Agent = field(init=False)

    def __post_init__(self) -> None:
        self.spool = Spool(self.site.folder / self.name)
        self.spool.make(None)
        self.store = FaultyStore(MemoryStore(self.site.shared, KEYRING, node_rights(self.name)))
        self.restart()

    def restart(self) -> None:
        self.agent = Agent(
            self.store,
            self.spool,
            NODE_KEY,
            self.name,
            trusted_keys=(COORDINATOR_KEY.public,),
            domain=self.domain,
            sweeps_per_domain=self.sweeps_per_domain,
            report_every_s=7 * 86400.0,
            clock=lambda: self.site.now_s,
            draw=lambda low, high: (low + high) / 2,
        )

    # --- the daemon ---------------------------------------------------------------------------------------

    def show(self, drive: str = "d1", state: str = "provisional", generation: int = 0, **changes: Any) -> None:  # noqa: ANN401
        """Report a drive's presence."""
        made: dict[str, Any] = {"state": state, "generation": generation, "at_s": int(self.site.now_s), **changes}
        self.spool.write(presence_report(self.name, drive=drive, domain=self.domain, **made))

    def sweep(self, drive: str = "d1", **changes: Any) -> None:  # noqa: ANN401 - any field
        """Do what an order to sweep says."""
        self.spool.write(self._measured(drive, **changes))
        self.show(drive, "measured")

    def check(self, drive: str = "d1", *, confirms: bool = True, generation: int = 1) -> None:
        """Do what an order to check says."""
        found = {"basis": "check", "generation": generation, "confirms": confirms}
        self.spool.write(self._measured(drive, **found, read=replace(direction_report(), best=())))
        if confirms:
            self.show(drive, "measured", generation)

    def _measured(self, drive: str, **changes: Any) -> DriveReport:  # noqa: ANN401 - any field
        made: dict[str, Any] = {"at_s": int(self.site.now_s), "drive": drive, "domain": self.domain, **changes}
        return sweep_report(self.name, **made)

    # --- what happened ------------------------------------------------------------------------------------

    def step(self, seconds: float = 0.0) -> float:
        """Let time pass, then have the agent work; return when it wants to be called again."""
        self.site.now_s += seconds
        return self.agent.step()

    def go_on(self, seconds: float) -> None:
        """Have the agent work as often as it asks for."""
        ends = self.site.now_s + seconds
        while True:
            wait_s = self.agent.step()
            if self.site.now_s + wait_s > ends:
                self.site.now_s = ends
                return
            self.site.now_s += wait_s

    def order(self, drive: str = "d1") -> Order:
        found, refused = self.spool.orders()
        assert refused == ()
        return found[drive]

    def told(self, drive: str = "d1") -> tuple[str, str]:
        return self.order(drive).task, self.order(drive).said
