"""What the coordinator makes of a class: votes, steps of a rollout, pins, and what it tells nodes and operators."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.fleet.consensus import VOTES_LAST_S, Refused
from aio_tuned.fleet.coordination import REFRESH_S, ClassView, Coordinated, coordinate
from aio_tuned.fleet.rollout import Rollout, place_of, takes
from aio_tuned.fleet.store import IgnoredReport, ReportId
from aio_tuned.model.setting import DEFAULT_SETTING
from unit.support.fleet import (
    CLASS,
    NOW_S,
    POINTS,
    class_pin,
    class_result,
    direction_report,
    rate_of,
    sweep_report,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.model.setting import Setting

EVERY_S = 7 * 86400.0
_NODES = tuple(f"n{number}" for number in range(200))
_DRIVE = sweep_report().drive


def _sweep(
    node: str,
    speed: float = 6e9,
    best: tuple[Setting, ...] = POINTS[:6],
    **changes: Any,  # noqa: ANN401 - any field
) -> DriveReport:
    return sweep_report(node, direction_report(speed, best, 200), **{"sent_s": NOW_S, "domain": f"r-{node}"} | changes)


def _presence(node: str, **changes: Any) -> DriveReport:  # noqa: ANN401 - any field
    made = sweep_report(node, basis="presence", state="provisional", sent_s=NOW_S, about="ACME X1, 1.0, 3.84 TB")
    return replace(made, read=None, **changes)


def _check(
    node: str,
    result: ClassResult,
    speed: float = 6e9,
    before: float = 0,
    **changes: Any,  # noqa: ANN401 - any field
) -> DriveReport:
    """Return a check; it confirms a generation that is neither slower than before nor than its class."""
    assert result.read
    part = direction_report(speed, (result.read.setting,))
    part = replace(part, best=(), before=rate_of(before) if before else None)
    confirms = speed > 0.9 * result.read.rate.bytes_per_s and speed >= before
    known = {"sent_s": NOW_S, "basis": "check", "generation": result.generation, "confirms": confirms}
    return sweep_report(node, part, **known | changes)


_A_DAY_S = 86400


class _Fleet:
    """A class and what the store has of it, round by round."""

    def __init__(self, reports: Iterable[DriveReport], **known: Any) -> None:  # noqa: ANN401 - any field
        self.known = ClassView(hardware_class=CLASS, reports=tuple(reports), **known)

    def round(self, reports: Iterable[DriveReport] = (), now_s: int = NOW_S, **changes: Any) -> Coordinated:  # noqa: ANN401 - any field
        """Return what a coordinator makes of the class with newer reports, which the store then has."""
        by_key = {(each.node, each.drive, each.basis): each for each in (*self.known.reports, *reports)}
        known = replace(self.known, reports=tuple(by_key.values()), **changes)
        found = coordinate(known, now_s, EVERY_S)
        history = known.history
        if found.result:
            older = (each for each in history if each.generation != found.result.generation)
            history = (found.result, *older)[:5]
        self.known = replace(known, result=found.result, plan=found.plan, status=found.status, history=history)
        return found

    @property
    def rollout(self) -> Rollout:
        assert self.known.plan
        assert self.known.plan.rollout
        return self.known.plan.rollout

    def due(self) -> list[str]:
        """Return the nodes that the generation has reached, in its order."""
        rollout = self.rollout
        reached = (node for node in _NODES if takes(node, rollout))
        return sorted(reached, key=lambda node: place_of(node, rollout.generation))


def _result(found: Coordinated) -> ClassResult:
    assert found.result
    return found.result


def _setting(found: Coordinated) -> Setting | None:
    return _result(found).settings()[0]


def _agreed() -> tuple[_Fleet, ClassResult]:
    """Return a class of 200 nodes whose first generation all of them have."""
    fleet = _Fleet([*(_sweep(node) for node in _NODES[:3]), *(_presence(node, state="measured") for node in _NODES)])
    result = _result(fleet.round())
    fleet.round(_check(node, result) for node in _NODES)
    return fleet, result


def _renewed(fleet: _Fleet, best: tuple[Setting, ...] = POINTS[6:12]) -> ClassResult:
    """Return the generation after sweeps that name other points."""
    return _result(fleet.round(_sweep(node, best=best) for node in _NODES[:3]))


# --- sweeps -----------------------------------------------------------------------------------------------


def test_a_class_without_sweeps_wants_three() -> None:
    found = _Fleet(map(_presence, _NODES[:5])).round()
    assert found.result is None
    assert (found.plan.swept, found.plan.wanted, found.plan.open_slots) == (0, 3, (0, 1, 2))
    assert (found.plan.generation, found.plan.rollout) == (0, None)
    assert (found.status.nodes, found.status.waiting, found.status.about) == (5, 5, "ACME X1, 1.0, 3.84 TB")


def test_claims_that_are_held_are_not_open() -> None:
    found = _Fleet([_sweep("n1"), _presence("n2")], held=(0,)).round()
    assert (found.plan.swept, found.plan.open_slots, found.plan.racks) == (1, (1,), ("r-n1",))


def test_three_sweeps_give_the_first_generation_to_all_nodes_at_once() -> None:
    fleet = _Fleet([*map(_sweep, _NODES[:3]), *map(_presence, _NODES)])
    found = fleet.round()
    assert (_result(found).generation, _setting(found)) == (1, POINTS[0])
    assert len(fleet.due()) == 200
    assert (found.plan.generation, found.plan.result_made_at_s, found.plan.open_slots) == (1, NOW_S, ())
    assert found.status.decision == "generation 1: begins on 200 of 200 nodes"


def test_first_sweeps_that_differ_give_no_result_but_ask_for_a_fourth_and_a_fifth() -> None:
    fleet = _Fleet([_sweep("a"), _sweep("b"), _sweep("c", 3e9)])
    found = fleet.round()
    assert (found.result, found.plan.wanted, found.plan.open_slots) == (None, 4, (0,))
    assert found.status.disagreement.startswith("c: read: ")
    assert fleet.round([_sweep("d", 3.01e9)]).plan.wanted == 5
    settled = fleet.round([_sweep("e")])
    assert _setting(settled) == POINTS[0]
    assert (settled.plan.wanted, settled.plan.open_slots, settled.status.disagreement) == (5, (), "")
    assert {(each.kind, each.node) for each in settled.status.noted} == {("odd", "c"), ("odd", "d")}


def test_a_disagreement_keeps_the_settings_from_before() -> None:
    fleet, result = _agreed()
    found = fleet.round([_sweep(_NODES[2], 3e9, at_s=NOW_S + 1)])
    assert (_result(found).generation, _result(found).settings()) == (1, result.settings())
    assert _result(found).disagreement == found.status.disagreement != ""
    assert found.plan.wanted == 4


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_clocks_an_hour_apart_count(ahead_s: int) -> None:
    found = _Fleet(_sweep(node, at_s=NOW_S + ahead_s, sent_s=NOW_S + ahead_s) for node in _NODES[:3]).round()
    assert found.result
    assert (found.status.nodes, found.status.ignored) == (3, 0)


@pytest.mark.parametrize("ahead", [{"at_s": NOW_S + 90_000}, {"sent_s": NOW_S + 90_000}], ids=["measured", "sent"])
def test_a_report_from_the_future_does_not_count_and_is_named(ahead: dict[str, Any]) -> None:
    found = _Fleet([_sweep("a"), _sweep("b"), _sweep("c", **ahead)]).round()
    assert (found.result, found.status.nodes, found.status.ignored) == (None, 2, 1)
    assert [(each.kind, each.node) for each in found.status.noted] == [("ignored", "c")]
    assert "set the clock of the node" in found.status.noted[0].why


def test_a_node_that_is_silent_for_two_periods_and_an_hour_is_no_member() -> None:
    last_s = NOW_S - 2 * int(EVERY_S) - 3600
    reports = [_presence("old", sent_s=last_s - 1), _presence("slow", sent_s=last_s), _sweep("moved")]
    found = _Fleet(reports, moved={("moved", _DRIVE)}).round()
    assert (found.status.nodes, found.plan.swept) == (1, 1)


def test_the_clock_of_another_coordinator_that_was_ahead_makes_no_result_older() -> None:
    fleet, result = _agreed()
    faster = [_sweep(node, 6.1e9, at_s=NOW_S + 1) for node in _NODES[:3]]
    found = fleet.round(faster, result=replace(result, made_at_s=NOW_S + 3600))
    assert (_result(found).generation, _result(found).made_at_s) == (1, NOW_S + 3601)


def test_a_store_that_lost_its_results_continues_after_the_generation_that_nodes_have() -> None:
    reports = [*map(_sweep, _NODES[:3]), *(_presence(node, generation=7) for node in _NODES[:50])]
    liars = [_presence(node, generation=1 << 30) for node in _NODES[50:52]]
    assert _result(_Fleet([*reports, *liars]).round()).generation == 8


def test_a_store_that_was_restored_from_a_copy_continues_after_the_generation_that_nodes_have() -> None:
    """Nodes take no generation that is older than theirs, so the next one would be missed by all of them."""
    fleet, result = _agreed()
    ahead = [_presence(node, state="measured", generation=4) for node in _NODES[:101]]
    liars = [_presence(node, state="measured", generation=1 << 30) for node in _NODES[101:111]]
    found = fleet.round([*ahead, *liars])
    assert (_result(found).generation, _setting(found)) == (5, result.settings()[0])
    assert len(fleet.due()) == 200
    assert _result(fleet.round()).generation == 5


def test_nodes_that_say_they_are_ahead_move_no_class_as_long_as_they_are_few() -> None:
    fleet, _ = _agreed()
    found = fleet.round(_presence(node, state="measured", generation=9) for node in _NODES[:99])
    assert _result(found).generation == 1


# --- rollouts ---------------------------------------------------------------------------------------------


def test_other_settings_begin_on_one_percent_of_the_nodes() -> None:
    fleet, _ = _agreed()
    result = _renewed(fleet)
    assert (result.generation, result.settings()[0]) == (2, POINTS[6])
    assert (fleet.rollout.step, fleet.rollout.before) == (0, 1)
    assert 1 <= len(fleet.due()) <= 6


def test_checks_that_confirm_take_a_generation_to_all_nodes() -> None:
    fleet, _ = _agreed()
    result, reached = _renewed(fleet), list[int]()
    for _ in range(4):
        reached.append(len(fleet.due()))
        fleet.round(_check(node, result) for node in fleet.due())
    assert reached[0] < reached[1] < reached[2] == reached[3] == len(_NODES)
    assert fleet.known.status
    assert fleet.known.status.confirmed == 200
    assert fleet.known.status.decision == "generation 2: 200 of 200 nodes confirm it"


def test_a_bad_generation_stops_at_its_first_step_and_is_taken_back_by_itself() -> None:
    fleet, _ = _agreed()
    bad, tried = _renewed(fleet), set[str]()
    while _result(found := fleet.round(_check(node, bad, 5e9, before=6e9) for node in fleet.due())) is bad:
        tried |= set(fleet.due())
    assert len(tried) <= 6
    assert (_result(found).generation, _result(found).restores, _setting(found)) == (3, 1, POINTS[0])
    assert "are slower than before" in found.status.decision
    assert found.status.decision.endswith("; taken back to generation 1")
    assert len(fleet.due()) == 200
    # The sweeps still name the bad settings; those that chose them choose no others, and newer ones not them.
    assert _result(fleet.round(now_s=NOW_S + 120)) is found.result
    newer = [_sweep(node, best=POINTS[6:12], at_s=NOW_S + 9) for node in _NODES[:3]]
    assert _result(fleet.round(newer, now_s=NOW_S + 130)).generation == 3, "votes wait for a day"
    again = fleet.round(now_s=NOW_S + _A_DAY_S)
    assert (_result(again).generation, _setting(again)) == (4, POINTS[7])


def test_a_voter_that_changes_its_mind_again_and_again_gives_a_generation_a_day() -> None:
    fleet, _ = _agreed()
    for minute in range(60):
        best = POINTS[6:12] if minute % 2 else POINTS[:3]
        sweeps = [_sweep(node, best=best, at_s=NOW_S + 60 * minute) for node in _NODES[:3]]
        found = fleet.round(sweeps, now_s=NOW_S + 60 * minute)
    assert _result(found).generation == 2


def test_what_restores_is_not_taken_back_and_tells_why() -> None:
    fleet, result = _agreed()
    restoring = class_result(2, POINTS[0], restores=1, read=result.read, combined=None)
    found = fleet.round((_check(node, restoring, 5e9, before=6e9) for node in _NODES), result=restoring, plan=None)
    assert _result(found).generation == 2
    assert found.status.decision.endswith("; kept, since it brings back generation 1")


def test_a_generation_that_replaces_one_in_its_first_step_is_taken_back_to_the_one_that_all_have() -> None:
    fleet, _ = _agreed()
    _renewed(fleet)
    sweeps = [_sweep(node, best=POINTS[12:16]) for node in _NODES[:3]]
    third = _result(fleet.round(sweeps, now_s=NOW_S + _A_DAY_S))
    assert (third.generation, fleet.rollout.before) == (3, 1)
    found = fleet.round(_check(node, third, 5e9, before=6e9) for node in _NODES)
    if _result(found) is third:  # its only node has drawn others into the step
        found = fleet.round()
    assert (_result(found).generation, _result(found).restores) == (4, 1)


def test_a_plan_that_was_lost_begins_the_rollout_again() -> None:
    fleet, _ = _agreed()
    result = _renewed(fleet)
    fleet.round(plan=None, now_s=NOW_S + 60)
    assert (fleet.rollout.generation, fleet.rollout.step, fleet.rollout.before) == (result.generation, 0, 1)


def test_one_liar_in_checks_neither_blocks_nor_takes_back() -> None:
    fleet, _ = _agreed()
    result = _renewed(fleet)
    liar = fleet.due()[0]
    for _ in range(6):
        fleet.round(_check(node, result, *((1e9, 6e9) if node == liar else ())) for node in fleet.due())
    status = fleet.known.status
    assert status
    assert (status.generation, status.confirmed, status.refused) == (2, 199, 1)


@pytest.mark.parametrize(
    "lie", [{"generation": 9}, {"generation": 1}, {"grid": replace(sweep_report().grid, queue_depth=(2,))}],
    ids=["a generation that is none", "a replayed generation", "another grid"],
)  # fmt: skip
def test_a_check_of_another_generation_or_grid_does_not_count(lie: dict[str, Any]) -> None:
    fleet, _ = _agreed()
    result = _renewed(fleet)
    found = fleet.round(_check(node, result, 1e9, before=6e9, **lie) for node in _NODES)
    assert _result(found) is result
    assert "0 of 0 nodes confirm it" in found.status.decision


# --- pins -------------------------------------------------------------------------------------------------


def test_a_pin_becomes_a_generation_as_long_as_it_is_there() -> None:
    fleet, _ = _agreed()
    found = fleet.round(pin=class_pin(read=POINTS[3]))
    read = _result(found).read
    assert read
    assert (_result(found).generation, read.setting, read.share) == (2, POINTS[3], 9400)
    assert read.rate.bytes_per_s == pytest.approx(6e9 * 0.94)
    assert fleet.rollout.step == 0
    assert found.status.pinned == "by alice: latency first; it is generation 2"
    again = fleet.round(now_s=NOW_S + 2)
    assert (again.result, again.plan, again.status.pinned) == (found.result, found.plan, found.status.pinned)
    unpinned = fleet.round(pin=None)
    assert (_result(unpinned).generation, _setting(unpinned), unpinned.status.pinned) == (3, POINTS[0], "")


def test_a_pin_stays_while_sweeps_differ() -> None:
    fleet, _ = _agreed()
    fleet.round(pin=class_pin(read=POINTS[3]))
    found = fleet.round([_sweep(_NODES[2], 3e9, at_s=NOW_S + 1)])
    assert (_setting(found), _result(found).disagreement) == (POINTS[3], "")
    assert found.status.disagreement


def test_a_pin_before_three_sweeps_waits_for_them() -> None:
    found = _Fleet([_sweep("a"), _sweep("b")], pin=class_pin()).round()
    assert found.result is None
    assert "waiting for the sweeps of the class" in found.status.pinned


@pytest.mark.parametrize(
    ("pin", "why"),
    [
        ({"read": replace(POINTS[3], queue_depth=3)}, "read: queue_depth 3 is not in the grid of the class"),
        ({"read": None, "write": POINTS[3]}, "write: the class has no measurement of it"),
        ({"read": POINTS[3], "combined": POINTS[3]}, "combined: the class has no measurement of it"),
    ],
)
def test_a_pin_that_the_class_cannot_have_is_refused_with_the_reason(pin: dict[str, Any], why: str) -> None:
    found = _agreed()[0].round(pin=class_pin(**pin))
    assert (_result(found).generation, _result(found).pinned_at_s) == (1, 0)
    assert f"refused: {why}" in found.status.pinned


def test_the_default_may_be_pinned_since_each_sweep_measures_it() -> None:
    assert _setting(_agreed()[0].round(pin=class_pin(read=DEFAULT_SETTING))) == DEFAULT_SETTING


def test_a_pin_of_what_the_class_has_anyway_is_no_new_generation() -> None:
    fleet, result = _agreed()
    found = fleet.round(pin=class_pin(read=POINTS[0]))
    assert (_result(found).generation, _result(found).settings()) == (1, result.settings())
    assert found.status.pinned.endswith("; it is generation 1")
    assert _result(fleet.round(pin=None)).generation == 1


def test_a_pin_whose_checks_are_slower_is_taken_back_until_it_is_pinned_again() -> None:
    fleet, _ = _agreed()
    bad = _result(fleet.round(pin=class_pin(read=POINTS[3])))
    found = fleet.round(_check(node, bad, 5e9, before=6e9) for node in _NODES)
    if _result(found) is bad:
        found = fleet.round()
    assert (_result(found).generation, _setting(found)) == (3, POINTS[0])
    assert "taken back, since its checks were slower" in found.status.pinned
    again = fleet.round(now_s=NOW_S + 20)
    assert (again.result, again.status.pinned) == (found.result, found.status.pinned)
    retried = fleet.round(pin=class_pin(read=POINTS[3], at_s=NOW_S + 30))
    assert (_result(retried).generation, _setting(retried)) == (4, POINTS[3])


def test_a_rollback_brings_an_earlier_generation_to_all_nodes_at_once() -> None:
    fleet, _ = _agreed()
    _renewed(fleet)
    rollback = class_pin(read=POINTS[0], restores=1)
    found = fleet.round(pin=rollback)
    assert (_result(found).generation, _result(found).restores, _setting(found)) == (3, 1, POINTS[0])
    assert fleet.rollout.step == 2
    other = fleet.round(pin=replace(rollback, read=POINTS[5], at_s=NOW_S + 9))
    assert (_result(other).restores, fleet.rollout.step) == (0, 0)


def test_a_pin_that_cannot_be_read_changes_nothing() -> None:
    fleet, _ = _agreed()
    found = fleet.round(pin=class_pin(read=POINTS[3]))
    again = fleet.round(pin=None, pin_fault="pin: not valid JSON")
    assert again.result is found.result
    assert again.status.pinned == "the pin cannot be read: pin: not valid JSON; pin it again"


def test_after_the_votes_have_ended_a_pin_keeps_its_figures_and_unpinning_brings_those_of_the_sweeps() -> None:
    fleet, first = _agreed()
    found = fleet.round(pin=class_pin(read=POINTS[3]))
    later = NOW_S + VOTES_LAST_S + 1000
    kept = fleet.round(now_s=later)
    assert (_result(kept).generation, _result(kept).read) == (2, _result(found).read)
    unpinned = fleet.round(now_s=later, pin=None)
    assert (_result(unpinned).generation, _result(unpinned).read) == (3, first.read)


def test_what_was_refused_while_a_pin_held_is_not_chosen_after_it() -> None:
    fleet, _ = _agreed()
    pinned = _result(fleet.round(pin=class_pin(read=POINTS[3])))
    refusing = replace(pinned, refused=(Refused("read", POINTS[6], NOW_S),))
    fleet.round((_sweep(node, best=POINTS[6:12]) for node in _NODES[:3]), result=refusing)
    assert _setting(fleet.round(pin=None)) == POINTS[7]


# --- what is written, and for operators ---------------------------------------------------------------------


def test_nothing_is_written_while_nothing_changes_but_the_time() -> None:
    fleet, _ = _agreed()
    known = fleet.known
    again = fleet.round(now_s=NOW_S + REFRESH_S - 1)
    assert again.result is known.result
    assert again.plan is known.plan
    assert again.status is known.status
    later = fleet.round(now_s=NOW_S + REFRESH_S)
    assert later.result is known.result
    assert (later.plan.made_at_s, later.status.made_at_s) == (NOW_S + REFRESH_S, NOW_S + REFRESH_S)


def test_the_status_counts_drives_and_names_those_that_need_a_look() -> None:
    fleet, result = _agreed()
    reports = [
        _check("n7", result, 3e9),
        _check("n8", result, 5.8e9, before=6.2e9),
        _presence("n9", state="stale"),
        _presence("n10"),
    ]
    forged = IgnoredReport(ReportId("n11", _DRIVE, "sweep"), "signed by no trusted key; it is ignored")
    status = fleet.round(reports, ignored=(forged,)).status
    assert (status.nodes, status.drives, status.confirmed, status.refused) == (200, 200, 198, 2)
    assert (status.waiting, status.stale, status.ignored, status.swept, status.wanted) == (1, 1, 1, 3, 3)
    noted = {(each.kind, each.node): each.why for each in status.noted}
    assert list(noted) == [("odd", "n7"), ("refused", "n8"), ("ignored", "n11"), ("stale", "n9")]
    assert "50 % slower than the class" in noted["odd", "n7"]
    assert noted["refused", "n8"] == (
        "check of generation 1 did not confirm it: read: 5.80 GB/s, 6.20 GB/s before, 6.00 GB/s in the class"
    )


def test_a_profile_that_has_the_generation_counts_as_confirmed_without_its_check() -> None:
    fleet, _ = _agreed()
    reports = [each for each in fleet.known.reports if each.basis != "check"]
    has = [_presence(node, generation=1, state="measured", drive="other") for node in _NODES[:5]]
    fleet.known = replace(fleet.known, reports=(*reports, *has))
    assert fleet.round().status.confirmed == 5


def test_no_more_than_64_drives_are_named_and_the_status_can_be_written() -> None:
    fleet, result = _agreed()
    status = fleet.round(_check(node, result, 3e9, drive="d" * 200) for node in _NODES).status
    assert len(status.noted) == 64
    assert type(status).from_json(status.to_json()) == status
