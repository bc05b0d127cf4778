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
# The next step needs the checks of this share of a step's nodes, and that no more than the rest fail.
CONFIRMING_SHARE = 0.95
# Checks of a class start within so many seconds, so that its nodes do not wake at once.
CHECKS_SPREAD_S = 6 * 3600

Verdict = Literal["wait", "advance", "done", "take back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a generation of a class is: `step` is the place in STEPS, and `since_s` the Unix time of its start.

    `first` is the first node in the generation's order, since a class of a few nodes may have none below 1 %.
    """

    hardware_class: str
    generation: int
    step: int
    since_s: int
    first: str

    def row(self) -> list[object]:
        """Return the rollout as a list, for the plan of its class."""
        return [self.generation, self.step, self.since_s, self.first]

    @classmethod
    def from_row(cls, hardware_class: str, value: object) -> Rollout:
        """Return the rollout in a list; raise ValueError if it is not one, or has impossible values."""
        generation, step, since_s, first = wire.items(value, 4)
        return cls(
            hardware_class=hardware_class,
            generation=whole(1, wire.MOST_GENERATIONS)(generation),
            step=whole(0, len(STEPS) - 1)(step),
            since_s=whole(0, wire.LAST_S)(since_s),
            first=wire.host(first),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from the checks of a step, and the sentence that tells operators why."""

    verdict: Verdict
    why: str


def start(result: ClassResult, nodes: Collection[str], now_s: int) -> Rollout:
    """Return the first step of a generation; the first generation of a class and one that restores reach all at once.

    Nodes without a setting of their class have defaults or a setting of their own, and check before they take another.
    What a restoring generation brings back was confirmed before. `nodes` are those of the class, one at least.
    """
    step = len(STEPS) - 1 if result.generation == 1 or result.restores else 0
    number = result.generation
    first = min(nodes, key=lambda node: (place_of(node, number), node))
    return Rollout(hardware_class=result.hardware_class, generation=number, step=step, since_s=now_s, first=first)


def place_of(node: str, generation: int) -> int:
    """Return the place of a node in a generation's order, from 0 to SHARE_ONE - 1; each generation has another one."""
    return draw(node, generation) % SHARE_ONE


def takes(node: str, rollout: Rollout) -> bool:
    """Return whether a node is to check and take the generation now."""
    return place_of(node, rollout.generation) < STEPS[rollout.step] or node == rollout.first


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


def decide(rollout: Rollout, reports: Iterable[DriveReport], nodes: Collection[str], odd: Collection[str]) -> Decision:
    """Return whether the generation reaches more nodes, waits, or is taken back.

    `nodes` are those of the class that are alive. `odd` are those that are slower or faster than their class whatever
    its setting: that their checks do not confirm says nothing about the generation, unless it is slower than the one
    before on them. More than 5 % of a step's nodes that fail take the generation back. A single one does in a step of
    less than 20 nodes; among thousands, intervals of 95 % find a few slower by chance.
    """
    due = {node for node in nodes if takes(node, rollout)}
    of_step = [each for each in reports if each.basis == "check" and each.generation == rollout.generation]
    checked = {each.node for each in of_step} & due
    slower = {each.node for each in of_step if is_slower(each)} & due
    failed = slower | ({each.node for each in of_step if not each.confirms} & due - set(odd))
    told = f"generation {rollout.generation}: {len(checked - failed)} of {len(checked)} nodes confirm it"
    if slower:
        told += f", {len(slower)} are slower than before, {min(slower)} among them"
    if len(failed) > (1 - CONFIRMING_SHARE) * len(due):
        return Decision(verdict="take back", why=told)
    if not due or len(checked) < CONFIRMING_SHARE * len(due):
        return Decision(verdict="wait", why=f"{told}, {len(due - checked)} of {len(due)} have not checked")
    return Decision(verdict="done" if rollout.step == len(STEPS) - 1 else "advance", why=told)


def advance(rollout: Rollout, now_s: int) -> Rollout:
    """Return the next step."""
    return replace(rollout, step=min(rollout.step + 1, len(STEPS) - 1), since_s=now_s)


def take_back(bad: ClassResult, before: ClassResult, now_s: int) -> ClassResult:
    """Return the generation that brings back the settings from before a bad one, whose settings it refuses.

    It has a new number, since nodes take only generations that are newer than theirs.
    """
    refused = tuple(
        Refused(direction, part.setting, now_s)
        for (direction, part), (_, old) in zip(bad.directions(), before.directions(), strict=True)
        if part and not (old and old.setting == part.setting)
    )
    kept = tuple(each for each in bad.refused if each[:2] not in {new[:2] for new in refused})
    return replace(
        before,
        generation=bad.generation + 1,
        restores=before.generation,
        refused=(*kept, *refused)[-MOST_NAMES:],
        disagreement="",
        made_at_s=now_s,
    )
