"""What a node knows of the classes of its drives: their plans, and the results that it takes, which only get newer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import spool
from aio_tuned.fleet.node_orders import KnownClass, reaches
from aio_tuned.fleet.order import Order
from aio_tuned.fleet.signature import refuse_replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.store import Store
    from aio_tuned.model.setting import Grid

POLL_S = 600.0
# While a drive waits.
SOON_S = 60.0
# Nodes that started at once do not stay together.
_JITTER = 0.2


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One class. `text` is the signed result, and `read` tells generation and time of the last one, taken or not."""

    known: KnownClass = field(default_factory=KnownClass)
    text: str = ""
    read: tuple[int, int] = (0, 0)
    asked_before: int = 0
    trouble: str = ""
    polled_s: float = float("-inf")
    jitter: float = 1.0


class ClassReader:
    """Polls plans, and reads a result only if it is new and this node's turn has come.

    `contact_s` is the Unix time of the last answer of the store.
    """

    def __init__(
        self, store: Store, node: str, trusted_keys: tuple[str, ...], draw: Callable[[float, float], float]
    ) -> None:
        self._store = store
        self._node = node
        self._trusted_keys = trusted_keys
        self._draw = draw
        self._entries: dict[str, _Entry] = {}
        self.contact_s = 0.0

    @property
    def troubles(self) -> tuple[str, ...]:
        """The sentences on results that are not trusted."""
        return tuple(each.trouble for each in self._entries.values() if each.trouble)

    def known(self, hardware_class: str) -> KnownClass:
        """Return what is known of the class."""
        return self._entries[hardware_class].known if hardware_class in self._entries else KnownClass()

    def text(self, hardware_class: str) -> str:
        """Return the signed text of the result that this node takes, "" without one."""
        return self._entries[hardware_class].text if hardware_class in self._entries else ""

    def restore(self, orders: Iterable[Order]) -> None:
        """Take the results of earlier orders, so that a restart lets no older result in."""
        for order in orders:
            if order.result:
                entry = self._entry(order.hardware_class)
                self._take(entry, order.hardware_class, order.result, None)
                entry.trouble = ""  # such as an earlier generation beside a newer one

    def poll(self, grids: dict[str, Grid], waiting: Iterable[str], now_s: float) -> bool:
        """Ask for the plans of the classes whose time has come, and read what is new; raise StoreError.

        `grids` has the grid of each class of this node, and `waiting` are the classes whose drives wait. Return whether
        a class has lost its plan, or has an older one, as in a store that was replaced.
        """
        soon = set(waiting)
        lost = False
        for key, grid in grids.items():
            entry = self._entry(key)
            period_s = (SOON_S if key in soon else POLL_S) * entry.jitter
            # The clock may have been set back.
            if 0 <= now_s - entry.polled_s < period_s:
                continue
            found = self._store.get_plan(key)
            lost |= _is_lost(found.document if found else None, entry.known.plan)
            self._follow(entry, key, found.document if found else None, grid)
            self.contact_s = now_s
            entry.polled_s, entry.jitter = now_s, self._draw(1 - _JITTER, 1 + _JITTER)
        return lost

    def _entry(self, key: str) -> _Entry:
        return self._entries.setdefault(key, _Entry())

    def _follow(self, entry: _Entry, key: str, plan: ClassPlan | None, grid: Grid) -> None:
        if plan and reaches(plan, self._node):
            if entry.read != (plan.generation, plan.result_made_at_s):
                self._read(entry, key, plan, grid)
        elif plan and plan.rollout:
            self._read_before(entry, key, plan.rollout.before, grid)
        entry.known = replace(entry.known, plan=plan)

    def _read(self, entry: _Entry, key: str, plan: ClassPlan, grid: Grid) -> None:
        found = self._store.get_class(key)
        if found.result is None:
            entry.trouble = f"class {key}: its result is not trusted: {found.ignored}" if found.ignored else ""
            return
        result = found.result.document
        if result.generation != plan.generation:
            return  # the plan follows the result; until then, this node's turn has not come
        # One whose sweeps disagree is not for nodes to take.
        if not result.disagreement:
            self._take(entry, key, found.result.text, grid)
        entry.read = (result.generation, result.made_at_s)

    def _read_before(self, entry: _Entry, key: str, generation: int, grid: Grid) -> None:
        """Take the last generation that reached all nodes, so that a new node has one before its turn comes."""
        held = entry.known.result.generation if entry.known.result else 0
        if held >= generation or entry.asked_before == generation:
            return
        for each in self._store.history(key):
            if each.document.generation == generation:
                self._take(entry, key, each.text, grid)
        entry.asked_before = generation

    def _take(self, entry: _Entry, key: str, text: str, grid: Grid | None) -> None:
        """Take a result if its signature, class and grid hold, and if it is not older than the one that is held."""
        order = Order(drive="drive", hardware_class=key, task="wait", said="", result=text, made_at_s=0)
        try:
            result = spool.read_result(order, self._trusted_keys, grid)
            refuse_replay(result, entry.known.result)
        except FleetDataError as error:
            entry.trouble = str(error)
            return
        entry.text, entry.trouble = text, ""
        entry.read = (result.generation, result.made_at_s)
        entry.known = replace(entry.known, result=result)


def _is_lost(found: ClassPlan | None, known: ClassPlan | None) -> bool:
    """Return whether the store has lost the plan that is known, or has one in its place that is older."""
    if known is None:
        return False
    return found is None or found.generation < known.generation or found.made_at_s < known.made_at_s
