"""What the fleet says about each drive, and what the daemon makes of it: its settings as a sibling's, sweeps and waits.

The agent's orders are not trusted. A class result counts by its signature, enters as one more sibling, and is measured
on this very drive before it is published as `measured`. An order to wait holds a sweep back for `max_wait` at most.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import formatting
from aio_tuned.config import fleet_section
from aio_tuned.errors import AioTunedError, FleetDataError
from aio_tuned.fleet import bundle, hardware_class, spool
from aio_tuned.fleet.class_profile import class_profile
from aio_tuned.fleet.consensus import VOTES_LAST_S
from aio_tuned.fleet.draw import draw
from aio_tuned.fleet.profile_report import Source
from aio_tuned.fleet.spool import Spool
from aio_tuned.helper.protocol import PROTOCOL
from aio_tuned.profiles.decision import is_checkable
from aio_tuned.service import fleet_places, fleet_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.hardware_class import TargetKind
    from aio_tuned.fleet.order import Order
    from aio_tuned.fleet.report import Basis
    from aio_tuned.model.profile import Fingerprint, Profile
    from aio_tuned.profiles.decision import Decision
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.waits import Waits
    from aio_tuned.service.worker.messages import Disagreed, Done, Job

# Nodes whose wait is over sweep within this last part of `max_wait`, not all at once.
_JITTER_SHARE = 0.25
# A check without a result is tried this often.
_MOST_FAILURES = 3


class _Done(NamedTuple):
    """A full sweep, or the check of a generation, of a drive in that class, and its time."""

    hardware_class: str
    generation: int
    at_s: float


class FleetDesk:
    """The orders, class results and reports of this host's drives, for one configuration."""

    def __init__(self, config: Config, waits: Waits, now: Callable[[], float] = time.time) -> None:
        self._config = config
        self._waits = waits
        self._now = now
        self._source = Source(node=fleet_section.node_name(config.fleet_node), domain=config.fleet_domain)
        self._spool = Spool(config.state) if config.fleet else None
        self._orders: Mapping[str, Order] = {}
        self._refused: tuple[str, ...] = ()
        self._unwritten: dict[str, str] = {}
        # Results by drive, each beside the text that it was read from, since signatures take time to check.
        self._results: dict[str, tuple[str, ClassResult | FleetDataError]] = {}
        self._newest: dict[str, ClassResult] = {}
        self._bundles: tuple[tuple[str, int, int], ...] = ()
        self._bundled: Mapping[str, ClassResult] = {}
        self._ignored: tuple[str, ...] = ()
        # What led to no report counts, too: the order stays, and would have the drive swept again and again.
        self._done: dict[tuple[str, Basis], _Done] = {}
        with self._noted("spool"):
            if self._spool:
                self._spool.make(None)
        self.look()

    @property
    def troubles(self) -> tuple[str, ...]:
        """The sentences on files that could not be read or written."""
        results = (str(found) for _, found in self._results.values() if isinstance(found, FleetDataError))
        return (*self._ignored, *self._refused, *self._unwritten.values(), *results)

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """Keep an error as the trouble of `what`, until it succeeds."""
        try:
            yield
            self._unwritten.pop(what, None)
        except AioTunedError as error:
            self._unwritten[what] = str(error)

    def look(self) -> bool:
        """Read the orders and the bundles again; return whether any has changed."""
        before = (self._bundles, self._orders)
        self._bundles = fleet_places.states(self._config)
        if self._bundles != before[0]:
            self._bundled, self._ignored = bundle.load_folders(fleet_places.bundles(self._config))
        if self._spool:
            self._orders, self._refused = self._spool.orders()
            self._results = {name: found for name, found in self._results.items() if name in self._orders}
        return (self._bundles, self._orders) != before

    # --- what the fleet says ------------------------------------------------------------------------------

    def class_of(self, drive: Drive, now: Fingerprint) -> str:
        """Return the key of the drive's class; "" before it was probed, and for drives without a class."""
        return self._key(drive, now, drive.target.kind) if drive.target else ""

    def _key(self, drive: Drive, now: Fingerprint, kind: TargetKind) -> str:
        facts = hardware_class.facts_of(drive.device, now, kind, self._config.grid, str(PROTOCOL))
        return hardware_class.class_key(facts) if facts else ""

    def _order(self, drive: Drive, key: str) -> Order | None:
        order = self._orders.get(drive.device.name)
        return order if order and order.hardware_class == key else None

    def _result(self, drive: Drive, key: str) -> ClassResult | None:
        """Return the result of the class that the fleet gives, else that of a bundle.

        The generations of a bundle may be those of another fleet, and say nothing about those of this one.
        """
        order, found = self._order(drive, key), self._bundled.get(key)
        if order and order.result:
            name = drive.device.name
            if self._results.get(name, ("", None))[0] != order.result:
                self._results[name] = (order.result, self._read(order))
            ordered = self._results[name][1]
            if not isinstance(ordered, FleetDataError):
                found = ordered
        return found

    def _read(self, order: Order) -> ClassResult | FleetDataError:
        """Return the order's result, or why it is ignored.

        An agent may hold results back, but not bring back old ones: in place of one, the newest that is known counts.
        """
        try:
            found = spool.read_result(order, self._config.fleet_trusted_keys, self._config.grid)
            newest = self._newest.get(order.hardware_class)
            if newest and (found.generation, found.made_at_s) < (newest.generation, newest.made_at_s):
                return newest
        except FleetDataError as error:
            return error
        self._newest[order.hardware_class] = found
        return found

    def siblings(self, drive: Drive, now: Fingerprint) -> tuple[Profile, ...]:
        """Return the result of the drive's class as the profile of a sibling, if there is one.

        Before the probe the class is the one that the drive's mounts suggest, so that its settings are published at
        once; no sweep or check begins by that.
        """
        key = self.class_of(drive, now) or self._key(drive, now, "scratch" if now.filesystem else "device")
        result = self._result(drive, key) if key else None
        return (class_profile(result, drive.device, now),) if result else ()

    # --- what the daemon makes of it ----------------------------------------------------------------------

    def advise(self, drive: Drive, now: Fingerprint, own: Profile | None, found: Decision) -> Decision:
        """Return the decision as the fleet wants it.

        A drive with a valid profile checks a newer generation, or is swept for its class. One without it checks the
        class's settings when it is this node's turn, and waits with a full sweep while other nodes sweep for it.
        """
        key = self.class_of(drive, now)
        if not (self._spool and key) or drive.asked or drive.full_sweep_reason:
            return found
        order, result = self._order(drive, key), self._result(drive, key)
        sibling = class_profile(result, drive.device, now) if result else None
        if found.sweep == "none":
            self._waits.end_fleet(drive.device.id)
            return self._of_valid(drive, own, found, order, sibling)
        is_new = sibling is not None and not self._has_refused(drive, key, sibling)
        if order and order.task == "check" and sibling and is_new and is_checkable(sibling, now, drive.target):
            return replace(found, sweep="check", against=sibling, reason=f"{found.reason}; {order.said}")
        if order and order.task == "sweep" and not self._has_swept(drive, key):
            return replace(found, sweep="full", against=None, reason=f"{found.reason}; {order.said}")
        of_class = found.against is not None and found.against.evidence.fleet_class == key
        if found.sweep == "check" and not (of_class and order):
            return found  # against a drive of this host, or a bundle: seconds, for which nobody needs to wait
        return self._held(drive, found, order)

    def _of_valid(
        self, drive: Drive, own: Profile | None, found: Decision, order: Order | None, sibling: Profile | None
    ) -> Decision:
        if order is None:
            return found
        if order.task == "check" and sibling:
            known = self._checked_generation(drive, order.hardware_class, own)
            if (sibling.evidence.fleet_generation or 0) > known and is_checkable(
                sibling, sibling.fingerprint, drive.target
            ):
                return replace(found, sweep="check", against=sibling, reason=order.said, for_fleet=True)
        # A sweep of a drive whose own is provisional would have no vote either.
        may_vote = own is not None and own.state == "measured"
        if order.task == "sweep" and may_vote and not self._has_swept(drive, order.hardware_class):
            return replace(found, sweep="full", reason=order.said, for_fleet=True)
        return found

    def _held(self, drive: Drive, found: Decision, order: Order | None) -> Decision:
        longest_s = self._config.fleet_max_wait
        early_s = longest_s * _JITTER_SHARE * (draw(self._source.node, drive.device.name) % 1024) / 1024
        left_s = self._waits.fleet_left_s(drive.device.id, longest_s - early_s)
        if left_s <= 0:
            said = f"waited {formatting.duration(longest_s)} for the fleet; sweeps by itself"
            return replace(found, sweep="full", against=None, reason=f"{found.reason}; {said}")
        said = order.said if order else "waits for an order of the fleet's agent"
        return replace(found, reason=f"{found.reason}; {said}", wait_s=left_s)

    def _last(self, drive: Drive, key: str, basis: Basis) -> _Done | None:
        """Return the drive's last sweep or check in the class, None without one."""
        name = drive.device.name
        done = self._done.get((name, basis))
        if done and done.hardware_class == key:
            return done
        told = self._spool.reports_of(name).get(basis) if self._spool else None
        return _Done(key, told.generation, told.at_s) if told and told.hardware_class == key else None

    def _has_swept(self, drive: Drive, key: str) -> bool:
        swept = self._last(drive, key, "sweep")
        return swept is not None and abs(self._now() - swept.at_s) < VOTES_LAST_S

    def _has_refused(self, drive: Drive, key: str, sibling: Profile) -> bool:
        """Return whether a check has not confirmed this generation; the full sweep after it may have been cut short."""
        told = self._spool.reports_of(drive.device.name).get("check") if self._spool else None
        generation = sibling.evidence.fleet_generation
        return told is not None and not told.confirms and (told.hardware_class, told.generation) == (key, generation)

    def _checked_generation(self, drive: Drive, key: str, own: Profile | None) -> int:
        """Return the newest generation of the class that was checked on this drive, whatever the check has found."""
        checked = self._last(drive, key, "check")
        of_own = own.evidence.fleet_generation if own and own.evidence.fleet_class == key else None
        return max(checked.generation if checked else 0, of_own or 0)

    # --- what the daemon tells it -------------------------------------------------------------------------

    def tell_present(self, drive: Drive, now: Fingerprint) -> None:
        """Report that the drive is there, and the state of its profile; nothing before it was probed."""
        key = self.class_of(drive, now)
        if self._spool and key and drive.shown:
            with self._noted(f"presence {drive.device.name}"):
                report = fleet_reports.presence(self._source, drive, key, now, self._config.grid, self._now())
                self._spool.write(report)

    def tell_result(self, drive: Drive, job: Job, final: Done | Disagreed) -> bool:
        """Report a full sweep, or the check of a class result, unless the drive has been removed.

        Return whether that ends what the fleet asked for. A check without a result does so after three attempts.
        """
        if self._spool is None or drive.removed:
            return False
        outcome = None
        with self._noted(f"result {drive.device.name}"):
            outcome = fleet_reports.result(self._source, job, final, lambda now: self.class_of(drive, now))
            if outcome is None and not final.text and drive.state.failures + 1 >= _MOST_FAILURES:
                outcome = fleet_reports.unknown(job)
            if outcome:
                done = _Done(outcome.hardware_class, outcome.generation, self._now())
                self._done[drive.device.name, outcome.basis] = done
            if outcome and outcome.report:
                self._spool.write(outcome.report)
        return outcome is not None

    def tell_absent(self, name: str) -> None:
        """Remove the reports of a drive, which is not there, or may not be swept."""
        if self._spool:
            with self._noted(f"removal {name}"):
                self._spool.remove(name)

    def forget(self, drive: Drive) -> None:
        """Remove all that is known of a drive that was removed."""
        self._waits.end_fleet(drive.device.id)
        self._done = {of: done for of, done in self._done.items() if of[0] != drive.device.name}
        self.tell_absent(drive.device.name)

    def keep(self, names: set[str]) -> None:
        """Remove the reports of drives that are not among these."""
        if self._spool:
            for name in {each.drive for each in self._spool.reports()} - names:
                self.tell_absent(name)
