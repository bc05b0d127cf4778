"""The DriveReport object of a node, which has the signed reports of all its drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aio_tuned.fleet.report import BASES
from aio_tuned.fleet.store import ReportId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aio_tuned.fleet.service_account import Node

KIND, PLURAL = "DriveReport", "drivereports"


def merge(of: ReportId, text: str) -> dict[str, Any]:
    """Return what a merge patch sets; `newest` tells watchers which report it was, since they see the whole object."""
    return {"newest": f"{of.drive}/{of.basis}", "reports": {of.drive: {of.basis: text}}}


def metadata(node: str, owner: Node | None) -> dict[str, Any]:
    """Return the metadata of a new object, which goes with its Node if that is known."""
    if owner is None or owner.name != node:
        return {"name": node}
    return {"name": node, "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner.uid}]}


def reports(found: Mapping[str, Any]) -> Iterator[tuple[ReportId, str]]:
    """Yield the reports in an object and their texts, in the order of the store's keys."""
    node = str(found["metadata"]["name"])
    for drive, by_basis in sorted(((found.get("spec") or {}).get("reports") or {}).items()):
        for basis in sorted(BASES):
            if basis in by_basis:
                yield ReportId(node, drive, basis), str(by_basis[basis])


def changed(event: Mapping[str, Any]) -> frozenset[ReportId]:
    """Return the reports that an event of a watch is about."""
    found = event["object"]
    drive, _, basis = str((found.get("spec") or {}).get("newest", "")).rpartition("/")
    if event["type"] == "MODIFIED" and drive:
        return frozenset({ReportId(str(found["metadata"]["name"]), drive, basis)})
    return frozenset(of for of, _ in reports(found))
