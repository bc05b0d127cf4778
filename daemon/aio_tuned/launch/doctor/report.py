"""The report of an examination, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.launch.doctor.finding import Finding, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aio_tuned.launch.doctor.finding import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The examined drives' nodes, and what the checks said."""

    drives: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the obstacles."""
        return tuple(each for each in self.outcomes if isinstance(each, Finding))

    @property
    def unchecked(self) -> tuple[Unchecked, ...]:
        """Return the checks that could not look."""
        return tuple(each for each in self.outcomes if isinstance(each, Unchecked))

    @property
    def costs(self) -> bool:
        """Return whether an obstacle costs throughput."""
        return any(each.costs for each in self.findings)


def once(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Return the first outcome of each kind, check and subject: volumes that share a drive say the same of it."""
    first: dict[tuple[type, str, str], Outcome] = {}
    for each in outcomes:
        first.setdefault((type(each), each.check, each.subject), each)
    return tuple(first.values())


def describe(report: Report) -> str:
    """Return a line for each obstacle, a line for each check that could not look, and the sum of both."""
    return "\n".join(map(formatting.printable, _lines(report)))


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
