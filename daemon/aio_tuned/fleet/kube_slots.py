"""Slots as Lease objects, whose times are those of the API server's clock."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet.kube_connection import segment
from aio_tuned.fleet.kube_errors import ConflictError, NotFoundError
from aio_tuned.fleet.store import Claim, ClaimLostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.fleet.keys import Slot, SlotKind
    from aio_tuned.fleet.kube_connection import KubeConnection

# The slots of one class or rack have a label in common.
SLOTS_LABEL = "aio-tuned.io/slots"
# Tells apart the times at which one node had the same slot.
CLAIM_ANNOTATION = "aio-tuned.io/claim"
_API = "coordination.k8s.io/v1"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_CLAIM_BITS = 62
# The server tells its time in whole seconds, so that what is known of it may be this much too early. A lease is written
# from the latest time that it may be, and a rival waits this much longer than the holder.
_CLOCK_S = 1.0
# As a part of a name and of a label: racks may have other letters, and Kubernetes' limit for a label is 63.
_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)


class KubeSlots:
    """The slots of the fleet in a namespace."""

    def __init__(self, connection: KubeConnection, namespace: str, page: int) -> None:
        self._connection = connection
        self._path = f"/apis/{_API}/namespaces/{segment(namespace)}/leases"
        self._page = page

    def claim(self, slot: Slot, node: str, ttl_s: int) -> Claim | None:
        """Take the slot for `ttl_s` seconds, or return None if a node has it."""
        claim = Claim(slot, node, secrets.randbits(_CLAIM_BITS))
        found = self._get(slot)
        if found and self._holder(found):
            return None
        now = self._now()
        taken = {
            "apiVersion": _API,
            "kind": "Lease",
            "metadata": {
                **(found["metadata"] if found else {"name": name_of(slot)}),
                "labels": {SLOTS_LABEL: group_of(slot.kind, slot.name)},
                "annotations": {CLAIM_ANNOTATION: str(claim.lease)},
            },
            "spec": {
                "holderIdentity": node,
                "leaseDurationSeconds": ttl_s,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": ((found.get("spec") or {}).get("leaseTransitions") or 0) + 1 if found else 0,
            },
        }
        try:
            if found:
                self._connection.call("PUT", self._path_of(slot), body=taken)
            else:
                self._connection.call("POST", self._path, body=taken)
        except ConflictError:
            # A call whose answer was lost is repeated, and then finds its own claim.
            found = self._get(slot)
            return claim if found and _is_of(found, claim) else None
        return claim

    def keep_alive(self, claim: Claim) -> None:
        """Hold the slot from now on for as long again; raise ClaimLostError if the lease has ended."""
        found = self._get(claim.slot)
        if found and _is_of(found, claim) and self._holder(found, 0.0):
            found["spec"]["renewTime"] = self._now()
            try:
                self._connection.call("PUT", self._path_of(claim.slot), body=found)
            except (ConflictError, NotFoundError):
                found = self._get(claim.slot)
            if found and _is_of(found, claim):
                return
        raise ClaimLostError(f"{claim.slot.key}: the lease has ended; claim it again")

    def release(self, claim: Claim) -> None:
        """Give the slot back, if it is still held. The Lease stays, so that nodes need no right to delete."""
        found = self._get(claim.slot)
        if not (found and _is_of(found, claim)):
            return
        found["metadata"]["annotations"].pop(CLAIM_ANNOTATION)
        found["spec"].pop("holderIdentity", None)
        try:
            self._connection.call("PUT", self._path_of(claim.slot), body=found)
        except (ConflictError, NotFoundError):
            return  # another node has it by now, or this one's call was repeated

    def holders(self, kind: SlotKind, name: str) -> Mapping[int, str]:
        """Return the nodes that hold slots of a class or a rack, by the slots' numbers."""
        group = group_of(kind, name)
        found: dict[int, str] = {}
        for page in self._connection.pages(self._path, {"labelSelector": f"{SLOTS_LABEL}={group}"}, self._page):
            for lease in page:
                number = str(lease["metadata"]["name"]).removeprefix(f"{group}-")
                holder = self._holder(lease)
                if holder and number.isdecimal():
                    found[int(number)] = holder
        return found

    def _path_of(self, slot: Slot) -> str:
        return f"{self._path}/{name_of(slot)}"

    def _get(self, slot: Slot) -> dict[str, Any] | None:
        try:
            return self._connection.call("GET", self._path_of(slot))
        except NotFoundError:
            return None

    def _now(self) -> str:
        return datetime.fromtimestamp(self._connection.now_s() + _CLOCK_S, timezone.utc).strftime(_TIME)

    def _holder(self, lease: dict[str, Any], more_s: float = _CLOCK_S) -> str:
        """Return the node that holds a lease, "" if none does, or if its time and some more have ended."""
        spec = lease.get("spec") or {}
        try:
            renewed = datetime.strptime(str(spec.get("renewTime")), _TIME).replace(tzinfo=timezone.utc).timestamp()
            ends_s = renewed + int(spec.get("leaseDurationSeconds") or 0) + more_s
        except ValueError:
            return ""
        return str(spec.get("holderIdentity") or "") if self._connection.now_s() < ends_s else ""


def group_of(kind: SlotKind, name: str) -> str:
    """Return the label of the slots of a class or a rack."""
    plain = name if _PLAIN.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{kind}-{plain}"


def name_of(slot: Slot) -> str:
    """Return the name of a slot's Lease."""
    return f"{group_of(slot.kind, slot.name)}-{slot.number}"


def _is_of(lease: dict[str, Any], claim: Claim) -> bool:
    return (lease["metadata"].get("annotations") or {}).get(CLAIM_ANNOTATION) == str(claim.lease)
