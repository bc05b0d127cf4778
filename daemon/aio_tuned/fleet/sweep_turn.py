"""The turn of a node to sweep: a claim of the drive's class and a place of its rack, both leased while it lasts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.fleet.draw import draw as drawn
from aio_tuned.fleet.keys import Slot
from aio_tuned.fleet.store import ClaimLostError, FullError, RightsError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aio_tuned.fleet.node_orders import Asks, KnownClass, NodeDrive
    from aio_tuned.fleet.store import Claim, Store

# A node that dies gives its claims back within a minute.
LEASE_S = 60
RENEW_S = 20.0
# A sweep that takes longer is not waited for; the node sweeps no earlier than this time after it.
LONGEST_S = 2 * 3600
# A claim outlasts the report of its sweep, until the coordinator has counted it and all nodes that wait know: they read
# their plan once a minute, and would else take the slot for a fourth sweep (measured: five sweeps in place of three).
LINGERS_S = 150.0
# The delay for each sweep of the class in this rack, so that other racks are first.
_RACK_S = 60
# Drives that wait for a profile are first. The sweeps of a store that was emptied are put again within half of this
# time, and within the other half all nodes read that they are there: at 600 s two more drives were swept.
_MEASURED_S = 1800
_SPREAD_S = 3600


class Asking(NamedTuple):
    """A drive that asks to sweep, and whose order is to sweep already, from before a restart, if it `resumes`."""

    drive: NodeDrive
    asks: Asks
    resumes: bool


class SweepTurn:
    """What this node holds for the sweep of one drive; `drive` is None while none is swept.

    `said` tells why a drive that asks has to wait, by the drive's name, where it is the rack.
    """

    def __init__(self, store: Store, node: str, domain: str, sweeps_per_domain: int) -> None:
        self._store = store
        self._node = node
        self._domain = domain
        self._places = tuple(Slot("budget", domain, number) for number in range(sweeps_per_domain)) if domain else ()
        self._held: list[Claim] = []
        self._since_s = 0.0
        self._not_before_s = 0.0
        self._lasts_until_s = 0.0
        self._open_since: dict[str, float] = {}
        self.drive: NodeDrive | None = None
        self.said: dict[str, str] = {}
        # A drive whose order stays as it is, since the claims of this node from before a restart have not ended yet.
        self.kept = ""

    @property
    def held(self) -> int:
        """The number of claims that this node holds."""
        return len(self._held)

    def sentence(self) -> str:
        """Return what the drive is doing, for operators."""
        number = next((each.slot.number for each in self._held if each.slot.kind == "claim"), None)
        key = self.drive.hardware_class if self.drive else ""
        return f"sweeping for class {key}: claim {number}" if number is not None else "sweeping for itself"

    def renew(self) -> None:
        """Keep the claims, and take those again whose leases have ended; give all back if another node has one.

        Raise StoreError.
        """
        for place, claim in enumerate(self._held):
            try:
                self._store.keep_alive(claim)
            except ClaimLostError:
                try:
                    again = self._store.claim(claim.slot, self._node, LEASE_S)
                except (FullError, RightsError):
                    again = None  # a store that can be read is not one that is away
                if again is None:
                    del self._held[place]
                    self.release()
                    return
                self._held[place] = again

    def end_if_over(self, drives: Iterable[NodeDrive], swept: Mapping[str, bool], now_s: float) -> None:
        """Give the claims back if the sweep was reported, took too long, or has no vote; raise StoreError.

        `swept` tells by drive whether the store has the report of its sweep.
        """
        if self.drive is None:
            if self._held and not 0 < self._lasts_until_s - now_s <= LINGERS_S:
                self.release()
            return
        now = next((each for each in drives if each.name == self.drive.name), None)
        if now is None or now.hardware_class != self.drive.hardware_class or not now.can_vote:
            self.release()
        elif now.swept_at_s > self.drive.swept_at_s:
            if swept.get(now.name):
                self.drive, self._lasts_until_s = None, now_s + LINGERS_S
                self._give_back([each for each in self._held if each.slot.kind == "budget"])
        elif not 0 <= now_s - self._since_s < LONGEST_S:
            self._not_before_s = now_s + LONGEST_S
            self.release()

    def take(self, asking: Iterable[Asking], known: Mapping[str, KnownClass], now_s: float) -> None:
        """Take the claims for the first drive that asks and can have them; raise StoreError."""
        self.said, self.kept = {}, ""
        waiting = sorted(asking, key=lambda each: not each.resumes)
        classes = {each.drive.hardware_class for each in waiting}
        self._open_since = {key: self._open_since.get(key, now_s) for key in classes}
        if self._held or self.drive or 0 < self._not_before_s - now_s <= LONGEST_S:
            return
        tried: set[tuple[str, Asks]] = set()
        for each in waiting:
            kind = (each.drive.hardware_class, each.asks)
            if kind in tried or not self._is_ready(each, known[each.drive.hardware_class], now_s):
                continue
            tried.add(kind)
            try:
                if self._take(each, known, now_s):
                    return
            except StoreError:
                # The first of two claims is not held alone.
                with contextlib.suppress(StoreError):
                    self.release()
                raise

    def _is_ready(self, asking: Asking, known: KnownClass, now_s: float) -> bool:
        if asking.resumes or asking.asks == "itself":
            return True
        key = asking.drive.hardware_class
        number = drawn(key, self._node)
        delay_s = 0
        if asking.drive.is_measured:
            delay_s += _MEASURED_S + number % _SPREAD_S
        if self._domain and known.plan:
            sweeps = known.plan.racks.count(self._domain)
            delay_s += sweeps * (_RACK_S + number % (_RACK_S // 2))
        return now_s - self._open_since[key] >= delay_s

    def _take(self, asking: Asking, known: Mapping[str, KnownClass], now_s: float) -> bool:
        drive, key = asking.drive, asking.drive.hardware_class
        slots: list[Slot] = []
        if asking.asks == "class":
            holders = self._store.holders("claim", key)
            if self._node in holders.values():
                self.kept = drive.name
                return False
            plan = known[key].plan
            slots = [Slot("claim", key, each) for each in known[key].open_slots() if each not in holders]
            if not slots or (plan and plan.swept + len(holders) >= plan.wanted):
                return False
        if self._places and not self._take_one(self._places):
            self.said[drive.name] = f"waiting for rack {self._domain}: {len(self._places)} drives are swept in it"
            return False
        if slots and not self._take_one(slots):
            self.release()
            return False
        self.drive, self._since_s = drive, now_s
        return True

    def _take_one(self, slots: Iterable[Slot]) -> bool:
        for slot in slots:
            claim = self._store.claim(slot, self._node, LEASE_S)
            if claim:
                self._held.append(claim)
                return True
        return False

    def release(self) -> None:
        """Give everything back; what the store does not hear of ends with its lease. Raise StoreError."""
        self.drive = None
        self._give_back(list(self._held))

    def _give_back(self, claims: list[Claim]) -> None:
        self._held = [each for each in self._held if each not in claims]
        failed: StoreError | None = None
        for claim in claims:
            try:
                self._store.release(claim)
            except StoreError as error:
                failed = error
        if failed:
            raise failed
