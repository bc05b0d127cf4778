"""Which node takes which generation of its class, and when: 1 % of the nodes, 10 %, all, or none again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from aio_tuned.config.parsing import whole
from aio_tuned.fleet import wire
from aio_tuned.fleet.consensus import MOST_NAMES, Refused
from aio_tuned.fleet.draw import draw
from aio_tuned.model.profile import SHARE_ONE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.report import DriveReport

# The share of the nodes that each step reaches, in SHARE_ONE parts.
STEPS = (SHARE_ONE // 100, SHARE_ONE // 10, SHARE_ONE)
_LAST_STEP = len(STEPS) - 1
# The next step needs the checks of this share of a step's nodes, and that no more than the rest fail.
CONFIRMING_SHARE = 0.95
# Checks of a class start within so many seconds, so that its nodes do not wake at once.
CHECKS_SPREAD_S = 6 * 3600
# A drive that is busy checks a day late at most, unless its configuration has it wait longer.
LATE_S = CHECKS_SPREAD_S + 86400
# One node may fail for reasons of its own, or lie.
_FAILING = 2
# So many nodes with odd drives alone, and more than half of those that checked, have a wrong class result.
_MANY_ODD = 3

Verdict = Literal["wait", "widen", "advance", "done", "take back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a generation of a class is: `step` is the place in STEPS, and `since_s` the Unix time of its start.

    Nodes whose place in the generation's order is below `reach` take it. That is the share of the step or more, since a
    class of a few nodes has none below 1 %. `before` is the last generation that reached all nodes, 0 for none.
    """

    hardware_class: str
    generation: int
    step: int
    reach: int
    since_s: int
    before: int

    def row(self) -> list[object]:
        """Return the rollout as a list, for the plan of its class."""
        return [self.generation, self.step, self.reach, self.since_s, self.before]

    @classmethod
    def from_row(cls, hardware_class: str, value: object) -> Rollout:
        """Return the rollout in a list; raise ValueError if it is not one, or has impossible values."""
        generation, step, reach, since_s, before = wire.items(value, 5)
        return cls(
            hardware_class=hardware_class,
            generation=whole(1, wire.MOST_GENERATIONS)(generation),
            step=whole(0, _LAST_STEP)(step),
            reach=whole(0, SHARE_ONE)(reach),
            since_s=whole(0, wire.LAST_S)(since_s),
            before=whole(0, wire.MOST_GENERATIONS)(before),
        )

    @property
    def is_last(self) -> bool:
        """Return whether the generation reaches all nodes."""
        return self.step == _LAST_STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from the checks of a step, and the sentence that tells operators why.

    `lacking` is the number of nodes by which a step is to be widened.
    """

    verdict: Verdict
    why: str
    lacking: int = 0


def start(result: ClassResult, before: ClassResult | None, nodes: Collection[str], now_s: int) -> Rollout:
    """Return the first step of a generation; `before` is the one that all nodes have, and `nodes` those of the class.

    Without one before, nodes have defaults or a setting of their own, and check before they take another. What a
    restoring generation brings back was confirmed before. No check measures the setting for both directions. These
    three reach all nodes at once.
    """
    at_once = before is None or result.restores or not _changes(result, before)
    made = Rollout(
        hardware_class=result.hardware_class,
        generation=result.generation,
        step=_LAST_STEP if at_once else 0,
        reach=SHARE_ONE if at_once else STEPS[0],
        since_s=now_s,
        before=before.generation if before else 0,
    )
    return made if any(takes(node, made) for node in nodes) else widen(made, nodes, 1, now_s)


def place_of(node: str, generation: int) -> int:
    """Return the place of a node in a generation's order, from 0 to SHARE_ONE - 1; each generation has another one."""
    return draw(node, generation) % SHARE_ONE


def takes(node: str, rollout: Rollout) -> bool:
    """Return whether a node is to check and take the generation now."""
    return place_of(node, rollout.generation) < rollout.reach


def check_at_s(node: str, rollout: Rollout) -> int:
    """Return the Unix time at which a node checks the generation, at most six hours after its step began."""
    return rollout.since_s + draw(node) % CHECKS_SPREAD_S


def is_slower(report: DriveReport) -> bool:
    """Return whether a check found the setting slower than that of the generation before, beyond both intervals."""
    return any(
        part.before is not None and part.rate.high_bytes_per_s < part.before.low_bytes_per_s
        for _, part in report.directions()
        if part
    )


