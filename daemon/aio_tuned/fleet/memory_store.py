"""A store in memory, which behaves as etcd does: for tests, and for simulations of many nodes in one process."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned.fleet import keys
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.plan import ClassPlan
from aio_tuned.fleet.signature import refuse_replay
from aio_tuned.fleet.store import (
    Changes,
    Claim,
    ClaimLostError,
    ClassEntry,
    RightsError,
    StaleError,
    Store,
    changes_of,
    check_class,
    check_of_class,
    check_pin,
    check_report,
    holders_of,
    pin_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.keys import Right, Slot, SlotKind
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Keyring, Signed
    from aio_tuned.fleet.store import IgnoredReport, ReportId


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    revision: int
    lease: int = 0


@dataclass(eq=False)
class SharedMemory:
    """What all stores of a fleet have in common; `clock` gives the seconds by which leases end."""

    clock: Callable[[], float] = time.monotonic
    changed: threading.Condition = field(init=False, default_factory=threading.Condition)
    revision: int = field(init=False, default=1)
    _values: dict[str, _Value] = field(init=False, default_factory=dict)
    _events: list[tuple[int, str]] = field(init=False, default_factory=list)
    _leases: dict[int, tuple[int, float]] = field(init=False, default_factory=dict)

    def put(self, key: str, text: str, lease: int = 0) -> None:
        """Set the value of a key; the caller holds `changed`."""
        self.revision += 1
        self._values[key] = _Value(text, self.revision, lease)
        self._events.append((self.revision, key))
        self.changed.notify_all()

    def delete(self, key: str) -> None:
        """Remove a key; the caller holds `changed`."""
        self.revision += 1
        self._values.pop(key, None)
        self._events.append((self.revision, key))
        self.changed.notify_all()

    def range(self, prefix: str) -> list[tuple[str, _Value]]:
        """Return the keys with the prefix, in order, without those whose lease has ended."""
        self._end_leases()
        return [(key, self._values[key]) for key in sorted(self._values) if key.startswith(prefix)]

    def get(self, key: str) -> _Value | None:
        """Return the value of a key, None if its lease has ended."""
        self._end_leases()
        return self._values.get(key)

    def _end_leases(self) -> None:
        now = self.clock()
        for lease in [each for each, (_, ends) in self._leases.items() if ends <= now]:
            self.end(lease)

    def grant(self, ttl_s: int) -> int:
        """Return a new lease."""
        self.revision += 1
        self._leases[self.revision] = (ttl_s, self.clock() + ttl_s)
        return self.revision

    def renew(self, lease: int) -> bool:
        """Begin the lease's time again; return false if it has ended."""
        ttl_s, ends = self._leases.get(lease, (0, 0.0))
        alive = ends > self.clock()
        if alive:
            self._leases[lease] = (ttl_s, self.clock() + ttl_s)
        return alive

    def end(self, lease: int) -> None:
        """Remove the lease and its keys."""
        self._leases.pop(lease, None)
        for key in [key for key, value in self._values.items() if value.lease == lease]:
            self.delete(key)

    def events(self, since: int, prefixes: tuple[str, ...]) -> frozenset[str]:
        """Return the keys with one of the prefixes that changed after the revision."""
        newer = itertools.takewhile(lambda event: event[0] > since, reversed(self._events))
        return frozenset(key for _, key in newer if key.startswith(prefixes))


