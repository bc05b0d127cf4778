"""The lead of the coordinators: a slot of the store with a lease, which one of them holds at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.fleet.keys import Slot
from aio_tuned.fleet.store import ClaimLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.fleet.store import Claim, Store

SLOT = Slot("leader", "coordinator", 0)
LEASE_S = 60
RENEW_S = 20.0
# A coordinator that could not renew its lease stops so long before another one can have the lead.
_STOPS_BEFORE_S = 10.0


class Lead:
    """This coordinator's part in the election; `monotonic` has the seconds of a clock that is never set."""

    def __init__(self, store: Store, name: str, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._name = name
        self._monotonic = monotonic
        self._claim: Claim | None = None
        self._renewed_s = 0.0

    @property
    def is_held(self) -> bool:
        """Whether no other coordinator can have the lead now."""
        return self._claim is not None and self._monotonic() - self._renewed_s < LEASE_S - _STOPS_BEFORE_S

    def hold(self) -> bool:
        """Take the lead, or keep it where that is due; return whether it is held."""
        now_s = self._monotonic()
        if self._claim and not self.is_held:
            self.give_back()
        if self._claim is None:
            self._claim = self._store.claim(SLOT, self._name, LEASE_S)
            self._renewed_s = now_s
        elif now_s - self._renewed_s >= RENEW_S:
            try:
                self._store.keep_alive(self._claim)
                self._renewed_s = now_s
            except ClaimLostError:
                self._claim = None
        return self.is_held

    def check(self) -> None:
        """Keep the lead; raise ClaimLostError if it was lost."""
        if not (self.is_held and self.hold()):
            raise ClaimLostError("lost the lead of the fleet; another coordinator has it")

    def give_back(self) -> None:
        """End the lead, so that another coordinator need not wait for the end of the lease."""
        claim, self._claim = self._claim, None
        if claim:
            self._store.release(claim)
