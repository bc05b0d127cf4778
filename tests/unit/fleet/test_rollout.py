"""The rollout of a generation: 1 % of the nodes, 10 %, all; a bad one stops at 1 % and is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.fleet.rollout import (
    CHECKS_SPREAD_S,
    Rollout,
    advance,
    check_at_s,
    decide,
    start,
    take_back,
    takes,
)
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result, direction_report, rate_of, sweep_report

if TYPE_CHECKING:
    from aio_tuned.fleet.report import DriveReport

_NODES = tuple(f"node-{number}" for number in range(10_000))


def _rollout(step: int = 0, generation: int = 2) -> Rollout:
    return Rollout(hardware_class=CLASS, generation=generation, step=step, since_s=NOW_S, first=_NODES[0])


def _check(node: str, *, confirms: bool = True, before: float = 5.9e9, generation: int = 2) -> DriveReport:
    part = replace(direction_report(6e9), best=(), before=rate_of(before))
    return sweep_report(node, part, basis="check", confirms=confirms, generation=generation)


def _due(rollout: Rollout, nodes: tuple[str, ...] = _NODES) -> list[str]:
    return [node for node in nodes if takes(node, rollout)]


@pytest.mark.parametrize(("step", "share"), [(0, 0.01), (1, 0.1), (2, 1.0)])
def test_a_step_reaches_its_share_and_all_nodes_of_the_step_before(step: int, share: float) -> None:
    due = _due(_rollout(step))
    assert abs(len(due) / len(_NODES) - share) <= 0.2 * share
    assert set(_due(_rollout(max(0, step - 1)))) <= set(due)


def test_each_generation_begins_on_other_nodes() -> None:
    assert len(set(_due(_rollout())) & set(_due(_rollout(generation=3)))) < 10


def test_a_class_of_three_nodes_begins_on_one() -> None:
    nodes = ("a", "b", "c")
    for generation in range(2, 30):
        rollout = start(class_result(generation), nodes, NOW_S)
        assert sum(takes(node, rollout) for node in nodes) == 1


def test_checks_are_spread_over_six_hours() -> None:
    at = sorted(check_at_s(node, _rollout()) - NOW_S for node in _NODES)
    assert at[0] >= 0
    assert at[-1] < CHECKS_SPREAD_S
    busiest = max(sum(minute * 60 <= each < minute * 60 + 60 for each in at) for minute in range(360))
    assert busiest < 60


def test_a_good_generation_reaches_all_in_three_steps() -> None:
    rollout, verdicts = _rollout(), list[str]()
    while not verdicts or verdicts[-1] == "advance":
        verdicts.append(decide(rollout, [_check(node) for node in _due(rollout)], _NODES, ()).verdict)
        rollout = advance(rollout, NOW_S + 1)
    assert verdicts == ["advance", "advance", "done"]


def test_a_generation_that_is_slower_stops_at_one_percent_and_tells_where() -> None:
    found = decide(_rollout(), [_check(node, before=6.3e9) for node in _due(_rollout())[:10]], _NODES, ())
    assert found.verdict == "take back"
    assert "0 of 10 nodes confirm it, 10 are slower than before, node-" in found.why


def test_more_than_five_percent_that_do_not_confirm_take_it_back() -> None:
    due = _due(_rollout())
    share = [round(part * len(due)) for part in (0.04, 0.07)]
    verdicts = [
        decide(
            _rollout(), [_check(node, confirms=place >= count) for place, node in enumerate(due)], _NODES, ()
        ).verdict
        for count in share
    ]
    assert verdicts == ["advance", "take back"]


def test_an_odd_drive_does_not_hold_a_generation_back_but_is_heard_if_it_gets_slower() -> None:
    due = _due(_rollout())
    odd = due[: len(due) // 5]
    checks = [_check(node, confirms=node not in odd) for node in due]
    assert decide(_rollout(), checks, _NODES, ()).verdict == "take back"
    assert decide(_rollout(), checks, _NODES, odd).verdict == "advance"
    slower = [_check(node, confirms=False, before=7e9) for node in odd]
    assert decide(_rollout(), [*checks, *slower], _NODES, odd).verdict == "take back"


def test_it_waits_for_checks_of_its_own_step_and_generation() -> None:
    due, others = _due(_rollout()), [node for node in _NODES[:300] if not takes(node, _rollout())]
    reports = [_check(node, generation=1) for node in due] + [_check(node, confirms=False) for node in others]
    found = decide(_rollout(), [*reports, *map(sweep_report, due)], _NODES, ())
    assert (found.verdict, f"{len(due)} of {len(due)} have not checked" in found.why) == ("wait", True)
    assert decide(_rollout(), [], (), ()).verdict == "wait"


def test_a_node_that_does_not_answer_does_not_stop_a_step() -> None:
    due = _due(_rollout())
    assert decide(_rollout(), [_check(node) for node in due[1:]], _NODES, ()).verdict == "advance"
    assert decide(_rollout(), [_check(node) for node in due[len(due) // 5 :]], _NODES, ()).verdict == "wait"


def test_only_a_change_of_settings_is_rolled_out_by_steps() -> None:
    steps = [
        start(each, _NODES, NOW_S).step for each in (class_result(1), class_result(2), class_result(5, restores=3))
    ]
    assert steps == [2, 0, 2]


def test_taking_back_brings_the_settings_before_under_a_newer_number() -> None:
    before, bad = class_result(4, POINTS[0]), class_result(5, POINTS[3])
    found = take_back(bad, before, NOW_S)
    assert (found.generation, found.restores, found.settings()) == (6, 4, before.settings())
    assert [(each.direction, each.setting) for each in found.refused] == [("read", POINTS[3])]
    assert take_back(replace(bad, refused=found.refused), before, NOW_S).refused == found.refused


@given(st.integers(1, 1 << 31), st.integers(0, 2))
def test_a_rollout_reads_back_as_it_was_written(generation: int, step: int) -> None:
    assert Rollout.from_row(CLASS, _rollout(step, generation).row()) == _rollout(step, generation)


@pytest.mark.parametrize(
    "row", [None, {}, [], [2, 0, NOW_S], [0, 0, NOW_S, "n"], [2, 3, NOW_S, "n"], [2, 0, -1, "n"], [2, 0, NOW_S, ""]]
)
def test_foreign_input_is_refused(row: object) -> None:
    with pytest.raises(ValueError, match="not a "):
        Rollout.from_row(CLASS, row)
