"""The result of a class with the settings of an operator's pin in place of those that the sweeps gave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet import agreement, point_choice
from aio_tuned.fleet.report import DIRECTIONS, Share
from aio_tuned.fleet.share_table import ShareTable
from aio_tuned.model.setting import DEFAULT_SETTING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.fleet.consensus import ClassCombined, ClassDirection, ClassResult
    from aio_tuned.fleet.pin import Pin
    from aio_tuned.fleet.votes import Votes
    from aio_tuned.model.setting import Direction, Grid, Setting


class Pinned(NamedTuple):
    """The result that a pin makes, None if it makes none, and the sentence on it."""

    result: ClassResult | None
    said: str


def pinned(pin: Pin, usual: ClassResult | None, votes: Votes, known: Sequence[ClassResult]) -> Pinned:
    """Return what a pin makes of the result that the sweeps gave, `usual`; the generation stays.

    `known` are the generations that the store has, newest first. A pin that gave one of them, but not the newest, was
    taken back, and is not tried again.
    """
    said = f"by {pin.by}: {pin.why}"
    if usual is None:
        return Pinned(None, f"{said}; waiting for the sweeps of the class, which has no figures yet")
    fault = _fault(pin, usual)
    if fault:
        return Pinned(None, f"{said}; refused: {fault}")
    if any(each.pinned_at_s == pinned_at_s(pin) for each in known[1:]) and known[0].pinned_at_s != pinned_at_s(pin):
        return Pinned(None, f"{said}; taken back, since its checks were slower; pin it again to try it again")
    read, write = (_direction(direction, getattr(pin, direction), votes, (usual, *known)) for direction in DIRECTIONS)
    made = replace(
        usual,
        read=read,
        write=write,
        combined=_combined(pin, usual, votes, known),
        disagreement="",
        pinned_at_s=pinned_at_s(pin),
    )
    return Pinned(replace(made, restores=_restores(pin, made, known)), said)


def pinned_at_s(pin: Pin) -> int:
    """Return the time of a pin, which is 0 for settings without one."""
    return max(pin.at_s, 1)


def _fault(pin: Pin, usual: ClassResult) -> str:
    for name, setting, part in (
        ("read", pin.read, usual.read),
        ("write", pin.write, usual.write),
        ("combined", pin.combined, usual.combined),
    ):
        if setting is None:
            continue
        outside = _outside(setting, usual.grid)
        if outside:
            return f"{name}: {outside} is not in the grid of the class; pin a setting of its grid"
        if part is None:
            return f"{name}: the class has no measurement of it; pin the other sections"
    return ""


def _outside(setting: Setting, grid: Grid) -> str:
    """Return the first parameter that the grid does not have; the default is measured beside each grid."""
    if setting == DEFAULT_SETTING:
        return ""
    values = ((key, getattr(setting, key)) for key in SETTING_KEYS)
    return next((f"{key} {int(value)}" for key, value in values if value not in getattr(grid, key)), "")


def _direction(
    direction: Direction, setting: Setting | None, votes: Votes, known: Sequence[ClassResult]
) -> ClassDirection | None:
    """Return a direction with a setting and its figures, by the sweeps or by the generation that had it.

    Where nothing is known of a setting, the figures stay those of the newest generation.
    """
    usual: ClassDirection | None = getattr(known[0], direction)
    if setting is None or usual is None or usual.setting == setting:
        return usual
    parts = agreement.parts_of(votes.accepted, direction)
    if parts:
        share = min(ShareTable(parts).shares(setting))
        return agreement.figures(parts, [Share(setting, share), *point_choice.rank(parts, {setting}, None)])
    earlier = (getattr(each, direction) for each in known)
    return next(
        (part for part in earlier if part and part.setting == setting), replace(usual, setting=setting, challengers=())
    )


def _combined(pin: Pin, usual: ClassResult, votes: Votes, known: Sequence[ClassResult]) -> ClassCombined | None:
    setting = pin.combined
    if setting is None or usual.combined is None or usual.combined.setting == setting:
        return usual.combined
    read, write = (agreement.parts_of(votes.accepted, direction) for direction in DIRECTIONS)
    if read and write:
        return agreement.combined(read, write, setting)
    earlier = (each.combined for each in known if each.combined)
    return next((each for each in earlier if each.setting == setting), replace(usual.combined, setting=setting))


def _restores(pin: Pin, made: ClassResult, known: Sequence[ClassResult]) -> int:
    """Return the generation that a rollback brings back, 0 if it is another one or was taken back."""
    refused = {(each.direction, each.setting) for each in made.refused}
    bad = any(part and (direction, part.setting) in refused for direction, part in made.directions())
    there = any(each.generation == pin.restores and each.settings() == made.settings() for each in known)
    return pin.restores if there and not bad else 0
