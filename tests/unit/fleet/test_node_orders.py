"""What the drives of a node are to do, from their reports and from what is known of their class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aio_tuned.fleet import rollout
from aio_tuned.fleet.consensus import VOTES_LAST_S
from aio_tuned.fleet.node_orders import Decision, KnownClass, NodeDrive, decide, drives_of, has_vote
from aio_tuned.fleet.plan import ClassPlan
from aio_tuned.fleet.rollout import CHECKS_SPREAD_S, STEPS, Rollout
from unit.support.builders import SMALL_GRID
from unit.support.fleet import CLASS, NOW_S, class_result, sweep_report

ALL = len(STEPS) - 1
DRIVE = "nvme-ACME_X1_S123_1"


def drive(**changes: Any) -> NodeDrive:  # noqa: ANN401 - any field
    made = NodeDrive(name=DRIVE, hardware_class=CLASS, grid=SMALL_GRID, state="provisional", generation=0)
    return replace(made, **changes)


def plan(generation: int = 0, step: int = ALL, **changes: Any) -> ClassPlan:  # noqa: ANN401 - any field
    begun = Rollout(
        hardware_class=CLASS,
        generation=generation,
        step=step,
        reach=STEPS[step],
        since_s=NOW_S,
        before=max(generation - 1, 0),
    )
    made = ClassPlan(
        hardware_class=CLASS,
        swept=2,
        wanted=3,
        open_slots=(),
        racks=(),
        generation=generation,
        result_made_at_s=NOW_S if generation else 0,
        rollout=begun if generation else None,
        made_at_s=NOW_S,
    )
    return replace(made, **changes)


def decided(of: NodeDrive, known: KnownClass, now_s: float = NOW_S, node: str = "n1") -> Decision:
    return decide(of, known, node, now_s)


# --- drives of reports ------------------------------------------------------------------------------------


def presence(**changes: Any) -> Any:  # noqa: ANN401 - any field
    made = sweep_report(basis="presence", state="provisional", helper_version="")
    return replace(made, read=None, **changes)


def check(generation: int, *, confirms: bool, **changes: Any) -> Any:  # noqa: ANN401 - any field
    return sweep_report(basis="check", generation=generation, confirms=confirms, **changes)


def test_the_presence_tells_the_class_and_the_state() -> None:
    found = drives_of([sweep_report(at_s=NOW_S), check(3, confirms=True), presence(generation=2, at_s=NOW_S - 5)])
    assert found == (drive(generation=2, swept_at_s=NOW_S, checked=3, confirms=True),)


def test_a_provisional_profile_that_was_measured_has_no_vote() -> None:
    found = drives_of([presence(helper_version="1.4")])
    assert found == (drive(can_vote=False),)
    assert drives_of([presence(helper_version="1.4", state="measured")])[0].can_vote


def test_a_drive_without_a_vote_asks_for_no_sweep() -> None:
    """Its daemon would not sweep it again, and it would keep a claim from drives that have a vote."""
    blank = drive(can_vote=False)
    assert decided(drive(), KnownClass()).asks == "class"
    assert decided(blank, KnownClass()) == Decision(task="wait", said="has a provisional profile of its own")
    refused = replace(blank, checked=1)
    found = decided(refused, KnownClass(plan=plan(1), result=class_result(1)))
    assert (found.task, found.asks) == ("wait", "")
    assert decided(blank, KnownClass(plan=plan(1), result=class_result(1))).task == "check"


def test_a_drive_without_a_presence_is_what_its_newest_report_tells() -> None:
    found = drives_of([sweep_report(at_s=NOW_S), check(3, confirms=False, at_s=NOW_S + 1, state="stale")])
    assert found == (drive(state="stale", generation=3, swept_at_s=NOW_S, checked=3),)


def test_measurements_of_another_class_do_not_count() -> None:
    other = "fedcba9876543210"
    found = drives_of([sweep_report(), check(3, confirms=True), presence(hardware_class=other)])
    assert found == (drive(hardware_class=other),)


def test_each_drive_is_one() -> None:
    found = drives_of([presence(drive="b"), presence(drive="a"), sweep_report(drive="b")])
    assert [(each.name, each.swept_at_s) for each in found] == [("a", 0), ("b", NOW_S)]


# --- a class without a result -----------------------------------------------------------------------------


def test_a_new_class_has_three_claims() -> None:
    known = KnownClass()
    assert known.open_slots() == (0, 1, 2)
    assert decided(drive(), known) == Decision(
        task="wait", said="waiting for class 0123456789abcdef: it has no plan yet", asks="class"
    )


def test_a_drive_waits_for_the_sweeps_of_others() -> None:
    said = "waiting for class 0123456789abcdef: 2 of 3 swept"
    assert decided(drive(), KnownClass(plan=plan())) == Decision(task="wait", said=said)
    assert decided(drive(), KnownClass(plan=plan(open_slots=(1,)))) == Decision(task="wait", said=said, asks="class")


@pytest.mark.parametrize("generation", [0, 2])
def test_a_measured_drive_asks_only_where_a_coordinator_wants_sweeps(generation: int) -> None:
    has = f"has generation 2 of class {CLASS}" if generation else "has a profile of its own"
    measured = drive(state="measured", generation=generation)
    for known in (KnownClass(), KnownClass(plan=plan())):
        assert decided(measured, known) == Decision(task="wait", said=has)
    wanted = KnownClass(plan=plan(open_slots=(0, 1)), result=class_result(2) if generation else None)
    assert decided(measured, wanted) == Decision(task="wait", said=has, asks="class")


def test_a_node_has_one_vote() -> None:
    swept = drive(swept_at_s=NOW_S)
    assert has_vote([drive(), swept], CLASS, NOW_S + VOTES_LAST_S - 1)
    assert not has_vote([drive(), swept], CLASS, NOW_S + VOTES_LAST_S)
    assert not has_vote([swept], "fedcba9876543210", NOW_S)
    for known in (KnownClass(has_vote=True), KnownClass(plan=plan(open_slots=(0,)), has_vote=True)):
        for of in (drive(), drive(state="measured")):
            assert not decided(of, known).asks


def test_a_class_that_disagrees_has_its_drives_sweep_by_themselves() -> None:
    assert decided(drive(), KnownClass(plan=plan(swept=5, wanted=5))) == Decision(
        task="wait", said=f"waiting for its own sweep: the 5 sweeps of class {CLASS} disagree"
    )
    more = KnownClass(plan=plan(swept=3, wanted=4, open_slots=(3,)))
    assert decided(drive(), more) == Decision(
        task="wait", said=f"waiting for class {CLASS}: 3 of 4 swept", asks="class"
    )


def test_a_coordinator_that_is_away_is_told() -> None:
    known = KnownClass(plan=plan())
    assert decided(drive(), known, NOW_S + 4 * 3600).said == f"waiting for class {CLASS}: 2 of 3 swept"
    said = f"waiting for class {CLASS}: no coordinator since 2027-01-15 08:00 UTC"
    assert decided(drive(), known, NOW_S + 4 * 3600 + 1).said == said


# --- a class with a result --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["provisional", "stale"])
@pytest.mark.parametrize("has", [0, 4])
def test_a_drive_without_a_measured_profile_checks_at_once(state: Any, has: int) -> None:  # noqa: ANN401
    """Even if its provisional settings are those of the result."""
    known = KnownClass(plan=plan(4), result=class_result(4))
    assert decided(drive(state=state, generation=has), known) == Decision(
        task="check", said=f"checking generation 4 of class {CLASS}"
    )


def test_a_result_is_checked_without_a_plan_too() -> None:
    assert decided(drive(), KnownClass(result=class_result(4))).task == "check"
    assert decided(drive(state="measured", generation=3), KnownClass(result=class_result(4))).task == "check"


def test_a_measured_drive_checks_when_its_node_is_due() -> None:
    known = KnownClass(plan=plan(4), result=class_result(4))
    measured = drive(state="measured", generation=3)
    assert known.plan
    assert known.plan.rollout
    at_s = rollout.check_at_s("n1", known.plan.rollout)
    assert NOW_S < at_s < NOW_S + CHECKS_SPREAD_S
    before = decided(measured, known, at_s - 1)
    assert before.task == "wait"
    assert before.said.startswith(f"checks generation 4 of class {CLASS} at 2027-01-15 ")
    assert decided(measured, known, at_s).task == "check"


def test_a_generation_that_the_drive_has_is_not_checked_again() -> None:
    known = KnownClass(plan=plan(4), result=class_result(4))
    for has in (4, 5):
        assert decided(drive(state="measured", generation=has), known, NOW_S + CHECKS_SPREAD_S) == Decision(
            task="wait", said=f"has generation {has} of class {CLASS}"
        )


def test_a_drive_that_was_swept_after_its_check_keeps_its_sweep() -> None:
    """The daemon does not check the generation again, so that such an order would stay for ever."""
    swept = drive(state="measured", generation=0, swept_at_s=NOW_S, checked=2, confirms=True)
    found = decided(swept, KnownClass(plan=plan(2), result=class_result(2)), NOW_S + CHECKS_SPREAD_S)
    assert (found.task, found.said) == ("wait", "has a profile of its own")


def test_a_generation_that_the_drive_does_not_confirm_is_not_checked_again() -> None:
    known = KnownClass(plan=plan(4), result=class_result(4))
    named = f"does not confirm generation 4 of class {CLASS}"
    later_s = NOW_S + CHECKS_SPREAD_S
    assert decided(drive(state="measured", generation=3, checked=4), known, later_s) == Decision(
        task="wait", said=f"keeps its own profile: {named}"
    )
    assert decided(drive(checked=4), known, later_s) == Decision(
        task="wait", said=f"waiting for a sweep of its own: {named}", asks="itself"
    )
    for has in (drive(state="measured", generation=3, checked=4), drive(checked=4)):
        assert decided(has, KnownClass(plan=plan(5), result=class_result(5)), later_s).task == "check"


def test_a_drive_that_became_stale_after_its_check_checks_again() -> None:
    known = KnownClass(plan=plan(4), result=class_result(4))
    assert decided(drive(state="stale", generation=4, checked=4, confirms=True), known).task == "check"


# --- a rollout --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "share"), [(0, "1 %"), (1, "10 %")])
def test_a_node_that_a_rollout_has_not_reached_waits_for_its_turn(step: int, share: str) -> None:
    """And has the generation before meanwhile, which a new drive checks."""
    begun = plan(4, step)
    assert begun.rollout
    node = next(each for each in map("n{}".format, range(1, 100)) if not rollout.takes(each, begun.rollout))
    turn = f"waiting for this node's turn: generation 4 reaches {share} of the nodes"
    before = KnownClass(plan=begun, result=class_result(3))
    assert decided(drive(state="measured", generation=3), before, node=node) == Decision(task="wait", said=turn)
    assert decided(drive(), before, node=node) == Decision(task="check", said=f"checking generation 3 of class {CLASS}")
    assert decided(drive(), KnownClass(plan=begun), node=node) == Decision(task="wait", said=turn)


def test_an_earlier_generation_is_overdue() -> None:
    known = KnownClass(plan=plan(4, 0), result=class_result(3))
    assert decided(drive(state="measured", generation=2), known, NOW_S, "n1").task == "check"
