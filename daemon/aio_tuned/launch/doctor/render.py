"""The report as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.launch.doctor.examine import Report


def describe(report: Report) -> str:
    """Return a line for each obstacle, a line for each check that could not look, and the sum of both."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    for finding in report.findings:
        mark = "" if finding.costs else "note: "
        yield f"{mark}{finding.subject}: {finding.check}: {finding.problem}; {finding.remedy}"
    for missing in report.unchecked:
        yield f"not checked: {missing.subject}: {missing.check}: {missing.reason}"
    costly = sum(finding.costs for finding in report.findings)
    examined = ", ".join(report.drives) or "no drive"
    what = f"{costly} obstacle{'s' if costly > 1 else ''} to full throughput" if costly else "no obstacle found"
    left = f", {len(report.unchecked)} not checked" if report.unchecked else ""
    yield f"{examined}: {what}{left}"


def to_document(report: Report) -> dict[str, Any]:
    """Return the report as a document for JSON."""
    return {
        "drives": list(report.drives),
        "costs_throughput": report.costs,
        "findings": [asdict(finding) for finding in report.findings],
        "not_checked": [asdict(missing) for missing in report.unchecked],
    }
