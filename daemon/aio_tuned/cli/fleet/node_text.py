"""What the drives of a node report, what they are to do, and how they differ from their class, as text and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.cli.fleet.ages import ago
from aio_tuned.report.terminal.explain import setting_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.report import Basis, DriveReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDrive:
    """A drive of a node: its reports by basis, its class, what it is to do and why, and the findings on it.

    `task` is that of its order. `vote` tells whether its sweep counts, "" without a sweep.
    """

    drive: str
    reports: Mapping[Basis, DriveReport]
    plan: ClassPlan | None
    result: ClassResult | None
    task: str
    why: str
    vote: str
    findings: tuple[str, ...]

    @property
    def newest(self) -> DriveReport:
        """Return the report that tells the drive's class: its presence, or the newest one."""
        return self.reports.get("presence") or max(self.reports.values(), key=lambda each: each.at_s)


def _figures(report: DriveReport) -> str:
    parts = ((name, part) for name, part in report.directions() if part)
    return ", ".join(f"{name} {formatting.throughput(part.rate.bytes_per_s)}" for name, part in parts)


def _rows(each: ExplainedDrive, now_s: float) -> Iterator[tuple[str, str]]:
    newest, result = each.newest, each.result
    yield "hardware", newest.about or "unknown"
    generation = f"generation {result.generation}" if result else "no result yet"
    yield "class", f"{newest.hardware_class}, {generation}"
    for name, setting in zip(("read", "write", "combined"), result.settings() if result else (), strict=False):
        if setting:
            yield "", f"{name}: {setting_text(setting)}"
    origin = f"generation {newest.generation}" if newest.generation else "of its own"
    yield "profile", f"{newest.state}, {origin}; reported {ago(newest.sent_s, now_s)}"
    if sweep := each.reports.get("sweep"):
        yield "sweep", f"{_figures(sweep)}; {ago(sweep.at_s, now_s)}; {each.vote}"
    if check := each.reports.get("check"):
        said = "confirms" if check.confirms else "does not confirm"
        yield "check", f"{said} generation {check.generation}; {_figures(check)}; {ago(check.at_s, now_s)}"
    yield "order", f"{each.task}: {each.why}"


def lines(
    node: str, domain: str, drives: tuple[ExplainedDrive, ...], ignored: tuple[str, ...], now_s: float
) -> list[str]:
    """Return the lines on a node; `ignored` are the sentences on its reports that are not trusted."""
    found = [f"{node} in {domain}" if domain else node]
    for each in drives:
        found += ["", each.drive]
        found += [f"  {label + ':' if label else '':<10}{text}" for label, text in _rows(each, now_s)]
        found += [f"  ! {text}" for text in each.findings]
    if ignored:
        found += ["", *(f"! {text}" for text in ignored)]
    return found


def to_document(node: str, domain: str, drives: tuple[ExplainedDrive, ...], ignored: tuple[str, ...]) -> dict[str, Any]:
    """Return the same for other programs, with the reports as the fleet has them."""
    return {
        "node": node,
        "domain": domain,
        "drives": [
            {
                "drive": each.drive,
                "class": each.newest.hardware_class,
                "about": each.newest.about,
                "state": each.newest.state,
                "generation": each.newest.generation,
                "class_generation": each.result.generation if each.result else 0,
                "task": each.task,
                "why": each.why,
                "vote": each.vote,
                "findings": list(each.findings),
                "reports": {basis: json.loads(report.to_json()) for basis, report in each.reports.items()},
            }
            for each in drives
        ],
        "ignored": list(ignored),
    }
