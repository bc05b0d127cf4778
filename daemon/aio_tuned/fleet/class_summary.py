"""The summary of a class for operators: its drives in numbers, and those that need a look."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.fleet.class_status import Noted
from aio_tuned.fleet.consensus import MOST_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.members import Member
    from aio_tuned.fleet.report import DriveReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many drives are in which state, and a description of their hardware."""

    about: str
    nodes: int
    drives: int
    confirmed: int
    refused: int
    waiting: int
    stale: int


def checks_of(members: Iterable[Member], result: ClassResult) -> tuple[DriveReport, ...]:
    """Return the checks of a result's generation on the drives that are there."""
    found = (each.reports.get("check") for each in members)
    return tuple(each for each in found if each and each.generation == result.generation)


def count(members: Sequence[Member], result: ClassResult | None) -> Counts:
    """Return the drives in numbers."""
    checks = {(each.node, each.drive): each.confirms for each in checks_of(members, result)} if result else {}
    # A profile may have the generation of a check that was made before the drive's last reports were lost.
    has = {(each.node, each.drive) for each in members if result and each.generation == result.generation}
    about = Counter(each.reports["presence"].about for each in members if "presence" in each.reports)
    about.pop("", None)
    return Counts(
        about=min(about, key=lambda text: (-about[text], text)) if about else "",
        nodes=len({each.node for each in members}),
        drives=len(members),
        confirmed=len({drive for drive, confirms in checks.items() if confirms} | (has - checks.keys())),
        refused=sum(not confirms for confirms in checks.values()),
        waiting=sum(each.state == "provisional" for each in members),
        stale=sum(each.state == "stale" for each in members),
    )


def noted(
    odd: Iterable[tuple[str, str, str]],
    ignored: Iterable[tuple[str, str, str]],
    members: Sequence[Member],
    result: ClassResult | None,
) -> tuple[Noted, ...]:
    """Return the drives that need a look, each once: those that are odd first, and 64 at most.

    `odd` and `ignored` have node, drive and reason.
    """
    found = [Noted("odd", *each) for each in odd]
    found += [Noted("refused", *each) for each in _refused(members, result)] if result else []
    found += [Noted("ignored", *each) for each in ignored]
    found += [Noted("stale", *each) for each in _stale(members)]
    once: dict[tuple[str, str], Noted] = {}
    for each in found:
        once.setdefault((each.node, each.drive), each)
    return tuple(once.values())[:MOST_NAMES]


def _refused(members: Iterable[Member], result: ClassResult) -> Iterator[tuple[str, str, str]]:
    for each in checks_of(members, result):
        if each.confirms:
            continue
        rates = [
            f"{direction}: {formatting.throughput(part.rate.bytes_per_s)}"
            f"{f', {formatting.throughput(part.before.bytes_per_s)} before' if part.before else ''}"
            f"{f', {formatting.throughput(usual.rate.bytes_per_s)} in the class' if usual else ''}"
            for (direction, part), (_, usual) in zip(each.directions(), result.directions(), strict=True)
            if part
        ]
        yield each.node, each.drive, f"check of generation {each.generation} did not confirm it: {'; '.join(rates)}"


def _stale(members: Iterable[Member]) -> Iterator[tuple[str, str, str]]:
    for each in members:
        if each.state == "stale":
            since = datetime.fromtimestamp(each.newest.at_s, timezone.utc)
            yield each.node, each.drive, f"its profile is stale since {since:%Y-%m-%d}; see `aio-tuned explain` there"
