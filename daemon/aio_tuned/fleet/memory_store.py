"""A store in memory, which behaves as etcd does: for tests, and for simulations of many nodes in one process."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned.fleet import keys
from aio_tuned.fleet.signature import refuse_replay
from aio_tuned.fleet.store import (
    Changes,
    Claim,
    ClaimLostError,
    ClassEntry,
    RightsError,
    StaleError,
    Store,
    check_class,
    check_report,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.keys import Right, Slot, SlotKind
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Keyring, Signed
    from aio_tuned.fleet.store import IgnoredReport


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
        now = self.clock()
        for lease in [each for each, (_, ends) in self._leases.items() if ends <= now]:
            self.end(lease)
        return sorted((key, value) for key, value in self._values.items() if key.startswith(prefix))

    def get(self, key: str) -> _Value | None:
        """Return the value of a key."""
        return dict(self.range(key)).get(key)

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

    def events(self, since: int, prefix: str) -> frozenset[str]:
        """Return the keys that changed after the revision."""
        return frozenset(key for revision, key in self._events if revision > since and key.startswith(prefix))


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

    def put_report(self, report: Signed[DriveReport]) -> None:
        key = keys.report(report.document.node, report.document.drive)
        self._check(key, write=True)
        with self._shared.changed:
            self._shared.put(key, report.text)

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
        return {int(key.removeprefix(prefix)): value.text for key, value in self._range(prefix)}

    def get_class(self, hardware_class: str) -> ClassEntry:
        key = keys.consensus(hardware_class)
        self._check(key, write=False)
        with self._shared.changed:
            found = self._shared.get(key)
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

    def watch(self, since: int | None, wait_s: float) -> Changes:
        self._check(keys.REPORTS, write=False)
        with self._shared.changed:
            if since is None:
                return Changes(self._shared.revision)
            found = self._shared.changed.wait_for(lambda: self._shared.events(since, keys.REPORTS), wait_s)
            return Changes(self._shared.revision if found else since, frozenset(map(keys.report_of, found)))
