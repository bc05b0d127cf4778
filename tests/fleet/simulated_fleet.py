"""Many nodes of a fleet, each with the real agent and a simulated daemon, stepped by one clock."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aio_tuned.fleet.agent import Agent
from aio_tuned.fleet.coordinator import Coordinator
from fleet.lying_spool import LIES, Lie
from fleet.simulated_daemon import SimulatedDaemon
from fleet.simulated_drive import SimulatedDrive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aio_tuned.fleet.signature import SigningKey
    from aio_tuned.fleet.store import Store
    from fleet.simulated_daemon import Did

MODELS = ("pm9a3", "micron-7450", "t705", "990-pro", "p44-pro")
WEEK_S = 7 * 86400.0
SLOW = 0.6
_SLOW_SHARE, _LYING_SHARE = 0.03, 0.01
_NODES_OF_RACK = 10
# An agent whose drives want nothing polls once in ten minutes; its steps in between would change nothing.
_IDLE_S = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One node to be: what its drive is, and what it tells; `first` begins before all others."""

    number: int
    model: str
    slow: bool = False
    lie: Lie = ""
    first: bool = False

    @property
    def name(self) -> str:
        return f"n{self.number:04}"

    @property
    def domain(self) -> str:
        return f"rack-{self.number // _NODES_OF_RACK}"


def plans(nodes: int, models: Sequence[str], seed: int = 1) -> list[Plan]:
    """Plan nodes of which 3 % have a slow drive and 1 % lie, each kind in turn and each on as many models.

    Of the first model a slow drive begins first, and so claims; of the others a liar does, one of each kind.
    """
    dice = random.Random(seed)
    numbers = list(range(nodes))
    dice.shuffle(numbers)
    lying = max(round(nodes * _LYING_SHARE), len(models) - 1)
    slow = max(round(nodes * _SLOW_SHARE), len(models))
    made = [Plan(number, models[place % len(models)]) for place, number in enumerate(numbers)]
    for place in range(slow):
        made[place] = replace(made[place], slow=True, first=place == 0)
    for place in range(lying):
        at = slow - slow % len(models) + len(models) + 1 + place
        made[at] = replace(made[at], lie=LIES[place % len(LIES)], first=place < len(models) - 1)
    return sorted(made, key=lambda each: each.number)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a node."""

    plan: Plan
    hardware_class: str
    state: str
    generation: int
    loss: float
    did: tuple[Did, ...]
    faults: tuple[str, ...]
    trouble: str
    task: str

    @property
    def sound(self) -> bool:
        return not (self.plan.slow or self.plan.lie)


class SimulatedNode:
    """A node with its spool, its daemon and its agent."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        store: Store,
        key: SigningKey,
        trusted_keys: tuple[str, ...],
        clock: Callable[[], float],
    ) -> None:
        self.plan = plan
        self.store = store
        self._key = key
        self._trusted_keys = trusted_keys
        self._clock = clock
        self._dice = random.Random(plan.number)
        drive = SimulatedDrive(plan.model, plan.number + 1, SLOW if plan.slow else 1.0)
        state = folder / plan.name
        self.daemon = SimulatedDaemon(state, plan.name, plan.domain, drive, trusted_keys, clock, lie=plan.lie)
        self.restart()

    def restart(self) -> None:
        """Begin the agent as a new process does."""
        self.agent = Agent(
            self.store,
            self.daemon.spool,
            self._key,
            self.plan.name,
            trusted_keys=self._trusted_keys,
            domain=self.plan.domain,
            sweeps_per_domain=2,
            report_every_s=WEEK_S,
            clock=self._clock,
            draw=self._dice.uniform,
        )

    @property
    def task(self) -> str:
        order = self.daemon.spool.orders()[0].get(self.daemon.name)
        return order.task if order else ""

    @property
    def is_idle(self) -> bool:
        """Whether its drive has what its agent knows of, and nothing is under way."""
        held = self.agent._orders.get(self.daemon.name)
        idle = held is not None and held.task == "wait" and not self.agent._turn.held
        return idle and self.daemon.shown.state == "measured" and not self.daemon.is_busy

    def outcome(self) -> Outcome:
        daemon = self.daemon
        return Outcome(
            plan=self.plan,
            hardware_class=daemon.hardware_class,
            state=daemon.shown.state,
            generation=daemon.generation,
            loss=daemon.loss(),
            did=tuple(daemon.did),
            faults=tuple(daemon.faults),
            trouble=self.agent.trouble,
            task=self.task,
        )


@dataclass(eq=False)
class Crowd:
    """Nodes that are stepped when they are due; `now_s` is their clock."""

    now_s: float
    nodes: list[SimulatedNode] = field(default_factory=list)
    steps: int = 0
    # A node whose agent or daemon is down is not stepped.
    down: set[SimulatedNode] = field(default_factory=set)
    _due: list[tuple[float, int, SimulatedNode, bool]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, node: SimulatedNode) -> None:
        """Add a node, which begins within a minute; a first one begins at once."""
        self.nodes.append(node)
        begins_s = self.now_s if node.plan.first else self.now_s + 30 + 60 * random.Random(node.plan.number).random()
        self._push(begins_s, node, is_agent=False)
        self._push(begins_s, node, is_agent=True)

    def _push(self, due_s: float, node: SimulatedNode, *, is_agent: bool) -> None:
        heapq.heappush(self._due, (due_s, next(self._numbers), node, is_agent))

    def run_until(self, ends_s: float) -> None:
        """Step the nodes in the order of their time."""
        while self._due and self._due[0][0] <= ends_s:
            due_s, _, node, is_agent = heapq.heappop(self._due)
            self.now_s = max(self.now_s, due_s)
            if node in self.down:
                self._push(self.now_s + 20, node, is_agent=is_agent)
                continue
            if is_agent:
                wait_s = node.agent.step()
                self.steps += 1
                self._push(self.now_s + (_IDLE_S if node.is_idle else wait_s), node, is_agent=True)
            else:
                wait_s = node.daemon.work() - node.daemon.clock()
                self._push(self.now_s + max(wait_s, 1.0), node, is_agent=False)
        self.now_s = max(self.now_s, ends_s)


def simulated_coordinator(
    store: Store, key: SigningKey, name: str, clock: Callable[[], float], watch_s: float
) -> Coordinator:
    """A coordinator whose two clocks are that of the simulation."""
    return Coordinator(store, key, name, WEEK_S, clock=clock, monotonic=clock, watch_s=watch_s)
