"""The rollout of a generation: 1 % of the nodes, 10 %, all; a bad one stops at 1 % and is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.fleet.rollout import (
    CHECKS_SPREAD_S,
    LATE_S,
    STEPS,
    Decision,
    Rollout,
    advance,
    check_at_s,
    decide,
    place_of,
    start,
    take_back,
    takes,
    widen,
)
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result, direction_report, rate_of, sweep_report

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aio_tuned.fleet.report import DriveReport

_NODES = tuple(f"node-{number}" for number in range(10_000))
_BEFORE = class_result(1, POINTS[5])
_DRIVE = sweep_report().drive


def _rollout(step: int = 0, generation: int = 2) -> Rollout:
    return Rollout(
        hardware_class=CLASS, generation=generation, step=step, reach=STEPS[step], since_s=NOW_S, before=generation - 1
    )


def _check(node: str, *, confirms: bool = True, before: float = 5.9e9, generation: int = 2) -> DriveReport:
    part = replace(direction_report(6e9), best=(), before=rate_of(before))
    return sweep_report(node, part, basis="check", confirms=confirms, generation=generation)


def _due(rollout: Rollout, nodes: Sequence[str] = _NODES) -> list[str]:
    return [node for node in nodes if takes(node, rollout)]


def _decide(
    rollout: Rollout,
    reports: list[DriveReport],
    nodes: Collection[str] = _NODES,
    odd: Collection[str] = (),
    now_s: int = NOW_S,
) -> Decision:
    return decide(rollout, reports, nodes, {(node, _DRIVE) for node in odd}, now_s)


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
        rollout = start(class_result(generation), _BEFORE, nodes, NOW_S)
        assert len(_due(rollout, nodes)) == 1


def test_checks_are_spread_over_six_hours() -> None:
    at = sorted(check_at_s(node, _rollout()) - NOW_S for node in _NODES)
    assert at[0] >= 0
    assert at[-1] < CHECKS_SPREAD_S
    busiest = max(sum(minute * 60 <= each < minute * 60 + 60 for each in at) for minute in range(360))
    assert busiest < 60


def test_a_good_generation_reaches_all_in_three_steps() -> None:
    rollout, verdicts = _rollout(), list[str]()
    while not verdicts or verdicts[-1] == "advance":
        verdicts.append(_decide(rollout, [_check(node) for node in _due(rollout)]).verdict)
        rollout = advance(rollout, NOW_S + 1)
    assert verdicts == ["advance", "advance", "done"]


def test_a_generation_that_is_slower_stops_at_one_percent_and_tells_where() -> None:
    found = _decide(_rollout(), [_check(node, before=6.3e9) for node in _due(_rollout())[:10]])
    assert found.verdict == "take back"
    assert "0 of 10 nodes confirm it, 10 are slower than before, node-" in found.why


def test_more_than_five_percent_that_do_not_confirm_take_it_back() -> None:
    due = _due(_rollout())
    share = [round(part * len(due)) for part in (0.04, 0.07)]
    verdicts = [
        _decide(_rollout(), [_check(node, confirms=place >= count) for place, node in enumerate(due)]).verdict
        for count in share
    ]
    assert verdicts == ["advance", "take back"]


def test_an_odd_drive_does_not_hold_a_generation_back_but_is_heard_if_it_gets_slower() -> None:
    due = _due(_rollout())
    odd = due[: len(due) // 5]
    checks = [_check(node, confirms=node not in odd) for node in due]
    assert _decide(_rollout(), checks).verdict == "take back"
    assert _decide(_rollout(), checks, odd=odd).verdict == "advance"
    slower = [_check(node, confirms=False, before=7e9) for node in odd]
    assert _decide(_rollout(), [*checks, *slower], odd=odd).verdict == "take back"


def test_a_check_whose_figures_prove_nothing_neither_confirms_nor_takes_back() -> None:
    """Blank drives, for example, whose profiles stay provisional, are a tenth of the class here."""
    due = _due(_rollout())
    doubtful = [replace(_check(node, confirms=False), state="provisional") for node in due[: len(due) // 10]]
    sure = [_check(node) for node in due[len(due) // 10 :]]
    assert _decide(_rollout(), [*doubtful, *sure]).verdict == "advance"
    alone = [replace(_check(node, confirms=False), state="provisional") for node in due]
    assert _decide(_rollout(), alone).verdict == "widen", "nothing is known yet"
    slower = [replace(_check(node, confirms=False, before=6.3e9), state="provisional") for node in due]
    assert _decide(_rollout(), slower).verdict == "widen"


def test_it_waits_for_checks_of_its_own_step_and_generation() -> None:
    due, others = _due(_rollout()), [node for node in _NODES[:300] if not takes(node, _rollout())]
    reports = [_check(node, generation=1) for node in due] + [_check(node, confirms=False) for node in others]
    found = _decide(_rollout(), [*reports, *map(sweep_report, due)])
    assert (found.verdict, f"{len(due)} of {len(due)} have not checked" in found.why) == ("wait", True)
    assert _decide(_rollout(), [], ()).verdict == "wait"


def test_a_node_that_does_not_answer_does_not_stop_a_step() -> None:
    due = _due(_rollout())
    assert _decide(_rollout(), [_check(node) for node in due[1:]]).verdict == "advance"
    assert _decide(_rollout(), [_check(node) for node in due[len(due) // 5 :]]).verdict == "wait"


# --- steps of a few nodes ---------------------------------------------------------------------------------


def _small(count: int, failing: Collection[int] = (), silent: Collection[int] = (), late_s: int = 0) -> list[str]:
    """Return the verdicts on a class of so many nodes until it is done, taken back, or waits.

    The nodes are numbered in the order of the generation: `failing` are those whose checks do not confirm, and `silent`
    those that never check.
    """
    nodes = sorted((f"n{number}" for number in range(count)), key=lambda node: place_of(node, 2))
    rollout, verdicts = start(class_result(2), _BEFORE, nodes, NOW_S), list[str]()
    while not verdicts or verdicts[-1] in ("advance", "widen"):
        due = [place for place, node in enumerate(nodes) if takes(node, rollout)]
        checks = [_check(nodes[place], confirms=place not in failing) for place in due if place not in silent]
        found = _decide(rollout, checks, nodes, now_s=rollout.since_s + late_s)
        verdicts.append(found.verdict)
        wider = found.verdict == "widen"
        rollout = widen(rollout, nodes, found.lacking, NOW_S) if wider else advance(rollout, NOW_S)
    return verdicts


@pytest.mark.parametrize("count", range(2, 20))
def test_one_node_that_lies_neither_blocks_a_generation_nor_takes_it_back(count: int) -> None:
    for liar in range(count):
        assert _small(count, failing={liar})[-1] == "done"


def test_the_first_node_that_fails_has_two_more_check() -> None:
    nodes = sorted((f"n{number}" for number in range(15)), key=lambda node: place_of(node, 2))
    rollout = start(class_result(2), _BEFORE, nodes, NOW_S)
    assert _due(rollout, nodes) == nodes[:1]
    found = _decide(rollout, [_check(nodes[0], confirms=False)], nodes)
    assert (found.verdict, found.lacking) == ("widen", 2)
    wider = widen(rollout, nodes, found.lacking, NOW_S + 60)
    assert (_due(wider, nodes), wider.since_s) == (nodes[:3], NOW_S + 60)
    assert _decide(wider, [_check(nodes[0], confirms=False), _check(nodes[1])], nodes).verdict == "wait"


@pytest.mark.parametrize("count", [1, 2, 3, 10, 19])
def test_a_bad_generation_of_a_small_class_is_taken_back_in_its_first_step(count: int) -> None:
    verdicts = _small(count, failing=range(count))
    assert verdicts[-1] == "take back"
    assert "advance" not in verdicts


@pytest.mark.parametrize("count", [2, 3, 10, 19])
def test_a_node_that_never_checks_does_not_block_a_generation(count: int) -> None:
    assert _small(count, silent={0})[-1] == "wait"
    assert _small(count, silent={0}, late_s=LATE_S)[-1] == "done"


def test_a_generation_that_half_of_the_nodes_did_not_check_waits() -> None:
    due = _due(_rollout())
    checks = [_check(node) for node in due[: len(due) // 3]]
    found = _decide(_rollout(), checks, now_s=NOW_S + LATE_S)
    assert (found.verdict, "have not checked" in found.why) == ("wait", True)


def test_odd_drives_confirm_nothing_but_a_step_with_one_is_widened() -> None:
    nodes = sorted((f"n{number}" for number in range(15)), key=lambda node: place_of(node, 2))
    rollout = start(class_result(2), _BEFORE, nodes, NOW_S)
    for confirms in (True, False):
        found = _decide(rollout, [_check(nodes[0], confirms=confirms)], nodes, odd=nodes[:1])
        assert (found.verdict, found.lacking) == ("widen", 1)


def test_the_other_drives_of_a_node_with_an_odd_one_are_heard() -> None:
    due = _due(_rollout())
    odd = [_check(node, confirms=False) for node in due]
    good = [replace(_check(node), drive="other") for node in due]
    found = _decide(_rollout(), [*odd, *good], odd=due)
    assert (found.verdict, f"{len(due)} of {len(due)} nodes confirm it" in found.why) == ("advance", True)


def test_a_class_whose_drives_are_nearly_all_odd_has_a_bad_generation() -> None:
    due = _due(_rollout())
    checks = [_check(node, confirms=False) for node in due[:10]]
    assert _decide(_rollout(), checks[:2], odd=due).verdict == "wait"
    assert _decide(_rollout(), checks, odd=due).verdict == "take back"


def test_a_node_that_joins_in_a_rollout_takes_its_place_in_the_order() -> None:
    assert widen(_rollout(2), _NODES, 5, NOW_S) == _rollout(2)


def test_only_a_change_of_checked_settings_is_rolled_out_by_steps() -> None:
    first, second = class_result(1, POINTS[0]), class_result(2, POINTS[1])
    combined = replace(second, read=first.read)
    steps = [
        start(each, before, _NODES, NOW_S).step
        for each, before in (
            (first, None),
            (second, first),
            (replace(second, restores=1), first),
            (combined, first),
            (second, None),
        )
    ]
    assert steps == [2, 0, 2, 2, 2]
    assert start(second, first, _NODES, NOW_S).before == 1


def test_taking_back_brings_the_settings_before_under_a_newer_number() -> None:
    before, bad = class_result(4, POINTS[0]), class_result(5, POINTS[3], pinned_at_s=NOW_S)
    found = take_back(bad, before, NOW_S + 1)
    assert found
    assert (found.generation, found.restores, found.settings()) == (6, 4, before.settings())
    assert (found.pinned_at_s, found.made_at_s) == (0, NOW_S + 1)
    assert [tuple(each) for each in found.refused] == [("read", POINTS[3], NOW_S + 1)]
    again = take_back(replace(bad, refused=found.refused), before, NOW_S + 1)
    assert again
    assert again.refused == found.refused


def test_a_generation_with_the_same_checked_settings_is_not_taken_back() -> None:
    before = class_result(4, POINTS[0])
    assert take_back(replace(class_result(5, POINTS[3]), read=before.read), before, NOW_S) is None


def test_a_pin_that_gave_the_settings_before_stays_until_another_replaces_it() -> None:
    before, bad = (class_result(4 + place, POINTS[place], pinned_at_s=NOW_S) for place in range(2))
    found = take_back(bad, before, NOW_S)
    assert found
    assert found.pinned_at_s == NOW_S
    found = take_back(replace(bad, pinned_at_s=NOW_S + 1), before, NOW_S)
    assert found
    assert found.pinned_at_s == 0


@given(st.integers(1, 1 << 31), st.integers(0, 2))
def test_a_rollout_reads_back_as_it_was_written(generation: int, step: int) -> None:
    assert Rollout.from_row(CLASS, _rollout(step, generation).row()) == _rollout(step, generation)


@pytest.mark.parametrize(
    "row",
    [
        None, {}, [], [2, 0, 100, NOW_S],
        [0, 0, 100, NOW_S, 1], [2, 3, 100, NOW_S, 1], [2, 0, 10_001, NOW_S, 1], [2, 0, 100, -1, 1], [2, 0, 100, 0, ""],
    ],
)  # fmt: skip
def test_foreign_input_is_refused(row: object) -> None:
    with pytest.raises(ValueError, match="not a "):
        Rollout.from_row(CLASS, row)
