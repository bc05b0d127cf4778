"""Which point a class gets: the best of those that most drives have among theirs, and the last one while it is good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.fleet.point_choice import rank
from unit.support.fleet import POINTS, direction_report

if TYPE_CHECKING:
    from aio_tuned.fleet.report import DirectionReport
    from aio_tuned.model.setting import Setting

HELD, OTHER, *_ = POINTS


def _drive(*best: Setting) -> DirectionReport:
    """A drive whose best points differ by 0.05 % each."""
    return direction_report(best=best, step=5)


def test_one_more_vote_does_not_replace_a_setting_that_is_as_good() -> None:
    """Drives with many equal points name others each time: the setting is among the best of two of four now."""
    parts = [_drive(HELD, OTHER), _drive(HELD, OTHER), _drive(OTHER, POINTS[2]), _drive(OTHER, POINTS[3])]
    assert rank(parts, (), None)[0].setting == OTHER
    assert rank(parts, (), HELD)[0].setting == HELD


def test_a_setting_that_one_drive_alone_has_among_its_best_is_replaced() -> None:
    parts = [_drive(HELD, OTHER), _drive(OTHER, POINTS[4]), _drive(OTHER, POINTS[2]), _drive(OTHER, POINTS[3])]
    assert rank(parts, (), HELD)[0].setting == OTHER


def test_a_setting_that_was_refused_is_not_kept() -> None:
    parts = [_drive(HELD, OTHER), _drive(HELD, OTHER), _drive(OTHER, POINTS[2])]
    assert rank(parts, (HELD,), HELD)[0].setting == OTHER
