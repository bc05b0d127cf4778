"""A fleet of 100 simulated nodes on a store in memory: bad generations, a coordinator that dies, slow drives, liars."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet.coordinator import Coordinator
from aio_tuned.fleet.keys import Slot, coordinator_rights, node_rights
from aio_tuned.fleet.memory_store import MemoryStore
from aio_tuned.fleet.report import Share
from aio_tuned.fleet.rollout import check_at_s, takes
from unit.support.fleet import CLASS, POINTS, class_pin, direction_report, presence_report, rate_of, sweep_report
from unit.support.fleet_node import COORDINATOR_KEY, KEYRING, NODE_KEY, STRANGERS_KEY, Site

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.model.setting import Setting

COUNT = 100
TICK_S = 1800.0
WEEK_S = 7 * 86400.0
LEVEL = 6e9
LIES = ("too fast", "too slow", "another grid", "replayed", "forged")
# The true share of each point, the best first; the second one is as good.
TRUTH = {point: 1 - 0.03 * (place // 2) for place, point in enumerate(POINTS)}


@dataclass(eq=False)
class _Node:
    """A node that does what its class's plan says; `factor` is the speed of its drive, and `lie` how it lies."""

    site: Site
    name: str
    draw: random.Random
    factor: float = 1.0
    lie: str = ""
    has: Setting | None = None
    generation: int = 0
    checked: int = 0
    sweeps: int = 0
    tried: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.site.shared, KEYRING, node_rights(self.name))

    def _put(self, report: DriveReport) -> None:
        key = STRANGERS_KEY if self.lie == "forged" and report.basis != "presence" else NODE_KEY
        report = replace(report, drive=f"nvme-{self.name}", domain=f"rack-{self.name[-1]}", at_s=int(self.site.now_s))
        self.store.put_report(key.sign(replace(report, sent_s=int(self.site.now_s))))

    def present(self) -> None:
        state = "measured" if self.has else "provisional"
        self._put(presence_report(self.name, state=state, generation=self.generation, about="ACME X1"))

    def _speed(self, setting: Setting) -> float:
        lie = {"too fast": 3.0, "too slow": 0.4}.get(self.lie, 1.0)
        return LEVEL * TRUTH[setting] * self.factor * lie * (1 + self.draw.gauss(0, 0.003))

    def sweep(self, truth: dict[Setting, float]) -> None:
        """Sweep by what `truth` says, which is what drives give later only if it is the truth."""
        self.sweeps += 1
        best = sorted(truth, key=lambda point: -truth[point])[:8]
        shares = tuple(Share(each, round(10_000 * truth[each] / truth[best[0]])) for each in best)
        part = replace(direction_report(self._speed(best[0]) / TRUTH[best[0]], (best[0],)), best=shares)
        report = sweep_report(self.name, part)
        if self.lie == "another grid":
            report = replace(report, grid=replace(report.grid, queue_depth=(4, 32, 512)))
        self._put(report)
        self.has = self.has or best[0]

    def work(self) -> None:
        signed = self.store.get_plan(CLASS)
        plan = signed.document if signed else None
        if plan and plan.generation and plan.rollout and takes(self.name, plan.rollout):
            is_due = self.has is None or self.site.now_s >= check_at_s(self.name, plan.rollout)
            result = self.store.get_class(CLASS).result if plan.generation > self.checked and is_due else None
            if result and not result.document.disagreement:
                self._check(result.document)
        elif self.has is None and not self.sweeps:
            for number in plan.open_slots if plan else range(3):
                if self.store.claim(Slot("claim", CLASS, number), self.name, 60):
                    self.sweep(TRUTH)
                    return

    def _check(self, result: ClassResult) -> None:
        assert result.read
        setting = result.read.setting
        now, usual = self._speed(setting), result.read.rate.bytes_per_s
        before = self._speed(self.has) if self.has and self.has != setting else 0
        confirms = abs(now / usual - 1) < 0.1 and now > 0.97 * before
        self.checked = result.generation
        self.tried.add(result.generation)
        part = replace(direction_report(now, (setting,)), best=(), before=rate_of(before) if before else None)
        told = result.generation + 7 if self.lie == "replayed" else result.generation
        self._put(sweep_report(self.name, part, basis="check", generation=told, confirms=confirms))
        if confirms:
            self.has, self.generation = setting, result.generation
        self.has = self.has or setting
        self.present()


