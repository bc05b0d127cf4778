"""The metrics of a coordinator, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aio_tuned.fleet import metrics_file
from aio_tuned.fleet.metrics_file import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.fleet.coordination import Coordinated

_PREFIX = "aio_tuned_fleet_coordinator"

# Name, help, and the number of a class.
_OF_CLASS: tuple[tuple[str, str, Callable[[Coordinated], float]], ...] = (
    ("generation", "Newest generation of the class's settings; 0 without one.", lambda of: of.plan.generation),
    ("nodes", "Nodes of the class that reported lately.", lambda of: of.status.nodes),
    ("drives", "Drives of the class that reported lately.", lambda of: of.status.drives),
    ("drives_confirmed", "Drives that have the newest generation.", lambda of: of.status.confirmed),
    ("drives_refused", "Drives whose check did not confirm the newest generation.", lambda of: of.status.refused),
    ("drives_waiting", "Drives without a measured profile.", lambda of: of.status.waiting),
    ("drives_stale", "Drives whose profile is stale.", lambda of: of.status.stale),
    ("drives_odd", "Drives that are slower or faster than their class.", lambda of: of.odd),
    ("reports_ignored", "Reports of the class's drives that do not count.", lambda of: of.status.ignored),
    ("sweeps", "Sweeps of the class that have a vote.", lambda of: of.status.swept),
    ("sweeps_wanted", "Sweeps that the class is to have.", lambda of: of.status.wanted),
    ("sweeps_rejected", "Sweeps that do not count in the newest generation.",
     lambda of: len(of.result.rejected) if of.result else 0),
    ("disagreement", "1 while the sweeps of the class disagree, else 0.", lambda of: bool(of.status.disagreement)),
    ("rollout_step", "Step of the rollout: 0 for 1 % of the nodes, 1 for 10 %, 2 for all.",
     lambda of: of.plan.rollout.step if of.plan.rollout else 0),
    ("restores", "Generation whose settings the newest one brings back; 0 if none.",
     lambda of: of.result.restores if of.result else 0),
    ("pinned", "1 while a setting of the class is an operator's, else 0.",
     lambda of: bool(of.result and of.result.pinned_at_s)),
)  # fmt: skip


def text(
    classes: Mapping[str, Coordinated],
    *,
    leads: bool,
    reports: int,
    ignored: int,
    store_troubles: int,
    failing: bool,
    round_s: float,
) -> str:
    """Return the metrics of a coordinator; one that does not lead knows no classes."""
    own: tuple[tuple[str, Literal["gauge", "counter"], str, float], ...] = (
        ("leader", "gauge", "1 on the coordinator that writes, else 0.", leads),
        ("classes", "gauge", "Classes of drives.", len(classes)),
        ("reports", "gauge", "Reports of drives that are kept in memory.", reports),
        ("reports_untrusted", "gauge", "Reports that no trusted key signed, or that are damaged.", ignored),
        ("store_reachable", "gauge", "1 while the store of the fleet answers, else 0.", not failing),
        ("store_troubles_total", "counter", "Calls of the store that failed.", store_troubles),
        ("round_seconds", "gauge", "Seconds that the classes that were due last took.", round_s),
    )
    return metrics_file.render(
        *(Family(f"{_PREFIX}_{name}", kind, said, {(): number}) for name, kind, said, number in own),
        *(
            Family(
                f"aio_tuned_fleet_class_{name}",
                "gauge",
                said,
                {(("class", key),): read(of) for key, of in classes.items()},
            )
            for name, said, read in _OF_CLASS
        ),
    )
