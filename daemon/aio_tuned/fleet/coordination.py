"""What the coordinator makes of a class: its next generation, the plan for its nodes, and the status for operators."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from aio_tuned.fleet import claims, class_summary, rollout, votes
from aio_tuned.fleet.agreement import agree
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.members import is_ahead, members
from aio_tuned.fleet.odd_drives import odd_drives
from aio_tuned.fleet.pinned_result import pinned, pinned_at_s
from aio_tuned.fleet.plan import MOST_SLOTS, ClassPlan
from aio_tuned.fleet.rejection import grid_values

if TYPE_CHECKING:
    from collections.abc import Collection

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.members import Member
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.rollout import Rollout
    from aio_tuned.fleet.store import IgnoredReport
    from aio_tuned.fleet.votes import Votes

# Plans and statuses that say the same are written again after this time, to show that a coordinator is there.
REFRESH_S = 3600
# With a store that lost its results, a generation counts as given if three nodes and 5 % of them have it.
_NODES_KNOW = 3
_NODES_SHARE = 20
# Votes give another generation so long after the last step of the one before began. A node that lies could else have
# all others check two settings in turn, without end, by a report a minute.
_RESTS_S = 86400

_Dated = TypeVar("_Dated", ClassPlan, ClassStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassView:
    """What is known of a class.

    `ignored` are the reports of its drives that are not trusted, `moved` the drives, each with its node, that are of
    another class by now, and `held` the claims that nodes hold. `history` has the generations that the store keeps,
    newest first. `plan` and `status` are those in the store. `pin_fault` tells why a pin that is there is unreadable.
    """

    hardware_class: str
    reports: tuple[DriveReport, ...]
    ignored: tuple[IgnoredReport, ...] = ()
    moved: Collection[tuple[str, str]] = ()
    held: Collection[int] = ()
    result: ClassResult | None = None
    history: tuple[ClassResult, ...] = ()
    plan: ClassPlan | None = None
    status: ClassStatus | None = None
    pin: Pin | None = None
    pin_fault: str = ""

    @property
    def generations(self) -> tuple[ClassResult, ...]:
        """The current result and the older ones that the store keeps, newest first."""
        if self.result is None:
            return self.history
        older = (each for each in self.history if each.generation < self.result.generation)
        return (self.result, *older)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinated:
    """What the store is to have of a class; an object that is the view's own need not be written.

    `odd` is the number of drives that are slower or faster than their class.
    """

    result: ClassResult | None
    plan: ClassPlan
    status: ClassStatus
    odd: int


class _Progress(NamedTuple):
    """A result, how far it is, and the sentence on it."""

    result: ClassResult | None
    rollout: Rollout | None
    said: str


def coordinate(known: ClassView, now_s: int, report_every_s: float) -> Coordinated:
    """Return the result, the plan and the status of a class from the reports of its drives."""
    counted = [each for each in known.reports if not is_ahead(each, now_s)]
    there = members(counted, known.moved, now_s, report_every_s)
    found = votes.count(counted, now_s)
    usual = _usual(known, found, now_s)
    odd = _odd(known, usual, found, there)
    current = _advance(known, there, {(node, drive) for node, drive, _ in odd}, now_s)
    wanted, pinned_said = _wanted(replace(known, result=current.result), usual, found)
    if current.result is known.result:
        current = _take(known, current, wanted, there, now_s)
    return Coordinated(
        result=current.result,
        plan=_plan(known, found, current, now_s),
        status=_status(known, found, current, there, odd, pinned_said, now_s),
        odd=len({each[:2] for each in odd}),
    )


# --- the result -------------------------------------------------------------------------------------------


def _usual(known: ClassView, found: Votes, now_s: int) -> ClassResult | None:
    """Return what the sweeps give; None if there are too few, or if the first ones disagree."""
    generations = known.generations
    by_sweeps = next((each for each in generations if not each.pinned_at_s), None)
    if by_sweeps is None:
        made = agree(found, None, now_s)
        return None if made and made.disagreement else made
    base = replace(by_sweeps, refused=generations[0].refused)
    taken_back_s = max((each.at_s for each in base.refused), default=0) if base.restores else 0
    if taken_back_s:
        # The checks of the fleet have shown that these sweeps were wrong, so they do not choose the next best point.
        found = votes.count((each for each in found.sweeps if each.at_s > taken_back_s), now_s)
    return agree(found, base, now_s)


def _wanted(known: ClassView, usual: ClassResult | None, found: Votes) -> tuple[ClassResult | None, str]:
    """Return the result that the class is to have, whatever its number, and the sentence on its pin."""
    if known.pin_fault:
        is_pinned = known.result is not None and known.result.pinned_at_s
        return known.result if is_pinned else usual, f"the pin cannot be read: {known.pin_fault}; pin it again"
    if known.pin is None:
        return usual, ""
    made = pinned(known.pin, usual, found, known.generations)
    return made.result or usual, made.said


def _number(wanted: ClassResult, known: ClassView, there: tuple[Member, ...], now_s: int) -> ClassResult:
    """Return the result with its generation, which rises with each change of settings; the known one if it is equal."""
    held = known.result
    if held is None:
        return replace(wanted, generation=_known_to_nodes(there) + 1, restores=0, made_at_s=now_s)
    # The clock of another coordinator may have been ahead, and nodes take no result from before theirs.
    made = replace(wanted, generation=held.generation, made_at_s=max(now_s, held.made_at_s + 1))
    # A store that was restored from a copy is behind its nodes, which take no older generation.
    newest = max(held.generation, _known_to_most(there))
    if made.settings() != held.settings() or newest > held.generation:
        # Votes bring settings back by chance only: what an earlier generation had may be slower by now.
        restores = wanted.restores if wanted.pinned_at_s else 0
        return replace(made, generation=newest + 1, restores=restores)
    made = replace(made, restores=held.restores)
    return held if replace(made, made_at_s=held.made_at_s) == held else made


def _known_to_nodes(there: tuple[Member, ...]) -> int:
    """Return the newest generation that nodes have, whatever a few of them say."""
    newest = _newest_by_node(there)
    place = max(_NODES_KNOW, len(newest) // _NODES_SHARE) - 1
    return newest[place] if place < len(newest) else 0


def _known_to_most(there: tuple[Member, ...]) -> int:
    """Return the newest generation that more than half of the nodes have, or a newer one."""
    newest = _newest_by_node(there)
    return newest[len(newest) // 2] if newest else 0


def _newest_by_node(there: tuple[Member, ...]) -> list[int]:
    """Return the newest generation of each node, the newest first."""
    by_node: dict[str, int] = {}
    for each in there:
        by_node[each.node] = max(each.generation, by_node.get(each.node, 0))
    return sorted(by_node.values(), reverse=True)


# --- the rollout ------------------------------------------------------------------------------------------


def _odd(
    known: ClassView, usual: ClassResult | None, found: Votes, there: tuple[Member, ...]
) -> tuple[tuple[str, str, str], ...]:
    """Return the drives that are there and are not as their class, with the reasons.

    Checks are of the newest generation; what a sweep gives is compared with what the sweeps together give.
    """
    here = {(each.node, each.drive) for each in there}
    reasons = [(each.node, each.drive, why) for each, why in found.rejected]
    if known.result:
        checks = class_summary.checks_of(there, known.result)
        reasons += [(each.node, each.drive, str(each)) for each in odd_drives(known.result, checks)]
    if usual:
        sweeps = (each.reports["sweep"] for each in there if "sweep" in each.reports)
        reasons += [(each.node, each.drive, str(each)) for each in odd_drives(usual, sweeps)]
    return tuple(sorted(each for each in reasons if each[:2] in here))


def _advance(known: ClassView, there: tuple[Member, ...], odd: Collection[tuple[str, str]], now_s: int) -> _Progress:
    """Return the next step of the known generation, or the generation that takes it back."""
    result = known.result
    if result is None:
        return _Progress(None, None, "")
    nodes = {each.node for each in there}
    before = _proven(known, result.generation)
    known_rollout = known.plan.rollout if known.plan else None
    if known_rollout is None or known_rollout.generation != result.generation:
        known_rollout = rollout.start(result, before, nodes, now_s)
    values = grid_values(result.grid)
    checks = [each for each in class_summary.checks_of(there, result) if grid_values(each.grid) == values]
    decision = rollout.decide(known_rollout, checks, nodes, odd, now_s)
    if decision.verdict == "take back":
        return _take_back(known_rollout, result, before, nodes, decision.why, now_s)
    if decision.verdict == "advance":
        known_rollout = rollout.advance(known_rollout, now_s)
    if decision.verdict == "widen":
        known_rollout = rollout.widen(known_rollout, nodes, decision.lacking, now_s)
    return _Progress(result, known_rollout, decision.why)


def _proven(known: ClassView, generation: int) -> ClassResult | None:
    """Return the newest of the older generations that reached all nodes; the newest of all if the plan is lost."""
    older = [each for each in known.generations if each.generation < generation]
    last = known.plan.rollout if known.plan else None
    number = 0
    if last:
        number = last.generation if last.is_last and last.generation < generation else last.before
    return next((each for each in older if each.generation == number), older[0] if older else None)


def _take_back(
    bad: Rollout, result: ClassResult, before: ClassResult | None, nodes: Collection[str], why: str, now_s: int
) -> _Progress:
    """Return the generation that brings back the one before; a bad one stays if that brings nothing back."""
    if result.restores:
        return _Progress(result, bad, f"{why}; kept, since it brings back generation {result.restores}")
    restored = rollout.take_back(result, before, now_s) if before else None
    if restored is None or before is None:
        return _Progress(result, bad, f"{why}; kept, since there are no settings from before")
    restored = replace(restored, made_at_s=max(now_s, result.made_at_s + 1))
    said = f"{why}; taken back to generation {before.generation}"
    return _Progress(restored, rollout.start(restored, before, nodes, now_s), said)


def _take(
    known: ClassView, current: _Progress, wanted: ClassResult | None, there: tuple[Member, ...], now_s: int
) -> _Progress:
    """Return the current generation with its newest figures, or the first step of the one that replaces it."""
    if wanted is None:
        return current
    result = _number(wanted, known, there, now_s)
    if known.result and result.generation == known.result.generation:
        return current._replace(result=result)
    if known.result and not (result.pinned_at_s or known.result.pinned_at_s) and _rests(current, now_s):
        return current
    before = _proven(known, result.generation)
    nodes = {each.node for each in there}
    begun = rollout.start(result, before, nodes, now_s)
    reached = sum(rollout.takes(node, begun) for node in nodes)
    return _Progress(result, begun, f"generation {result.generation}: begins on {reached} of {len(nodes)} nodes")


def _rests(current: _Progress, now_s: int) -> bool:
    """Return whether votes may not yet give another generation.

    The second one may follow at once, since the first is made of the fewest sweeps.
    """
    begun = current.rollout
    return bool(begun and begun.generation > 1 and 0 <= now_s - begun.since_s < _RESTS_S)


# --- what is written --------------------------------------------------------------------------------------


def _plan(known: ClassView, found: Votes, current: _Progress, now_s: int) -> ClassPlan:
    result = current.result
    made = ClassPlan(
        hardware_class=known.hardware_class,
        swept=len(found.sweeps),
        wanted=claims.wanted(found),
        open_slots=claims.open_slots(found, known.held),
        racks=tuple(each.domain for each in found.sweeps if each.domain)[:MOST_SLOTS],
        generation=result.generation if result else 0,
        result_made_at_s=result.made_at_s if result else 0,
        rollout=current.rollout,
        made_at_s=now_s,
    )
    return _dated(made, known.plan, now_s)


def _status(
    known: ClassView,
    found: Votes,
    current: _Progress,
    there: tuple[Member, ...],
    odd: tuple[tuple[str, str, str], ...],
    pinned_said: str,
    now_s: int,
) -> ClassStatus:
    result = current.result
    ignored = [(each.id.node, each.id.drive, each.why) for each in known.ignored]
    ignored += [
        (each.node, each.drive, f"its {each.basis} report is from the future; set the clock of the node")
        for each in known.reports
        if is_ahead(each, now_s)
    ]
    if known.pin and result and result.pinned_at_s == pinned_at_s(known.pin):
        pinned_said += f"; it is generation {result.generation}"
    made = ClassStatus(
        hardware_class=known.hardware_class,
        generation=result.generation if result else 0,
        **asdict(class_summary.count(there, result)),
        ignored=len(ignored),
        swept=len(found.sweeps),
        wanted=claims.wanted(found),
        rollout=current.rollout,
        decision=current.said,
        disagreement=found.disagreement,
        pinned=pinned_said,
        noted=class_summary.noted(odd, ignored, there, result),
        made_at_s=now_s,
    )
    # Texts that are too long are cut when they are written, and what was written is compared.
    return _dated(ClassStatus.from_json(made.to_json()), known.status, now_s)


def _dated(made: _Dated, known: _Dated | None, now_s: int) -> _Dated:
    """Return the known document if the new one says the same and the known one is not too old."""
    if known and replace(made, made_at_s=known.made_at_s) == known and 0 <= now_s - known.made_at_s < REFRESH_S:
        return known
    return made