class _Fleet:
    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        draw = random.Random(seed)
        kinds = [*LIES, *["slow"] * 3, *[""] * (COUNT - len(LIES) - 3)]
        draw.shuffle(kinds)
        self.nodes = [
            _Node(site, f"n{number}", draw, 0.6 if kind == "slow" else 1.0, kind if kind in LIES else "")
            for number, kind in enumerate(kinds)
        ]
        self.coordinators = [self.coordinator("c1"), self.coordinator("c2")]
        for node in self.nodes:
            node.present()

    def coordinator(self, name: str) -> Coordinator:
        store = MemoryStore(self.site.shared, KEYRING, coordinator_rights())
        return Coordinator(
            store,
            COORDINATOR_KEY,
            name,
            WEEK_S,
            clock=lambda: self.site.now_s,
            monotonic=lambda: self.site.now_s,
            watch_s=0,
        )

    def go_on(self, hours: float) -> None:
        for _ in range(round(hours * 3600 / TICK_S)):
            for node in self.nodes:
                node.work()
            # Each tick has a minute of the coordinators' steps, and then no lease of a coordinator has ended.
            for _ in range(6):
                for each in self.coordinators:
                    each.step()
                self.site.now_s += 10
            self.site.now_s += TICK_S - 60
            for _ in range(2):
                for each in self.coordinators:
                    each.step()

    @property
    def honest(self) -> list[_Node]:
        return [node for node in self.nodes if not node.lie and node.factor == 1]

    def result(self) -> ClassResult:
        found = self.site.store.get_class(CLASS).result
        assert found
        return found.document

    def status(self) -> ClassStatus:
        return next(each.document for each in self.site.store.list_statuses())

    def share_that_has(self, generation: int) -> float:
        return sum(node.generation == generation for node in self.honest) / len(self.honest)


@pytest.fixture(params=range(2))
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> _Fleet:
    """A fleet whose nodes have the first generation."""
    made = _Fleet(Site(tmp_path), request.param)
    made.go_on(9)
    return made


def test_a_class_has_the_best_setting_from_a_few_sweeps_whoever_lies(fleet: _Fleet) -> None:
    result, status = fleet.result(), fleet.status()
    assert result.read
    assert TRUTH[result.read.setting] >= 0.99
    assert sum(node.sweeps for node in fleet.nodes) <= 5
    assert fleet.share_that_has(1) == 1
    slow = {node.name for node in fleet.nodes if node.factor < 1}
    odd = {each.node for each in status.noted if each.kind == "odd"}
    assert slow <= odd
    assert odd <= slow | {node.name for node in fleet.nodes if node.lie}
    assert {each.node for each in status.noted if each.kind == "ignored"} >= {
        node.name for node in fleet.nodes if node.lie == "forged" and node.checked
    }
    assert result.generation == 1


def test_a_bad_generation_stops_at_its_first_step_and_is_taken_back(fleet: _Fleet) -> None:
    """Three nodes sweep on a day when drives seem to like other points best."""
    wrong = {point: TRUTH[POINTS[(place + 10) % 16]] for place, point in enumerate(POINTS)}
    for node in fleet.honest[:3]:
        node.sweep(wrong)
    before = fleet.result().settings()
    fleet.go_on(14)
    result = fleet.result()
    assert (result.generation, result.restores, result.settings()) == (3, 1, before)
    (bad,) = result.refused
    second = next(each.document for each in fleet.site.store.history(CLASS) if each.document.generation == 2)
    assert second.settings()[0] == bad.setting in POINTS[6:8]
    assert not [node for node in fleet.nodes if node.has == bad.setting]
    assert 1 <= sum(2 in node.tried for node in fleet.nodes) <= 6
    fleet.go_on(24)
    assert fleet.result().generation == 3


def test_a_rollout_goes_on_under_another_coordinator_when_the_first_one_dies(fleet: _Fleet) -> None:
    good = POINTS[1] if fleet.result().settings()[0] == POINTS[0] else POINTS[0]
    fleet.site.store.put_pin(class_pin(read=good))
    fleet.go_on(2)
    plan = fleet.site.store.get_plan(CLASS)
    assert plan
    assert plan.document.rollout
    assert (plan.document.generation, plan.document.rollout.is_last) == (2, False)
    assert [each.leads for each in fleet.coordinators] == [True, False]
    fleet.coordinators = fleet.coordinators[1:]
    fleet.go_on(40)
    assert fleet.coordinators[0].leads
    assert (fleet.result().generation, fleet.result().settings()[0]) == (2, good)
    assert fleet.share_that_has(2) == 1
    assert fleet.coordinators[0].trouble == ""


def test_a_pin_that_is_slower_reaches_a_few_nodes_and_none_keeps_it(fleet: _Fleet) -> None:
    before = fleet.result().settings()
    fleet.site.store.put_pin(class_pin(read=POINTS[8], at_s=int(fleet.site.now_s)))
    fleet.go_on(12)
    assert (fleet.result().generation, fleet.result().settings()) == (3, before)
    assert 1 <= sum(2 in node.tried for node in fleet.nodes) <= 6
    assert not [node for node in fleet.nodes if node.has == POINTS[8]]
    assert "taken back" in fleet.status().pinned
    fleet.go_on(12)
    assert fleet.result().generation == 3
