"""The commands that show a fleet: status and explain."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aio_tuned.cli.fleet.login import enabled, find_class, open_store
from aio_tuned.cli.fleet.node_text import ExplainedDrive, lines, to_document
from aio_tuned.errors import ConfigError, Exit, TargetError

if TYPE_CHECKING:
    import argparse

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.node_orders import NodeDrive
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.report import Basis, DriveReport
    from aio_tuned.fleet.store import Store


def status(arguments: argparse.Namespace) -> int:
    """Show the classes of the fleet, or one of them."""
    store = open_store(arguments, enabled(arguments))
    found = [each.document for each in store.list_statuses()]
    if arguments.hardware_class:
        wanted = find_class((each.hardware_class for each in found), arguments.hardware_class)
        found = [each for each in found if each.hardware_class == wanted]
    if arguments.json:
        print(json.dumps({"classes": [_document(each) for each in found]}, indent=2, ensure_ascii=False))
        return Exit.OK
    from aio_tuned.cli.fleet import status_table

    status_table.show(found, time.time())
    return Exit.OK


def _document(found: ClassStatus) -> dict[str, Any]:
    """Return a status for other programs: as the fleet has it, with names in place of rows."""
    from aio_tuned.model.profile import SHARE_ONE

    rollout = found.rollout
    document: dict[str, Any] = json.loads(found.to_json())
    return document | {
        "rollout": rollout and {"reach_percent": 100 * rollout.reach / SHARE_ONE, "since": rollout.since_s},
        "noted": [each._asdict() for each in found.noted],
    }


def explain(arguments: argparse.Namespace) -> int:
    """Explain the drives of a node."""
    config = enabled(arguments)
    if config.fleet_node_keys is None and config.fleet_store == "etcd":
        raise ConfigError(
            "[fleet] node_keys: not set, and reports of nodes cannot be checked without their keys; name the file that"
            " the coordinator has"
        )
    store = open_store(arguments, config)
    from aio_tuned.fleet.store import IgnoredReport

    node, now_s = arguments.node, time.time()
    reports: list[DriveReport] = []
    ignored: list[str] = []
    for each in store.list_reports(node):
        if isinstance(each, IgnoredReport):
            ignored.append(f"{each.id.drive}: the {each.id.basis} report is ignored: {each.why}")
        else:
            reports.append(each.document)
    if not (reports or ignored):
        raise TargetError(
            f"node {node}: has no reports; look at journalctl -u aio-tuned-fleet on that node, whose name is [fleet]"
            " node or the host name"
        )
    drives = _explained(store, node, reports, now_s)
    domain = next((each.domain for each in reports if each.domain), "")
    if arguments.json:
        print(json.dumps(to_document(node, domain, drives, tuple(ignored)), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(node, domain, drives, tuple(ignored), now_s)))
    return Exit.OK


def _explained(store: Store, node: str, reports: list[DriveReport], now_s: float) -> tuple[ExplainedDrive, ...]:
    from aio_tuned.fleet import node_orders

    statuses = {each.document.hardware_class: each.document for each in store.list_statuses()}
    by_drive: dict[str, dict[Basis, DriveReport]] = defaultdict(dict)
    for each in reports:
        by_drive[each.drive][each.basis] = each
    drives = node_orders.drives_of(reports)
    return tuple(
        _drive(store, node, each, drives, by_drive[each.name], statuses.get(each.hardware_class), now_s)
        for each in drives
    )


def _drive(
    store: Store,
    node: str,
    drive: NodeDrive,
    drives: tuple[NodeDrive, ...],
    reports: dict[Basis, DriveReport],
    of_class: ClassStatus | None,
    now_s: float,
) -> ExplainedDrive:
    from aio_tuned.fleet import node_orders

    signed = store.get_plan(drive.hardware_class)
    plan = signed.document if signed else None
    entry = store.get_class(drive.hardware_class)
    result = entry.result.document if entry.result else None
    known = node_orders.KnownClass(
        plan=plan,
        result=_taken(store, node, plan, result),
        has_vote=node_orders.has_vote(drives, drive.hardware_class, now_s),
    )
    decided = node_orders.decide(drive, known, node, now_s)
    held = [slot for slot, holder in store.holders("claim", drive.hardware_class).items() if holder == node]
    why = f"{decided.said}; the node has claim {held[0]} of the class" if held else decided.said
    noted = of_class.noted if of_class else ()
    findings = [f"{each.kind}: {each.why}" for each in noted if (each.node, each.drive) == (node, drive.name)]
    if entry.ignored:
        findings.append(f"the result of class {drive.hardware_class} {entry.ignored}")
    return ExplainedDrive(
        drive=drive.name,
        reports=reports,
        plan=plan,
        result=result,
        task=decided.task,
        why=why,
        vote=_vote(node, drive.name, result, reports),
        findings=tuple(dict.fromkeys(findings)),
    )


def _taken(store: Store, node: str, plan: ClassPlan | None, result: ClassResult | None) -> ClassResult | None:
    """Return the result that the node takes: the newest if that has reached it, or else the one before."""
    from aio_tuned.fleet import node_orders

    if plan is None or plan.rollout is None or result is None:
        return None
    if node_orders.reaches(plan, node):
        return None if result.disagreement else result
    kept = (each.document for each in store.history(plan.hardware_class))
    return next((each for each in kept if each.generation == plan.rollout.before), None)


def _vote(node: str, drive: str, result: ClassResult | None, reports: dict[Basis, DriveReport]) -> str:
    """Return whether the drive's sweep counts in its class, and why not; "" without a sweep."""
    if "sweep" not in reports:
        return ""
    if result is None:
        return "counts when the class has enough sweeps"
    if (node, drive) in result.contributors:
        return f"counts in generation {result.generation}"
    rejected = next((each.why for each in result.rejected if (each.node, each.drive) == (node, drive)), "")
    return f"does not count: {rejected}" if rejected else f"is not among those of generation {result.generation}"