def decide(
    rollout: Rollout,
    reports: Iterable[DriveReport],
    nodes: Collection[str],
    odd: Collection[tuple[str, str]],
    now_s: int,
) -> Decision:
    """Return whether the generation reaches more nodes, waits, or is taken back.

    `nodes` are those of the class that are alive. `odd` are the drives, each with its node, that are slower or faster
    than their class whatever its setting: their checks say nothing about the generation, unless it is slower than the
    one before on them. More than 5 % of a step's nodes that fail take the generation back, but two at least: a single
    node that fails has the step widened until more nodes confirm than fail. In a class of one node it decides. A check
    whose profile is provisional proves nothing, as one of blocks that were never written.
    """
    due = {node for node in nodes if takes(node, rollout)}
    checks = [
        each for each in reports if each.basis == "check" and each.generation == rollout.generation and each.node in due
    ]
    checked = {each.node for each in checks}
    proven = [each for each in checks if each.state != "provisional"]
    heard = [each for each in proven if (each.node, each.drive) not in odd]
    unheard = {each.node for each in proven} - {each.node for each in heard}
    if len(unheard) >= _MANY_ODD and 2 * len(unheard) > len({each.node for each in proven}):
        heard = proven
    slower = {each.node for each in proven if is_slower(each)}
    failed = slower | {each.node for each in heard if not each.confirms}
    confirmed = {each.node for each in heard} - failed
    told = f"generation {rollout.generation}: {len(confirmed)} of {len(checked)} nodes confirm it"
    if slower:
        told += f", {len(slower)} are slower than before, {min(slower)} among them"
    if len(failed) >= min(_FAILING, len(nodes)) and len(failed) > (1 - CONFIRMING_SHARE) * len(due):
        return Decision(verdict="take back", why=told)
    missing = len(due - checked)
    if missing:
        told += f", {missing} of {len(due)} have not checked"
    late = now_s - rollout.since_s >= LATE_S
    lacking = 1 + len(failed) - len(confirmed) - (0 if late else missing)
    if lacking > 0 and len(due) < len(nodes):
        return Decision(verdict="widen", why=told, lacking=lacking)
    enough = len(checked) >= CONFIRMING_SHARE * len(due) or (late and 2 * len(checked) >= len(due))
    if not (due and enough):
        return Decision(verdict="wait", why=told)
    return Decision(verdict="done" if rollout.is_last else "advance", why=told)


def advance(rollout: Rollout, now_s: int) -> Rollout:
    """Return the next step."""
    step = min(rollout.step + 1, _LAST_STEP)
    return replace(rollout, step=step, reach=max(rollout.reach, STEPS[step]), since_s=now_s)


def widen(rollout: Rollout, nodes: Iterable[str], lacking: int, now_s: int) -> Rollout:
    """Return the step with so many more of the nodes, if there are."""
    places = sorted(place_of(node, rollout.generation) for node in nodes if not takes(node, rollout))
    return replace(rollout, reach=places[:lacking][-1] + 1, since_s=now_s) if places else rollout


def _changes(result: ClassResult, before: ClassResult) -> tuple[Refused, ...]:
    """Return the settings of directions that the result has in place of others."""
    return tuple(
        Refused(direction, part.setting, result.made_at_s)
        for (direction, part), (_, old) in zip(result.directions(), before.directions(), strict=True)
        if part and not (old and old.setting == part.setting)
    )


def take_back(bad: ClassResult, before: ClassResult, now_s: int) -> ClassResult | None:
    """Return the generation that brings back the settings from before a bad one, whose settings it refuses.

    It has a new number, since nodes take only generations that are newer than theirs. None is returned if both have the
    same settings of reads and of writes, which alone are checked.
    """
    refused = tuple(each._replace(at_s=now_s) for each in _changes(bad, before))
    if not refused:
        return None
    kept = tuple(each for each in bad.refused if each[:2] not in {new[:2] for new in refused})
    return replace(
        before,
        generation=bad.generation + 1,
        restores=before.generation,
        refused=(*kept, *refused)[-MOST_NAMES:],
        disagreement="",
        pinned_at_s=before.pinned_at_s if before.pinned_at_s == bad.pinned_at_s else 0,
        made_at_s=now_s,
    )
