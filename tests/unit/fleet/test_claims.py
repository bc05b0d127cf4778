"""Claims: three sweeps of a class, a fourth and a fifth where they disagree, on distinct racks."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.fleet.claims import open_slots, order, wanted
from aio_tuned.fleet.consensus import VOTES_LAST_S
from unit.support.fleet import CLASS, NOW_S, direction_report, sweep_report


def _sweeps(*speeds: float) -> list:  # type: ignore[type-arg]  # of DriveReport
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
    assert wanted(_sweeps(*speeds), NOW_S) == count


def test_claims_that_are_held_are_not_open_and_a_lost_lease_opens_its_own() -> None:
    assert open_slots([], (), NOW_S) == (0, 1, 2)
    assert open_slots([], (0, 2), NOW_S) == (1,)
    assert open_slots(_sweeps(6e9), (0,), NOW_S) == (1,)
    assert open_slots([], (0, 1, 2), NOW_S) == ()


def test_a_settled_class_has_no_open_claim_until_a_vote_ends() -> None:
    sweeps = _sweeps(6e9, 6e9, 6e9)
    assert open_slots(sweeps, (), NOW_S) == ()
    sweeps[0] = replace(sweeps[0], at_s=NOW_S - VOTES_LAST_S - 1)
    assert open_slots(sweeps, (), NOW_S) == (0,)


def test_each_rack_sweeps_before_one_sweeps_twice() -> None:
    asking = [(f"{rack}-{number}", rack) for rack in ("r1", "r2", "r3") for number in range(50)]
    chosen = order(asking, [], [], CLASS, NOW_S)
    assert len(chosen) == len(asking)
    assert all(len({node[:2] for node in chosen[place : place + 3]}) == 3 for place in range(0, 150, 3))


def test_the_racks_of_sweeps_and_of_nodes_that_sweep_are_last() -> None:
    swept = [replace(sweep_report("r1-0"), domain="r1")]
    asking = [("r1-0", "r1"), ("r1-1", "r1"), ("r2-1", "r2"), ("r3-1", "r3")]
    chosen = order(asking, swept, ["r2"], CLASS, NOW_S)
    assert chosen[0] == "r3-1"
    assert sorted(chosen) == ["r1-1", "r2-1", "r3-1"]


@given(st.permutations([("a", ""), ("b", "r1"), ("c", "r1"), ("d", "r2"), ("e", "")]))
def test_every_node_computes_the_same_order(asking: list[tuple[str, str]]) -> None:
    assert order(asking, [], [], CLASS, NOW_S) == order(sorted(asking), [], [], CLASS, NOW_S)


def test_not_the_same_node_sweeps_for_every_class() -> None:
    asking = [(f"n{number}", "") for number in range(100)]
    first = {order(asking, [], [], f"{key:016x}", NOW_S)[0] for key in range(50)}
    assert len(first) > 25
    assert first <= set(chain.from_iterable(asking))
