"""Claims: three sweeps of a class, a fourth and a fifth where they disagree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet import claims, votes
from aio_tuned.fleet.consensus import VOTES_LAST_S
from unit.support.fleet import NOW_S, direction_report, sweep_report

if TYPE_CHECKING:
    from collections.abc import Collection

    from aio_tuned.fleet.report import DriveReport


def open_slots(reports: list[DriveReport], held: Collection[int]) -> tuple[int, ...]:
    return claims.open_slots(votes.count(reports, NOW_S), held)


def _sweeps(*speeds: float) -> list[DriveReport]:
    return [sweep_report(f"n{place}", direction_report(speed)) for place, speed in enumerate(speeds)]


@pytest.mark.parametrize(
    ("speeds", "count"),
    [
        ((), 3),
        ((6e9, 6e9), 3),
        ((6e9, 6.05e9, 6e9), 3),
        ((6e9, 6e9, 3e9), 4),
        ((6e9, 6e9, 6e9, 3e9), 4),
        ((6e9, 6e9, 3e9, 3e9), 5),
        ((6e9, 6e9, 6e9, 3e9, 3e9), 5),
        ((1e9, 2e9, 4e9, 8e9, 16e9), 5),
    ],
)
def test_three_sweeps_and_one_more_for_each_disagreement_up_to_five(speeds: tuple[float, ...], count: int) -> None:
    assert claims.wanted(votes.count(_sweeps(*speeds), NOW_S)) == count


def test_claims_that_are_held_are_not_open_and_a_lost_lease_opens_its_own() -> None:
    assert open_slots([], ()) == (0, 1, 2)
    assert open_slots([], (0, 2)) == (1,)
    assert open_slots(_sweeps(6e9), (0,)) == (1,)
    assert open_slots([], (0, 1, 2)) == ()
    assert open_slots([], (7, 99, 5)) == (0, 1, 2)


def test_a_settled_class_has_no_open_claim_until_a_vote_ends() -> None:
    sweeps = _sweeps(6e9, 6e9, 6e9)
    assert open_slots(sweeps, ()) == ()
    sweeps[0] = replace(sweeps[0], at_s=NOW_S - VOTES_LAST_S - 1)
    assert open_slots(sweeps, ()) == (0,)
