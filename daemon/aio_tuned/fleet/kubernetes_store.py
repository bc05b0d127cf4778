"""The store on Kubernetes: objects of the cluster, Leases for slots, and the resource version for compare-and-swap.

A node's reports are in its DriveReport. What nodes read of a class, its plan and result, is in a DriveClassPlan, which
is small because each node reads it every ten minutes; others keep the last results. The DriveClass has what operators
read and write.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aio_tuned.fleet import drive_class_object, drive_report_object, keys, service_account, wire
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.kube_connection import KubeAccess, KubeConnection, segment
from aio_tuned.fleet.kube_errors import ConflictError, InvalidError, NotFoundError
from aio_tuned.fleet.kube_slots import KubeSlots
from aio_tuned.fleet.kube_watch import KubeWatch
from aio_tuned.fleet.plan import ClassPlan
from aio_tuned.fleet.signature import refuse_replay
from aio_tuned.fleet.store import (
    Changes,
    Claim,
    ClassEntry,
    FullError,
    ReportId,
    RightsError,
    StaleError,
    Store,
    StoreError,
    check_class,
    check_of_class,
    check_pin,
    check_report,
    pin_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.keys import Slot, SlotKind
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.service_account import Node
    from aio_tuned.fleet.signature import Keyring, Signed
    from aio_tuned.fleet.store import IgnoredReport

API = "aio-tuned.io/v1alpha1"
PLAN_KIND, PLAN_PLURAL = "DriveClassPlan", "driveclassplans"
# What nodes read of one class has a label in common.
CLASS_LABEL = "aio-tuned.io/class"
_REPORTS = f"/apis/{API}/{drive_report_object.PLURAL}"
_CLASSES = f"/apis/{API}/{drive_class_object.PLURAL}"
_PLANS = f"/apis/{API}/{PLAN_PLURAL}"
# A DriveReport of eight drives has 24 KiB.
_PAGE = 100
# Another writer between a read and a write is rare: one coordinator leads, and a node writes its own object.
_MOST_TRIES = 5


class KubernetesStore(Store):
    """One service account's access to the objects. It is used by one thread at a time."""

    def __init__(
        self,
        connection: KubeConnection,
        keyring: Keyring,
        *,
        namespace: str = service_account.NAMESPACE,
        node: Node | None = None,
        page: int = _PAGE,
    ) -> None:
        self._connection = connection
        self._keyring = keyring
        self._node = node
        self._page = page
        self._slots = KubeSlots(connection, namespace, page)
        self._watch = KubeWatch(connection, _REPORTS, _CLASSES)
        self._observed: dict[str, int] = {}

    @classmethod
    def open(
        cls, endpoints: Sequence[str], keyring: Keyring, *, sleep: Callable[[float], None] = time.sleep
    ) -> KubernetesStore:
        """Return the access of this pod's service account; raise ConfigError outside a pod.

        With an endpoint, which `kubectl proxy` has on this host, it is that of the operator who runs that.
        """
        if endpoints:
            return cls(KubeConnection(KubeAccess(server=endpoints[0]), sleep=sleep), keyring)
        access = service_account.access()
        return cls(
            KubeConnection(access, sleep=sleep),
            keyring,
            namespace=service_account.namespace(),
            node=service_account.node_of(access.token()),
        )

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    # --- reports ----------------------------------------------------------------------------------------------

    def put_report(self, report: Signed[DriveReport]) -> None:
        of = report.document
        _check_name(of.node)
        spec = drive_report_object.merge(ReportId(of.node, of.drive, of.basis), report.text)
        metadata = drive_report_object.metadata(of.node, self._node)
        try:
            self._put(_REPORTS, drive_report_object.KIND, metadata, spec)
        except InvalidError as error:
            raise FullError(
                f"{error}; remove it by `kubectl delete drivereport {of.node}`, and it is made anew"
            ) from None

    def list_reports(self, node: str | None = None) -> Iterator[Signed[DriveReport] | IgnoredReport]:
        if node is not None:
            yield from self._reports_in([self._read_reports(node)])
            return
        for page in self._connection.pages(_REPORTS, {}, self._page):
            yield from self._reports_in(page)

    def get_report(self, of: ReportId) -> Signed[DriveReport] | IgnoredReport | None:
        texts = dict(drive_report_object.reports(self._read_reports(of.node)))
        return check_report(keys.report(*of), texts[of], self._keyring) if of in texts else None

    def _reports_in(self, objects: Iterable[Mapping[str, Any]]) -> Iterator[Signed[DriveReport] | IgnoredReport]:
        for each in objects:
            for of, text in drive_report_object.reports(each):
                yield check_report(keys.report(*of), text, self._keyring)

    def _read_reports(self, node: str) -> dict[str, Any]:
        """Return the object of a node, which is empty if there is none.

        The rights of a node's account are to patch alone. It reads its own object by a patch without a change, since
        admission lets it patch no other one, and cannot forbid it to read others.
        """
        _check_name(node)
        try:
            found = self._get(_REPORTS, node)
        except RightsError:
            if self._node is None or self._node.name != node:
                raise
            try:
                found = self._connection.patch(f"{_REPORTS}/{node}", {})
            except NotFoundError:
                found = None
        return found or {"metadata": {"name": node}}

    # --- slots ------------------------------------------------------------------------------------------------

    def claim(self, slot: Slot, node: str, ttl_s: int) -> Claim | None:
        return self._slots.claim(slot, node, ttl_s)

    def keep_alive(self, claim: Claim) -> None:
        self._slots.keep_alive(claim)

    def release(self, claim: Claim) -> None:
        self._slots.release(claim)

    def holders(self, kind: SlotKind, name: str) -> Mapping[int, str]:
        return self._slots.holders(kind, name)

    # --- classes ----------------------------------------------------------------------------------------------

    def get_class(self, hardware_class: str) -> ClassEntry:
        return self._entry(hardware_class, self._told(hardware_class, "result"))

    def put_class(self, result: Signed[ClassResult], over: ClassEntry) -> ClassEntry:
        of = result.document
        refuse_replay(of, over.result.document if over.result else None)
        for attempt in range(_MOST_TRIES):
            found = self._get(_PLANS, of.hardware_class)
            held = _told_in(found, "result")
            # A call whose answer was lost is repeated, and then finds its own text.
            if attempt and held == result.text:
                break
            if _revision(held) != over.revision:
                raise _stale(of.hardware_class)
            told = {**(found or {}).get("spec", {}), "result": result.text}
            try:
                if found:
                    self._connection.call("PUT", f"{_PLANS}/{of.hardware_class}", body={**found, "spec": told})
                else:
                    self._create(_PLANS, PLAN_KIND, _told_metadata(of.hardware_class), told)
            except ConflictError:
                continue
            break
        else:
            raise _stale(of.hardware_class)
        self._keep(result, over)
        return ClassEntry(result, _revision(result.text))

    def history(self, hardware_class: str) -> tuple[Signed[ClassResult], ...]:
        asked = {"labelSelector": f"{CLASS_LABEL}={hardware_class}"}
        objects = [each for page in self._connection.pages(_PLANS, asked, self._page) for each in page]
        # The current one comes first. It is written before it is kept, and a coordinator may have ended in between.
        entries = (self._entry(hardware_class, _told_in(each, "result")) for each in objects)
        return _newest(each.result for each in entries if each.result)

    def get_plan(self, hardware_class: str) -> Signed[ClassPlan] | None:
        return check_of_class(hardware_class, self._told(hardware_class, "plan"), self._keyring, ClassPlan)

    def put_plan(self, plan: Signed[ClassPlan]) -> None:
        metadata = _told_metadata(plan.document.hardware_class)
        self._put(_PLANS, PLAN_KIND, metadata, {"plan": plan.text})

    def list_statuses(self) -> Iterator[Signed[ClassStatus]]:
        for page in self._connection.pages(_CLASSES, {}, self._page):
            for each in page:
                text = str((each.get("status") or {}).get("report", ""))
                found = check_of_class(str(each["metadata"]["name"]), text, self._keyring, ClassStatus)
                yield from [found] if found else []

    def put_status(self, status: Signed[ClassStatus]) -> None:
        name = status.document.hardware_class
        found = self._get(_CLASSES, name) or {}
        observed = self._observed.get(name)
        before = found.get("status") or {}
        self._put_status(name, drive_class_object.status(status, observed, before, self._connection.now_s()))

    def get_pin(self, hardware_class: str) -> Pin | None:
        found = self._get(_CLASSES, hardware_class)
        if not found:
            return None
        self._observed[hardware_class] = int(found["metadata"].get("generation", 0))
        text = drive_class_object.pin_in(found)
        return check_pin(hardware_class, text) if text else None

    def put_pin(self, pin: Pin) -> None:
        pin_text(pin)
        spec = {"pin": drive_class_object.pin_spec(pin)}
        self._put(_CLASSES, drive_class_object.KIND, {"name": pin.hardware_class}, spec)

    def delete_pin(self, hardware_class: str) -> bool:
        found = self._get(_CLASSES, hardware_class)
        if not (found and (found.get("spec") or {}).get("pin")):
            return False
        self._connection.patch(f"{_CLASSES}/{hardware_class}", {"spec": {"pin": None}})
        return True

    def watch(self, since: int | None, wait_s: float) -> Changes:
        return Changes(self._watch.current()) if since is None else self._watch.changes(since, wait_s)

    # --- objects ----------------------------------------------------------------------------------------------

    def _get(self, path: str, name: str) -> dict[str, Any] | None:
        try:
            return self._connection.call("GET", f"{path}/{segment(name)}")
        except NotFoundError:
            return None

    def _create(self, path: str, kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        self._connection.call("POST", path, body={"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec})

    def _put(self, path: str, kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Merge something into the spec of an object, or create it."""
        name = metadata["name"]
        for _ in range(_MOST_TRIES):
            try:
                self._connection.patch(f"{path}/{segment(name)}", {"spec": spec})
            except NotFoundError:
                try:
                    self._create(path, kind, metadata, spec)
                except ConflictError:
                    continue  # another program was faster
            return
        raise StoreError(f"{kind} {name}: is created and removed by another program; stop it")

    def _put_status(self, name: str, status: Mapping[str, Any]) -> None:
        patch, path = {"status": status}, f"{_CLASSES}/{segment(name)}/status"
        try:
            self._connection.patch(path, patch)
        except NotFoundError:
            with suppress(ConflictError):  # an operator was faster
                self._create(_CLASSES, drive_class_object.KIND, {"name": name}, {})
            self._connection.patch(path, patch)

    def _told(self, hardware_class: str, field: str) -> str:
        return _told_in(self._get(_PLANS, hardware_class), field)

    def _entry(self, hardware_class: str, text: str) -> ClassEntry:
        return check_class(hardware_class, text, _revision(text), self._keyring) if text else ClassEntry(None, 0)

    def _keep(self, result: Signed[ClassResult], over: ClassEntry) -> None:
        """Keep a result, and the one before if that is not kept, in the objects that have the last generations."""
        name = result.document.hardware_class
        known = {each.text for each in self.history(name)}
        for each in filter(None, (over.result, result)):
            if each is result or each.text not in known:
                metadata = _told_metadata(name, f"-{each.document.generation % keys.HISTORY}")
                self._put(_PLANS, PLAN_KIND, metadata, {"result": each.text})
        self._put_status(name, drive_class_object.result_status(result.document))


def _check_name(node: str) -> None:
    """Raise StoreError for a name that no Node can have."""
    try:
        wire.host(node)
    except ValueError as error:
        raise StoreError(f"node {node!r}: {error}; give [fleet] node the name of the Node") from None


def _told_metadata(hardware_class: str, ending: str = "") -> dict[str, Any]:
    return {"name": hardware_class + ending, "labels": {CLASS_LABEL: hardware_class}}


def _told_in(found: Mapping[str, Any] | None, field: str) -> str:
    return str(((found or {}).get("spec") or {}).get(field, ""))


def _revision(text: str) -> int:
    """Return the revision of a text: the plan beside it changes the object, and not what is compared."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16) if text else 0


def _newest(results: Iterable[Signed[ClassResult]]) -> tuple[Signed[ClassResult], ...]:
    """Return the first result of each of the last generations, the newest generation first."""
    by_generation: dict[int, Signed[ClassResult]] = {}
    for each in results:
        by_generation.setdefault(each.document.generation, each)
    newest = max(by_generation, default=0)
    return tuple(by_generation[each] for each in sorted(by_generation, reverse=True) if each > newest - keys.HISTORY)


def _stale(hardware_class: str) -> StaleError:
    return StaleError(f"class {hardware_class}: another coordinator changed it; read it again")