class MemoryStore(Store):
    """One user's access to the shared memory."""

    def __init__(self, shared: SharedMemory, keyring: Keyring, rights: tuple[Right, ...]) -> None:
        self._shared = shared
        self._keyring = keyring
        self._rights = rights

    def _check(self, prefix: str, *, write: bool) -> None:
        if not any(
            prefix.startswith(each.prefix) and (each.access == "readwrite" or not write) for each in self._rights
        ):
            raise RightsError(f"{prefix}: permission denied; ask the fleet's operator for the rights of this node")

    def _range(self, prefix: str) -> list[tuple[str, _Value]]:
        self._check(prefix, write=False)
        with self._shared.changed:
            return self._shared.range(prefix)

    def _get(self, key: str) -> _Value | None:
        self._check(key, write=False)
        with self._shared.changed:
            return self._shared.get(key)

    def _put(self, key: str, text: str) -> None:
        self._check(key, write=True)
        with self._shared.changed:
            self._shared.put(key, text)

    def put_report(self, report: Signed[DriveReport]) -> None:
        key = keys.report(report.document.node, report.document.drive, report.document.basis)
        self._put(key, report.text)

    def list_reports(self, node: str | None = None) -> Iterator[Signed[DriveReport] | IgnoredReport]:
        for key, value in self._range(keys.REPORTS if node is None else keys.reports(node)):
            yield check_report(key, value.text, self._keyring)

    def claim(self, slot: Slot, node: str, ttl_s: int) -> Claim | None:
        self._check(slot.key, write=True)
        with self._shared.changed:
            if self._shared.get(slot.key):
                return None
            lease = self._shared.grant(ttl_s)
            self._shared.put(slot.key, node, lease)
        return Claim(slot, node, lease)

    def keep_alive(self, claim: Claim) -> None:
        with self._shared.changed:
            if not self._shared.renew(claim.lease):
                raise ClaimLostError(f"{claim.slot.key}: the lease has ended; claim it again")

    def release(self, claim: Claim) -> None:
        self._check(claim.slot.key, write=True)
        with self._shared.changed:
            self._shared.end(claim.lease)

    def holders(self, kind: SlotKind, name: str) -> Mapping[int, str]:
        prefix = keys.slots(kind, name)
        return holders_of((key.removeprefix(prefix), value.text) for key, value in self._range(prefix))

    def get_class(self, hardware_class: str) -> ClassEntry:
        found = self._get(keys.consensus(hardware_class))
        return check_class(hardware_class, found.text, found.revision, self._keyring) if found else ClassEntry(None, 0)

    def put_class(self, result: Signed[ClassResult], over: ClassEntry) -> ClassEntry:
        of = result.document
        refuse_replay(of, over.result.document if over.result else None)
        key = keys.consensus(of.hardware_class)
        self._check(key, write=True)
        with self._shared.changed:
            held = self._shared.get(key)
            if (held.revision if held else 0) != over.revision:
                raise StaleError(f"class {of.hardware_class}: another coordinator changed it; read it again")
            for old, _ in self._shared.range(keys.history(of.hardware_class)):
                if old < keys.oldest_kept(of.hardware_class, of.generation):
                    self._shared.delete(old)
            self._shared.put(keys.history(of.hardware_class, of.generation), result.text)
            self._shared.put(key, result.text)
            return ClassEntry(result, self._shared.revision)

    def history(self, hardware_class: str) -> tuple[Signed[ClassResult], ...]:
        entries = (
            check_class(hardware_class, value.text, value.revision, self._keyring)
            for _, value in reversed(self._range(keys.history(hardware_class)))
        )
        return tuple(each.result for each in entries if each.result)

    def get_report(self, of: ReportId) -> Signed[DriveReport] | IgnoredReport | None:
        found = self._get(keys.report(*of))
        return check_report(keys.report(*of), found.text, self._keyring) if found else None

    def get_plan(self, hardware_class: str) -> Signed[ClassPlan] | None:
        found = self._get(keys.plan(hardware_class))
        return check_of_class(hardware_class, found.text, self._keyring, ClassPlan) if found else None

    def put_plan(self, plan: Signed[ClassPlan]) -> None:
        self._put(keys.plan(plan.document.hardware_class), plan.text)

    def list_statuses(self) -> Iterator[Signed[ClassStatus]]:
        for key, value in self._range(keys.STATUSES):
            found = check_of_class(key.removeprefix(keys.STATUSES), value.text, self._keyring, ClassStatus)
            if found:
                yield found

    def put_status(self, status: Signed[ClassStatus]) -> None:
        self._put(keys.status(status.document.hardware_class), status.text)

    def get_pin(self, hardware_class: str) -> Pin | None:
        found = self._get(keys.pin(hardware_class))
        return check_pin(hardware_class, found.text) if found else None

    def put_pin(self, pin: Pin) -> None:
        self._put(keys.pin(pin.hardware_class), pin_text(pin))

    def delete_pin(self, hardware_class: str) -> bool:
        key = keys.pin(hardware_class)
        self._check(key, write=True)
        with self._shared.changed:
            there = self._shared.get(key) is not None
            if there:
                self._shared.delete(key)
        return there

    def watch(self, since: int | None, wait_s: float) -> Changes:
        self._check(keys.REPORTS, write=False)
        with self._shared.changed:
            if since is None:
                return Changes(self._shared.revision)
            found = self._shared.changed.wait_for(lambda: self._shared.events(since, keys.WATCHED), wait_s)
            return changes_of(self._shared.revision if found else since, found)
