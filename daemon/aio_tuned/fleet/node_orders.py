"""What the drives of a node are to do, and why: decided from their reports and from what is known of their class."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from aio_tuned.fleet import rollout
from aio_tuned.fleet.consensus import SWEEPS, VOTES_LAST_S
from aio_tuned.model.profile import SHARE_ONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.order import Task
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.model.profile import State
    from aio_tuned.model.setting import Grid

# Coordinators write each plan once an hour at least, and clocks may be apart by one.
_NO_COORDINATOR_S = 4 * 3600

# Whose sweep a drive asks for: its class's, which needs a claim, or its own.
Asks = Literal["", "class", "itself"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDrive:
    """A drive of this node, as its reports tell.

    `generation` is that of its profile, 0 for none. `swept_at_s` is the Unix time of its sweep of this class, and
    `checked` the generation that it checked last, 0 for none, which it `confirms` or not. `can_vote` is False if its
    own measurement is provisional, as that of a drive whose blocks were never written: its sweeps have no vote.
    """

    name: str
    hardware_class: str
    grid: Grid
    state: State
    generation: int
    swept_at_s: int = 0
    checked: int = 0
    confirms: bool = False
    can_vote: bool = True

    @property
    def is_measured(self) -> bool:
        """Whether the drive's own measurement stands behind its profile."""
        return self.state == "measured"

    @property
    def is_waiting(self) -> bool:
        """Whether the drive has no settings of its own yet."""
        return not self.is_measured and self.can_vote


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClass:
    """What this node knows of a class: its plan, and the result that this node takes.

    `has_vote` is whether a drive of this node was swept for the class; a node has one vote.
    """

    plan: ClassPlan | None = None
    result: ClassResult | None = None
    has_vote: bool = False

    def open_slots(self) -> tuple[int, ...]:
        """Return the claims that a node may take; a class without a plan is new, or has no coordinator yet."""
        return self.plan.open_slots if self.plan else tuple(range(SWEEPS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The task of a drive, the sentence that tells operators why, and whose sweep the drive asks for."""

    task: Task
    said: str
    asks: Asks = ""


def drives_of(reports: Iterable[DriveReport]) -> tuple[NodeDrive, ...]:
    """Return the drives of the reports, in the order of their names.

    A drive's presence tells its class; without one, its newest report does. Measurements of an earlier class, such as
    that of another firmware, do not count.
    """
    by_drive: dict[str, list[DriveReport]] = defaultdict(list)
    for each in reports:
        by_drive[each.drive].append(each)
    return tuple(_drive(found) for _, found in sorted(by_drive.items()))


def _drive(reports: list[DriveReport]) -> NodeDrive:
    now = max(reports, key=lambda each: (each.basis == "presence", each.at_s))
    of_class = {each.basis: each for each in reports if each.hardware_class == now.hardware_class}
    sweep, check = of_class.get("sweep"), of_class.get("check")
    return NodeDrive(
        name=now.drive,
        hardware_class=now.hardware_class,
        grid=now.grid,
        state=now.state,
        generation=now.generation,
        swept_at_s=sweep.at_s if sweep else 0,
        checked=check.generation if check else 0,
        confirms=bool(check and check.confirms),
        # Settings that the drive only has from others were measured by no helper.
        can_vote=not (now.basis == "presence" and now.state == "provisional" and now.helper_version),
    )


def has_vote(drives: Iterable[NodeDrive], hardware_class: str, now_s: float) -> bool:
    """Return whether the sweep of one of the drives counts for the class."""
    return any(
        each.hardware_class == hardware_class and each.swept_at_s and now_s - each.swept_at_s < VOTES_LAST_S
        for each in drives
    )


def reaches(plan: ClassPlan, node: str) -> bool:
    """Return whether the newest generation of a class has reached this node."""
    return plan.rollout is not None and rollout.takes(node, plan.rollout)


def decide(drive: NodeDrive, known: KnownClass, node: str, now_s: float) -> Decision:
    """Return what the drive is to do now.

    A drive without a measured profile checks the result at once, since it has nothing to lose. A generation that the
    drive does not confirm is not checked again, nor one that it confirmed before it was swept.
    """
    result = known.result
    newest = max(drive.generation, drive.checked if drive.confirms else 0)
    if result is None or (drive.is_measured and newest >= result.generation):
        return _without_news(drive, known, node, now_s)
    named = f"generation {result.generation} of class {drive.hardware_class}"
    if drive.checked == result.generation and not drive.confirms:
        if not drive.is_waiting:
            return Decision(task="wait", said=f"keeps its own profile: does not confirm {named}")
        return Decision(task="wait", said=f"waiting for a sweep of its own: does not confirm {named}", asks="itself")
    checks_at_s = _check_at_s(known, node) if drive.is_measured else 0
    if now_s < checks_at_s:
        return Decision(task="wait", said=f"checks {named} at {moment(checks_at_s)}")
    return Decision(task="check", said=f"checking {named}")


def _check_at_s(known: KnownClass, node: str) -> int:
    """Return the Unix time at which this node checks the result; an earlier generation is overdue."""
    begun = known.plan.rollout if known.plan else None
    is_newest = begun and known.result and begun.generation == known.result.generation
    return rollout.check_at_s(node, begun) if begun and is_newest else 0


def _without_news(drive: NodeDrive, known: KnownClass, node: str, now_s: float) -> Decision:
    """Return the decision for a drive that has no result to check.

    A drive with a measured profile is swept for a class whose votes are old or disagree, never for one without a plan.
    """
    plan, key = known.plan, drive.hardware_class
    may_ask = drive.can_vote and not known.has_vote and (plan is not None or not drive.is_measured)
    asks: Asks = "class" if may_ask and known.open_slots() else ""
    if plan and plan.rollout and not reaches(plan, node):
        share = 100 * plan.rollout.reach / SHARE_ONE
        turn = f"waiting for this node's turn: generation {plan.rollout.generation} reaches {share:g} % of the nodes"
        return Decision(task="wait", said=turn, asks=asks)
    if drive.is_measured:
        has = f"generation {drive.generation} of class {key}" if drive.generation else "a profile of its own"
        return Decision(task="wait", said=f"has {has}", asks=asks)
    if not drive.can_vote:
        return Decision(task="wait", said="has a provisional profile of its own")
    return Decision(task="wait", said=_waiting(key, known, now_s), asks=asks)


def _waiting(key: str, known: KnownClass, now_s: float) -> str:
    """Return what a drive of a class without a result waits for."""
    plan = known.plan
    if plan is None:
        return f"waiting for class {key}: it has no plan yet"
    if now_s - plan.made_at_s > _NO_COORDINATOR_S:
        return f"waiting for class {key}: no coordinator since {moment(plan.made_at_s)}"
    if plan.swept >= plan.wanted:
        return f"waiting for its own sweep: the {plan.swept} sweeps of class {key} disagree"
    return f"waiting for class {key}: {plan.swept} of {plan.wanted} swept"


def moment(at_s: float) -> str:
    """Return a Unix time in words."""
    return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
