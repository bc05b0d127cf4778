"""The store on etcd: leases for claims, transactions for compare-and-swap, and a watch."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet import keys
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.etcd_connection import TokenError
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
    from collections.abc import Iterator, Mapping

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.etcd_connection import EtcdConnection
    from aio_tuned.fleet.keys import Slot, SlotKind
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Keyring, Signed
    from aio_tuned.fleet.store import IgnoredReport, ReportId

# 80,000 reports of 1 KiB in one answer would be 110 MB of base64.
_PAGE = 1000


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text)


class EtcdStore(Store):
    """One user's access to etcd. It is used by one thread at a time."""

    def __init__(self, connection: EtcdConnection, keyring: Keyring, page: int = _PAGE) -> None:
        self._connection = connection
        self._keyring = keyring
        self._page = page

    def put_report(self, report: Signed[DriveReport]) -> None:
        of = report.document
        self._put(keys.report(of.node, of.drive, of.basis), report.text)

    def list_reports(self, node: str | None = None) -> Iterator[Signed[DriveReport] | IgnoredReport]:
        for key, kv in self._range(keys.REPORTS if node is None else keys.reports(node)):
            yield check_report(key, _value(kv), self._keyring)

    def claim(self, slot: Slot, node: str, ttl_s: int) -> Claim | None:
        if self._get(slot.key):
            return None  # without a lease, which each rival would otherwise get for nothing
        lease = str(self._connection.call("lease/grant", {"TTL": ttl_s})["ID"])
        key = _encode(slot.key)
        claim = Claim(slot, node, int(lease))
        try:
            answer = self._connection.call(
                "kv/txn",
                {
                    "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                    "success": [{"request_put": {"key": key, "value": _encode(node), "lease": lease}}],
                    "failure": [{"request_range": {"key": key}}],
                },
            )
        except ClaimLostError:  # a call that was tried for longer than the lease lasts
            return None
        # A transaction whose answer was lost is repeated, and then finds its own lease.
        if answer.get("succeeded") or any(kv.get("lease") == lease for kv in _found(answer)):
            return claim
        self.release(claim)
        return None

    def keep_alive(self, claim: Claim) -> None:
        answer = self._connection.call("lease/keepalive", {"ID": str(claim.lease)})
        if int(answer.get("result", {}).get("TTL", 0)) <= 0:
            raise ClaimLostError(f"{claim.slot.key}: the lease has ended; claim it again")

    def release(self, claim: Claim) -> None:
        try:
            self._connection.call("kv/lease/revoke", {"ID": str(claim.lease)})
        except ClaimLostError:
            return

    def holders(self, kind: SlotKind, name: str) -> Mapping[int, str]:
        prefix = keys.slots(kind, name)
        return holders_of(
            (key.removeprefix(prefix), _value(kv).decode(errors="replace")) for key, kv in self._range(prefix)
        )

    def get_class(self, hardware_class: str) -> ClassEntry:
        kv = self._get(keys.consensus(hardware_class))
        return self._entry(hardware_class, kv) if kv else ClassEntry(None, 0)

    def put_class(self, result: Signed[ClassResult], over: ClassEntry) -> ClassEntry:
        of = result.document
        refuse_replay(of, over.result.document if over.result else None)
        key, value = _encode(keys.consensus(of.hardware_class)), _encode(result.text)
        kept = _encode(keys.history(of.hardware_class, of.generation))
        oldest = _encode(keys.oldest_kept(of.hardware_class, of.generation))
        outdated = {"key": _encode(keys.history(of.hardware_class)), "range_end": oldest}
        answer = self._connection.call(
            "kv/txn",
            {
                "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(over.revision)}],
                "success": [
                    {"request_put": {"key": key, "value": value}},
                    {"request_put": {"key": kept, "value": value}},
                    {"request_delete_range": outdated},
                ],
                "failure": [{"request_range": {"key": key}}],
            },
        )
        if answer.get("succeeded"):
            return ClassEntry(result, int(answer["header"]["revision"]))
        # A transaction whose answer was lost is repeated, and then finds its own text.
        for kv in _found(answer):
            if kv.get("value") == value:
                return ClassEntry(result, int(kv["mod_revision"]))
        raise StaleError(f"class {of.hardware_class}: another coordinator changed it; read it again")

    def history(self, hardware_class: str) -> tuple[Signed[ClassResult], ...]:
        entries = [self._entry(hardware_class, kv) for _, kv in self._range(keys.history(hardware_class))]
        return tuple(each.result for each in reversed(entries) if each.result)

    def get_report(self, of: ReportId) -> Signed[DriveReport] | IgnoredReport | None:
        kv = self._get(keys.report(*of))
        return check_report(keys.report(*of), _value(kv), self._keyring) if kv else None

    def get_plan(self, hardware_class: str) -> Signed[ClassPlan] | None:
        kv = self._get(keys.plan(hardware_class))
        return check_of_class(hardware_class, _value(kv), self._keyring, ClassPlan) if kv else None

    def put_plan(self, plan: Signed[ClassPlan]) -> None:
        self._put(keys.plan(plan.document.hardware_class), plan.text)

    def list_statuses(self) -> Iterator[Signed[ClassStatus]]:
        for key, kv in self._range(keys.STATUSES):
            found = check_of_class(key.removeprefix(keys.STATUSES), _value(kv), self._keyring, ClassStatus)
            if found:
                yield found

    def put_status(self, status: Signed[ClassStatus]) -> None:
        self._put(keys.status(status.document.hardware_class), status.text)

    def get_pin(self, hardware_class: str) -> Pin | None:
        kv = self._get(keys.pin(hardware_class))
        return check_pin(hardware_class, _value(kv)) if kv else None

    def put_pin(self, pin: Pin) -> None:
        self._put(keys.pin(pin.hardware_class), pin_text(pin))

    def delete_pin(self, hardware_class: str) -> bool:
        answer = self._connection.call("kv/deleterange", {"key": _encode(keys.pin(hardware_class))})
        return int(answer.get("deleted", 0)) > 0

    def watch(self, since: int | None, wait_s: float) -> Changes:
        begin, end = _encode(keys.WATCHED[0]), _encode(keys.end_of(keys.WATCHED[-1]))
        if since is None:
            answer = self._connection.call("kv/range", {"key": begin, "range_end": end, "count_only": True})
            return Changes(int(answer["header"]["revision"]))
        # Else a message has a thousand changes, of 1.5 MiB each if a node writes such values.
        wanted = {"key": begin, "range_end": end, "start_revision": str(since + 1), "fragment": True}
        try:
            changes = self._connection.first_message("watch", {"create_request": wanted}, wait_s, _changes) or Changes(
                since
            )
        except TokenError as error:  # after another login
            raise RightsError(f"{error}; give the user its role") from None
        # The message that tells of a compaction has no revision.
        return changes if changes.complete else replace(self.watch(None, 0), complete=False)

    def _entry(self, hardware_class: str, kv: dict[str, Any]) -> ClassEntry:
        return check_class(hardware_class, _value(kv), int(kv["mod_revision"]), self._keyring)

    def _put(self, key: str, text: str) -> None:
        self._connection.call("kv/put", {"key": _encode(key), "value": _encode(text)})

    def _get(self, key: str) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = self._connection.call("kv/range", {"key": _encode(key)}).get("kvs", [])
        return found[0] if found else None

    def _range(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the keys with the prefix, in order, and what etcd has under each.

        Each page is as of its own time. A key that is there all the time is in one of them, and no key is in two.
        """
        begin, end = _encode(prefix), _encode(keys.end_of(prefix))
        while True:
            answer = self._connection.call("kv/range", {"key": begin, "range_end": end, "limit": self._page})
            found = answer.get("kvs", [])
            for kv in found:
                yield _decode(kv["key"]).decode(errors="replace"), kv
            if not (found and answer.get("more")):
                return
            begin = base64.b64encode(_decode(found[-1]["key"]) + b"\0").decode("ascii")


def _value(kv: dict[str, Any]) -> bytes:
    return _decode(kv.get("value", ""))


def _found(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the range of a transaction found."""
    return [kv for each in answer.get("responses", []) for kv in each.get("response_range", {}).get("kvs", [])]


def _changes(message: dict[str, Any]) -> Changes | None:
    """Return the changes in a message of a watch, None if there are none; raise TokenError if it was refused."""
    if message.get("canceled"):
        if int(message.get("compact_revision", 0)):
            return Changes(0, complete=False)
        # etcd 3.4 answers so for an expired token, too.
        raise TokenError(f"watch: {message.get('cancel_reason', 'refused')}")
    events = [each["kv"] for each in message.get("events", [])]
    if not events:
        return None
    changed = (_decode(kv["key"]).decode(errors="replace") for kv in events)
    # The next fragment may have more of the last revision.
    revision = max(int(kv["mod_revision"]) for kv in events) - bool(message.get("fragment"))
    return changes_of(revision, changed)
