"""The votes on a class's settings: the newest sweep of each node, and which of them count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.fleet import rejection
from aio_tuned.fleet.consensus import LONGEST_REASON, MOST_AHEAD_S, SWEEPS, VOTES_LAST_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.fleet.report import DriveReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """The sweeps that have a vote, those of them that count, those that do not with the reasons, and how they differ.

    `disagreement` is "" if the sweeps agree, or are too few for that.
    """

    sweeps: tuple[DriveReport, ...]
    accepted: tuple[DriveReport, ...]
    rejected: tuple[tuple[DriveReport, str], ...]
    disagreement: str


def count(reports: Iterable[DriveReport], now_s: int) -> Votes:
    """Return the votes in the reports of a class; fewer than three neither agree nor differ."""
    reports = tuple(reports)
    unlike = _unlike(reports)
    sweeps = _newest((each for each in reports if (each.node, each.drive) not in unlike), now_s)
    if len(sweeps) < SWEEPS:
        return Votes(sweeps=sweeps, accepted=sweeps, rejected=(), disagreement="")
    found = rejection.judge(sweeps)
    few = f"only {len(found.accepted)} of {len(sweeps)} sweeps agree" if len(found.accepted) < SWEEPS else ""
    return Votes(
        sweeps=sweeps,
        accepted=found.accepted,
        rejected=found.rejected,
        disagreement=(few or found.disagreement)[:LONGEST_REASON],
    )


def _unlike(reports: Iterable[DriveReport]) -> set[tuple[str, str]]:
    """Return the drives that do not confirm a generation which the drives of at least as many other nodes confirm.

    Each is then swept for itself. If these sweeps had votes, a class's odd drives would outvote it: of 200 drives, six
    were slow and swept so beside three for the class, and all others were named as too fast. Where most nodes refuse a
    generation, it is the generation that is odd. A provisional check tells nothing of either.
    """
    checks = [each for each in reports if each.basis == "check" and each.state != "provisional"]
    refused = Counter(
        generation for _, generation in {(each.node, each.generation) for each in checks if not each.confirms}
    )
    # Each drive has one check in the reports, its last.
    least = {
        generation: len({each.node for each in checks if each.generation >= generation}) / 2 for generation in refused
    }
    return {
        (each.node, each.drive)
        for each in checks
        if not each.confirms and refused[each.generation] <= least[each.generation]
    }


def _newest(reports: Iterable[DriveReport], now_s: int) -> tuple[DriveReport, ...]:
    """Return the sweeps that have a vote, by node: the newest of each node that is not stale or older than 90 days."""
    sweeps = (
        each
        for each in reports
        if each.basis == "sweep" and each.state != "stale" and now_s - VOTES_LAST_S <= each.at_s <= now_s + MOST_AHEAD_S
    )
    return tuple({each.node: each for each in sorted(sweeps, key=_by_node_and_time)}.values())


def _by_node_and_time(each: DriveReport) -> tuple[str, int, str]:
    return each.node, each.at_s, each.drive
