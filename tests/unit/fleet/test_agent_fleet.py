"""Agents beside a coordinator: a class gets its result from three sweeps, and all other drives check it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet.coordinator import Coordinator
from aio_tuned.fleet.keys import coordinator_rights, operator_rights
from aio_tuned.fleet.memory_store import MemoryStore
from unit.support.fleet import CLASS, POINTS, class_pin, direction_report
from unit.support.fleet_node import COORDINATOR_KEY, KEYRING, Node, Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODES = 24
SWEEP_S = 600
CHECK_S = 30


@dataclass(eq=False)
class Daemon:
    """Does what the orders of its node say, in the time that this takes; `slow` drives confirm nothing."""

    node: Node
    slow: bool = False
    did: list[str] = field(default_factory=list)
    _busy: tuple[str, float, int] | None = None
    _has: int = 0
    _is_measured: bool = False

    def work(self, now_s: float) -> None:
        if self._busy:
            task, ends_s, generation = self._busy
            if now_s < ends_s:
                return
            self._busy = None
            self.did.append(f"{task} {generation}" if generation else task)
            if task == "sweep":
                rate = 3e9 if self.slow else 6e9
                self.node.sweep(read=direction_report(rate))
                self._is_measured = True
            else:
                self.node.check(confirms=not self.slow, generation=generation)
                self._has = generation
                self._is_measured |= not self.slow
            return
        order = self.node.spool.orders()[0].get("d1")
        if order is None or order.task == "wait":
            return
        generation = int(order.result.partition('"generation":')[2].partition(",")[0]) if order.result else 0
        if order.task == "check" and generation > self._has:
            self._busy = ("check", now_s + CHECK_S, generation)
        if order.task == "sweep" and "sweep" not in self.did:
            self._busy = ("sweep", now_s + SWEEP_S, 0)


@dataclass(eq=False)
class Simulation:
    site: Site
    slow: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.nodes = [self.site.node(f"n{number}", domain=f"rack-{number % 4}") for number in range(NODES)]
        self.daemons = [Daemon(each, number in self.slow) for number, each in enumerate(self.nodes)]
        store = MemoryStore(self.site.shared, KEYRING, coordinator_rights())
        self.coordinator = Coordinator(
            store, COORDINATOR_KEY, "c1", 7 * 86400.0,
            clock=lambda: self.site.now_s, monotonic=lambda: self.site.now_s, watch_s=0.0,
        )  # fmt: skip
        # Nodes do not wake at once.
        self._due = {each: self.site.now_s + 2.5 * number for number, each in enumerate(self.nodes)}
        for each in self.nodes:
            each.show()

    def run_until(self, condition: Callable[[], bool], most_s: float, tick_s: float = 10) -> float:
        """Return the seconds that it took."""
        begun_s = self.site.now_s
        while not condition():
            assert self.site.now_s < begun_s + most_s, self.state()
            self.site.now_s += tick_s
            for each in self.daemons:
                each.work(self.site.now_s)
            self.coordinator.step()
            for node, due_s in self._due.items():
                if due_s <= self.site.now_s:
                    self._due[node] = self.site.now_s + node.agent.step()
        return self.site.now_s - begun_s

    def did(self) -> Counter[str]:
        return Counter(task for each in self.daemons for task in each.did)

    def state(self) -> str:
        return f"{self.did()} {Counter(each.told() for each in self.nodes)} {self.coordinator.trouble}"


def test_three_drives_sweep_on_three_racks_and_all_others_check(tmp_path: Path) -> None:
    fleet = Simulation(Site(tmp_path))
    took_s = fleet.run_until(lambda: fleet.did()["check 1"] >= NODES - 3, 3600)
    assert fleet.did()["sweep"] == 3
    assert took_s < SWEEP_S + CHECK_S + 300
    swept = [each.node.domain for each in fleet.daemons if "sweep" in each.did]
    assert len(set(swept)) == 3
    fleet.run_until(lambda: fleet.did()["check 1"] == NODES, 8 * 3600, 60)  # those that were swept check it, too
    fleet.run_until(lambda: all(each.told()[0] == "wait" for each in fleet.nodes), 600)
    assert fleet.did() == {"sweep": 3, "check 1": NODES}
    assert {each.agent.trouble for each in fleet.nodes} == {""}


def test_one_slow_drive_among_the_first_three_makes_a_fourth_sweep(tmp_path: Path) -> None:
    first = Simulation(Site(tmp_path / "first"))
    first.run_until(lambda: first.did()["sweep"] == 3, 3600)
    slow = next(number for number, each in enumerate(first.daemons) if "sweep" in each.did)
    fleet = Simulation(Site(tmp_path / "second"), frozenset({slow}))
    fleet.run_until(lambda: fleet.did()["check 1"] >= NODES - 4, 7200)
    assert fleet.did()["sweep"] == 4


def test_a_pin_reaches_all_nodes_step_by_step(tmp_path: Path) -> None:
    fleet = Simulation(Site(tmp_path))
    fleet.run_until(lambda: fleet.did()["check 1"] == NODES, 10 * 3600, 60)
    operator = MemoryStore(fleet.site.shared, KEYRING, operator_rights())
    operator.put_pin(class_pin(hardware_class=CLASS, read=POINTS[1], at_s=int(fleet.site.now_s)))
    fleet.run_until(lambda: fleet.did()["check 2"] == 1, 10 * 3600, 60)
    told = Counter(each.told()[1].partition(":")[0] for each in fleet.nodes)
    assert told["waiting for this node's turn"] >= NODES - 2
    fleet.run_until(lambda: fleet.did()["check 2"] == NODES, 4 * 86400, 300)
    assert fleet.did()["sweep"] == 3


@pytest.mark.parametrize("seconds", [300, 1200])
def test_a_claimant_that_dies_is_replaced(tmp_path: Path, seconds: int) -> None:
    fleet = Simulation(Site(tmp_path))
    fleet.run_until(lambda: sum(each.told()[0] == "sweep" for each in fleet.nodes if each.spool.orders()[0]) == 3, 600)
    dead = next(each for each in fleet.nodes if each.told()[0] == "sweep")
    fleet._due[dead] = fleet.site.now_s + seconds
    fleet.daemons[fleet.nodes.index(dead)]._busy = ("sweep", float("inf"), 0)
    fleet.run_until(lambda: fleet.did()["check 1"] >= NODES - 4, 7200)
    assert fleet.did()["sweep"] == 3
