"""The agent of a node, on a store in memory that fails as etcd does, beside a daemon that does what its orders say."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import ConfigError
from aio_tuned.fleet import agent as agent_program
from aio_tuned.fleet import rollout
from aio_tuned.fleet.agent import IDLE_S, Agent
from aio_tuned.fleet.keys import Slot
from aio_tuned.fleet.store import FullError, LoginError, RightsError, StoreError, TlsError, UnreachableError
from aio_tuned.fleet.sweep_turn import LEASE_S, LINGERS_S, LONGEST_S, RENEW_S
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result
from unit.support.fleet_node import COORDINATOR_KEY, NODE_KEY, STRANGERS_KEY, Node, Site

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86400.0
WEEK_S = 7 * DAY_S
CLAIMS = [Slot("claim", CLASS, number) for number in range(5)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def node(site: Site) -> Node:
    return site.node()


# --- reports ----------------------------------------------------------------------------------------------


def test_reports_are_signed_and_put_once(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    node.sweep()
    node.go_on(3600)
    found = site.reports()
    assert {key: each.sent_s for key, each in found.items()} == {
        ("n1", "d1", "presence"): NOW_S,
        ("n1", "d1", "sweep"): NOW_S,
    }
    assert node.store.calls.count("put_report") == 2


def test_a_change_is_put_within_a_minute_and_ten_seconds(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    wait_s = node.step()
    assert IDLE_S <= wait_s <= IDLE_S + 10
    node.show(state="measured")
    node.step(wait_s)
    assert site.reports()["n1", "d1", "presence"].state == "measured"


def test_a_presence_alone_is_renewed_in_its_week(site: Site, node: Node) -> None:
    site.plan()
    node.sweep()
    node.go_on(WEEK_S)
    found = site.reports()
    assert NOW_S + WEEK_S / 2 < found["n1", "d1", "presence"].sent_s < NOW_S + WEEK_S
    assert found["n1", "d1", "sweep"].sent_s == NOW_S


def test_a_restart_puts_nothing_that_the_store_has(site: Site, node: Node) -> None:
    site.plan()
    node.sweep()
    node.step()
    node.restart()
    node.step(60)
    assert node.store.calls.count("put_report") == 2
    node.show(state="stale")
    node.step(60)
    assert node.store.calls.count("put_report") == 3


def test_a_clock_that_was_set_back_renews_a_presence_from_the_future(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    node.step()
    node.step(-DAY_S)
    assert site.reports()["n1", "d1", "presence"].sent_s == NOW_S - DAY_S


def test_reports_of_another_name_are_not_put(site: Site, node: Node) -> None:
    node.show()
    stranger = site.node("n2")
    stranger.spool = node.spool
    stranger.restart()
    stranger.step()
    assert site.reports() == {}
    assert stranger.agent.trouble == "reports of node n1: this node is n2; restart aio-tuned"


def test_a_store_that_was_replaced_gets_all_reports_again(site: Site, node: Node) -> None:
    site.plan()
    node.sweep()
    node.step()
    with site.shared.changed:
        for key, _ in site.shared.range("/"):
            site.shared.delete(key)
    node.go_on(1800)
    assert set(site.reports()) == {("n1", "d1", "presence"), ("n1", "d1", "sweep")}


# --- a class without a result -----------------------------------------------------------------------------


def test_of_four_nodes_of_a_new_class_three_sweep(site: Site) -> None:
    nodes = [site.node(f"n{number}") for number in range(4)]
    for each in nodes:
        each.show()
        each.step()
    assert [each.told() for each in nodes] == [
        ("sweep", f"sweeping for class {CLASS}: claim 0"),
        ("sweep", f"sweeping for class {CLASS}: claim 1"),
        ("sweep", f"sweeping for class {CLASS}: claim 2"),
        ("wait", f"waiting for class {CLASS}: it has no plan yet"),
    ]
    assert [site.holder(slot) for slot in CLAIMS] == ["n0", "n1", "n2", None, None]


def test_a_waiting_node_tells_the_progress(site: Site, node: Node) -> None:
    site.plan(swept=2)
    node.show()
    node.step()
    assert node.told() == ("wait", f"waiting for class {CLASS}: 2 of 3 swept")


def test_a_claim_is_renewed_until_the_sweep_is_reported(site: Site, node: Node) -> None:
    site.plan(open_slots=(1,))
    node.show()
    assert node.step() == RENEW_S
    node.go_on(1800)
    assert site.holder(CLAIMS[1]) == "n1"
    node.sweep()
    node.step(20)
    assert ("n1", "d1", "sweep") in site.reports()
    assert node.told() == ("wait", "has a profile of its own")
    # Until the coordinator has counted the vote, and nodes that wait have read so.
    node.go_on(LINGERS_S - 30)
    assert site.holder(CLAIMS[1]) == "n1"
    node.go_on(60)
    assert site.holder(CLAIMS[1]) is None


def test_a_claim_is_kept_until_the_store_has_the_report(site: Site, node: Node) -> None:
    """Else the coordinator would see neither a vote nor a claim, and open another slot."""
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    node.sweep()
    node.store.fault = lambda name: FullError("database space exceeded") if name == "put_report" else None
    node.go_on(600)
    assert site.holder(CLAIMS[1]) == "n1"
    node.store.fault = lambda _: None
    node.go_on(600)
    assert site.holder(CLAIMS[1]) is None


def test_a_sweep_that_takes_too_long_gives_its_claim_to_another_node(site: Site, node: Node) -> None:
    site.plan(open_slots=(1,))
    node.show()
    node.go_on(LONGEST_S - 60)
    assert site.holder(CLAIMS[1]) == "n1"
    node.go_on(120)
    assert site.holder(CLAIMS[1]) is None
    assert node.told()[0] == "wait"
    node.go_on(LONGEST_S - 240)
    assert site.holder(CLAIMS[1]) is None
    node.go_on(400)
    assert node.told()[0] == "sweep"


def test_no_more_nodes_claim_than_the_class_lacks_sweeps(site: Site) -> None:
    """Though more slots are free, as before the coordinator knows of the claims."""
    site.plan(open_slots=(0, 1, 2), swept=1, wanted=3)
    nodes = [site.node(f"n{number}") for number in range(3)]
    for each in nodes:
        each.show()
        each.step()
    assert [each.order().task for each in nodes] == ["sweep", "sweep", "wait"]


def test_a_sweep_that_has_no_vote_gives_its_claim_back(site: Site, node: Node) -> None:
    """The helper's version tells that the provisional profile is the drive's own, such as that of a blank drive."""
    node.show()
    node.step()
    assert site.holder(CLAIMS[0]) == "n1"
    node.show(helper_version="1.4")
    node.step(60)
    assert site.holder(CLAIMS[0]) is None
    assert node.told() == ("wait", "has a provisional profile of its own")
    polls = node.store.calls.count("get_plan")
    node.go_on(3600)
    assert site.holder(CLAIMS[0]) is None
    assert node.store.calls.count("get_plan") - polls < 12, "it waits for nothing"


def test_one_drive_of_a_node_is_swept_at_a_time_and_one_for_its_class(site: Site, node: Node) -> None:
    site.plan(open_slots=(0, 1, 2))
    for drive in ("d1", "d2"):
        node.show(drive)
    node.go_on(120)
    assert [node.order(drive).task for drive in ("d1", "d2")] == ["sweep", "wait"]
    node.sweep("d1")
    node.go_on(600)
    assert [node.order(drive).task for drive in ("d1", "d2")] == ["wait", "wait"]
    assert [site.holder(slot) for slot in CLAIMS] == [None] * 5


def test_a_drive_that_is_removed_gives_its_claim_back(site: Site, node: Node) -> None:
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    node.spool.remove("d1")
    node.step(20)
    assert site.holder(CLAIMS[1]) is None
    assert node.spool.orders() == ({}, ())


def test_the_end_of_the_agent_gives_its_claims_back(site: Site, node: Node) -> None:
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    node.agent.close()
    assert site.holder(CLAIMS[1]) is None


def test_an_agent_that_was_killed_takes_its_claim_again(site: Site, node: Node) -> None:
    """Its order stays until its own lease has ended, and no second slot is taken meanwhile."""
    site.plan(open_slots=(0, 1, 2))
    node.show()
    node.step()
    node.restart()
    node.step(5)
    assert [site.holder(slot) for slot in CLAIMS[:3]] == ["n1", None, None]
    assert node.told() == ("sweep", f"sweeping for class {CLASS}: claim 0")
    node.go_on(120)
    assert [site.holder(slot) for slot in CLAIMS[:3]] == ["n1", None, None]
    assert node.told()[0] == "sweep"


def test_a_lease_that_ended_is_taken_again_or_left_to_another_node(site: Site, node: Node) -> None:
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    node.step(LEASE_S + 1)
    assert site.holder(CLAIMS[1]) == "n1"
    site.now_s += LEASE_S + 1
    rival = site.node("n2")
    rival.show()
    rival.step()
    assert site.holder(CLAIMS[1]) == "n2"
    node.step()
    assert site.holder(CLAIMS[1]) == "n2"
    assert node.told() == ("wait", f"waiting for class {CLASS}: 2 of 3 swept")


# --- racks ------------------------------------------------------------------------------------------------


def test_a_rack_has_two_sweeps_at_once(site: Site) -> None:
    site.plan(open_slots=(0, 1, 2), racks=(), swept=0)
    nodes = [site.node(f"n{number}", domain="rack-7") for number in range(3)]
    for each in nodes:
        each.show()
        each.step()
    assert [each.order().task for each in nodes] == ["sweep", "sweep", "wait"]
    assert nodes[2].order().said == "waiting for rack rack-7: 2 drives are swept in it"
    assert site.store.holders("budget", "rack-7") == {0: "n0", 1: "n1"}
    nodes[0].sweep()
    nodes[0].step(20)
    nodes[1].step()
    assert site.store.holders("budget", "rack-7") == {1: "n1"}
    nodes[2].go_on(60)
    assert nodes[2].order().task == "sweep"


def test_a_rack_without_sweeps_is_first(site: Site) -> None:
    site.plan(open_slots=(2,), racks=("rack-7", "rack-7"))
    with_sweeps, without = site.node("n1", domain="rack-7"), site.node("n2", domain="rack-8")
    for each in (with_sweeps, without):
        each.show()
    with_sweeps.go_on(100)
    assert with_sweeps.told() == ("wait", f"waiting for class {CLASS}: 2 of 3 swept")
    without.step()
    assert without.order().task == "sweep"


def test_a_rack_with_sweeps_is_next(site: Site) -> None:
    site.plan(open_slots=(2,), racks=("rack-7", "rack-7"))
    node = site.node("n1", domain="rack-7")
    node.show()
    node.go_on(2 * 90 + 70)
    assert node.order().task == "sweep"
    assert site.store.holders("budget", "rack-7") == {0: "n1"}


def test_a_place_of_the_rack_is_not_kept_without_a_claim(site: Site) -> None:
    site.plan(open_slots=(2,), racks=())
    node = site.node("n1", domain="rack-7")
    node.show()
    node.store.fault = lambda name: FullError("space exceeded") if node.store.calls.count(name) == 2 else None
    node.step()
    assert node.store.calls.count("claim") == 2
    assert site.store.holders("budget", "rack-7") == {}
    assert node.told()[0] == "wait"


def test_a_measured_drive_is_swept_for_its_class_if_none_waits(site: Site, node: Node) -> None:
    """As when the votes have ended after 90 days."""
    site.plan(class_result(2), open_slots=(0,))
    node.show(state="measured", generation=2)
    node.go_on(500)
    assert node.told() == ("wait", f"has generation 2 of class {CLASS}")
    node.go_on(4000)
    assert node.told() == ("sweep", f"sweeping for class {CLASS}: claim 0")


# --- a class with a result --------------------------------------------------------------------------------


def test_a_result_is_passed_and_checked(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show()
    node.step()
    assert node.told() == ("check", f"checking generation 1 of class {CLASS}")
    assert node.order().result == COORDINATOR_KEY.sign(class_result(1)).text
    node.check()
    node.step(60)
    assert node.told() == ("wait", f"has generation 1 of class {CLASS}")
    assert node.order().result == COORDINATOR_KEY.sign(class_result(1)).text
    assert site.reports()["n1", "d1", "check"].confirms


def test_a_result_is_read_once(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show(state="measured", generation=1)
    node.go_on(DAY_S)
    assert node.store.calls.count("get_class") == 1
    assert 100 < node.store.calls.count("get_plan") < 160
    node.restart()
    node.go_on(DAY_S)
    assert node.store.calls.count("get_class") == 1


def test_a_waiting_drive_has_its_plan_polled_each_minute(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    node.go_on(3600)
    assert 50 <= node.store.calls.count("get_plan") <= 61


def test_a_drive_that_does_not_confirm_is_swept_for_itself(site: Site) -> None:
    site.plan(class_result(1))
    node = site.node(domain="rack-7")
    node.show()
    node.step()
    node.check(confirms=False)
    node.step(60)
    assert node.told() == ("sweep", "sweeping for itself")
    assert site.store.holders("budget", "rack-7") == {0: "n1"}
    node.sweep()
    node.step(20)
    assert node.told() == ("wait", f"keeps its own profile: does not confirm generation 1 of class {CLASS}")
    assert site.store.holders("budget", "rack-7") == {}


def test_a_node_takes_a_generation_in_its_turn(site: Site, node: Node) -> None:
    """And checks it within six hours after that."""
    site.plan(class_result(3))
    node.show(state="measured", generation=3)
    node.step()
    site.plan(class_result(4, POINTS[1]), rollout=None, generation=3)
    for step, reach, said in ((0, 100, "1 %"), (1, 1000, "10 %")):
        begun = rollout.Rollout(
            hardware_class=CLASS, generation=4, step=step, reach=reach, since_s=int(site.now_s), before=3
        )
        assert not rollout.takes("n1", begun)
        site.plan(generation=4, result_made_at_s=NOW_S, rollout=begun)
        node.go_on(1500)
        assert node.told() == ("wait", f"waiting for this node's turn: generation 4 reaches {said} of the nodes")
        assert '"generation":3' in node.order().result
    site.plan(class_result(4, POINTS[1]), rollout=rollout.advance(begun, int(site.now_s)))
    node.go_on(1500)
    assert node.told()[1].startswith(f"checks generation 4 of class {CLASS} at ")
    assert '"generation":4' in node.order().result
    node.go_on(rollout.CHECKS_SPREAD_S)
    assert node.told() == ("check", f"checking generation 4 of class {CLASS}")


def test_a_new_drive_checks_the_generation_that_all_nodes_have(site: Site, node: Node) -> None:
    site.plan(class_result(3))
    site.plan(class_result(4, POINTS[1]))
    begun = rollout.Rollout(hardware_class=CLASS, generation=4, step=0, reach=100, since_s=NOW_S, before=3)
    site.plan(generation=4, result_made_at_s=NOW_S, rollout=begun)
    node.show()
    node.go_on(600)
    assert node.told() == ("check", f"checking generation 3 of class {CLASS}")
    assert '"generation":3' in node.order().result
    assert node.store.calls.count("history") == 1


def test_a_result_whose_sweeps_disagree_is_not_passed(site: Site, node: Node) -> None:
    site.plan(class_result(1, disagreement="read: a third is slower"), swept=5, wanted=5)
    node.show()
    node.step()
    assert node.told() == ("wait", f"waiting for its own sweep: the 5 sweeps of class {CLASS} disagree")
    assert node.order().result == ""
    assert node.agent.trouble == ""


# --- results that are not trusted -------------------------------------------------------------------------


def test_a_downgrade_is_refused_after_a_restart_too(site: Site, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    site.plan(class_result(4))
    node.show(state="measured", generation=4)
    node.step()
    older = COORDINATOR_KEY.sign(class_result(3, POINTS[1]))
    for _ in range(2):
        with site.shared.changed:
            site.shared.put(f"/aio-tuned/v1/class/{CLASS}/consensus", older.text)
        begun = rollout.Rollout(hardware_class=CLASS, generation=3, step=2, reach=10_000, since_s=NOW_S, before=2)
        site.plan(generation=3, result_made_at_s=NOW_S, rollout=begun)
        node.go_on(3600)
        assert node.agent.trouble == f"class {CLASS}: generation 3 is older than 4; it is ignored"
        assert node.order().result == COORDINATOR_KEY.sign(class_result(4)).text
        node.restart()
    assert caplog.text.count("generation 3 is older than 4") == 2


def test_a_result_that_a_stranger_signed_is_not_passed(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    with site.shared.changed:
        forged = STRANGERS_KEY.sign(class_result(1, POINTS[1])).text
        site.shared.put(f"/aio-tuned/v1/class/{CLASS}/consensus", forged)
    node.show()
    node.step()
    assert node.order().result == ""
    assert node.agent.trouble == (
        f"class {CLASS}: its result is not trusted: signed class: signed by no trusted key; it is ignored"
    )
    site.plan(class_result(1))
    node.go_on(120)
    assert node.told()[0] == "check"
    assert node.agent.trouble == ""


def test_a_result_of_another_grid_is_not_passed(site: Site, node: Node) -> None:
    made = class_result(1)
    site.plan(replace(made, grid=replace(made.grid, queue_depth=(*made.grid.queue_depth, 128))))
    node.show()
    node.step()
    assert node.order().result == ""
    assert "has another grid" in node.agent.trouble


def test_an_order_with_a_forged_result_is_not_believed_after_a_restart(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show()
    node.step()
    order = node.order()
    node.spool.write_order(replace(order, result=STRANGERS_KEY.sign(class_result(9)).text))
    node.restart()
    node.step(60)
    assert node.order().result == COORDINATOR_KEY.sign(class_result(1)).text


# --- a store that fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UnreachableError, TlsError, LoginError, RightsError, StoreError])
def test_a_store_that_fails_leaves_the_last_orders(
    site: Site, node: Node, error: type[StoreError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site.plan(class_result(1))
    for drive, state in (("d1", "provisional"), ("d2", "measured")):
        node.show(drive, state, generation=1)
    node.step()
    before = [node.order(drive) for drive in ("d1", "d2")]
    numbers = iter(range(1000))
    node.store.fault = lambda _: error(f"etcd at 127.0.0.1:{next(numbers)}: it fails")
    node.go_on(7200)
    assert [node.order(drive) for drive in ("d1", "d2")] == before
    assert "no store reachable since 2027-01-15 08:10 UTC: etcd at 127.0.0.1:" in node.agent.trouble
    assert caplog.text.count("no store reachable") == 1
    node.check("d1")
    node.step(60)
    assert node.told("d1") == ("wait", f"has generation 1 of class {CLASS}")
    node.store.fault = lambda _: None
    node.go_on(700)
    assert node.agent.trouble == ""
    assert ("n1", "d1", "check") in site.reports()


def test_attempts_become_rare_and_no_node_is_away_for_longer_than_ten_minutes(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    node.step()
    node.store.fault = lambda _: UnreachableError("none answers")
    node.store.calls.clear()
    node.go_on(3600)
    assert 6 <= len(node.store.calls) <= 14
    node.store.fault = lambda _: None
    node.go_on(600)
    assert node.agent.trouble == ""


def test_a_waiting_drive_is_told_that_no_store_answers(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    node.step()
    node.store.fault = lambda _: UnreachableError("none answers")
    node.go_on(120)
    node.show("d2")
    node.step(60)
    for drive in ("d1", "d2"):
        assert node.told(drive) == ("wait", "no store reachable since 2027-01-15 08:01 UTC")
    node.store.fault = lambda _: None
    node.go_on(600)
    assert node.told("d2") == ("wait", f"waiting for class {CLASS}: 2 of 3 swept")


def test_a_new_drive_checks_what_its_node_has_without_a_store(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show(state="measured", generation=1)
    node.step()
    node.store.fault = lambda _: UnreachableError("none answers")
    node.restart()
    node.show("d2")
    node.step(60)
    assert node.told("d2") == ("check", f"checking generation 1 of class {CLASS}")
    assert node.order("d2").result == COORDINATOR_KEY.sign(class_result(1)).text


def test_a_sweep_goes_on_without_a_store(site: Site, node: Node) -> None:
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    node.store.fault = lambda _: UnreachableError("none answers")
    node.go_on(1200)
    assert node.told() == ("sweep", f"sweeping for class {CLASS}: claim 1")
    assert site.holder(CLAIMS[1]) is None
    node.sweep()
    node.store.fault = lambda _: None
    node.go_on(240)
    assert ("n1", "d1", "sweep") in site.reports()
    assert site.holder(CLAIMS[1]) is None
    assert node.told() == ("wait", "has a profile of its own")


def test_a_store_without_space_is_read(site: Site, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.store.fault = lambda name: FullError("space exceeded") if name in ("put_report", "claim") else None
    site.plan(class_result(1))
    node.show()
    node.go_on(3600)
    assert node.told()[0] == "check"
    assert node.agent.trouble == "space exceeded"
    assert caplog.text.count("space exceeded") == 1
    assert site.reports() == {}
    assert node.store.calls.count("put_report") < 15
    node.store.fault = lambda _: None
    node.go_on(600)
    assert ("n1", "d1", "presence") in site.reports()
    assert node.agent.trouble == ""


def test_a_claim_that_a_store_without_space_cannot_renew_is_given_up(site: Site, node: Node) -> None:
    """The class is still read."""
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    node.store.fault = lambda name: FullError("space exceeded") if name == "claim" else None
    site.plan(swept=2)
    node.go_on(2 * LEASE_S)
    site.now_s += 2 * LEASE_S
    site.plan(class_result(1))
    node.go_on(120)
    assert node.told() == ("check", f"checking generation 1 of class {CLASS}")
    assert node.agent.trouble == ""


def test_an_agent_whose_orders_cannot_be_written_tells_so(site: Site, node: Node) -> None:
    site.plan()
    node.show()
    node.spool.inn.rmdir()
    node.step()
    assert "d1.json: cannot be written" in node.agent.trouble
    node.spool.make(None)
    node.step(60)
    assert node.agent.trouble == ""
    assert node.told()[0] == "wait"


def test_an_order_is_written_only_if_it_changes(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show(state="measured", generation=1)
    node.step()
    path = node.spool.inn / "d1.json"
    before = path.stat().st_ino
    node.go_on(DAY_S)
    node.restart()
    node.go_on(DAY_S)
    assert path.stat().st_ino == before


# --- idle, and the metrics --------------------------------------------------------------------------------


def test_an_idle_agent_wakes_no_more_than_once_a_minute(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show(state="measured", generation=1)
    for _ in range(100):
        assert node.step(60) >= 60


def test_metrics_tell_what_the_agent_does(site: Site, node: Node) -> None:
    assert "aio_tuned_fleet_agent_store_reachable 0.0\n" in node.agent.metrics_text()
    site.plan(open_slots=(1,))
    node.show()
    node.step()
    text = node.agent.metrics_text()
    for line in (
        "# TYPE aio_tuned_fleet_agent_reports_put_total counter",
        "aio_tuned_fleet_agent_store_reachable 1.0",
        f"aio_tuned_fleet_agent_last_contact_timestamp_seconds {float(NOW_S)}",
        'aio_tuned_fleet_agent_drives{task="sweep"} 1.0',
        'aio_tuned_fleet_agent_drives{task="wait"} 0.0',
        "aio_tuned_fleet_agent_reports_put_total 1.0",
        "aio_tuned_fleet_agent_claims_held 1.0",
        "aio_tuned_fleet_agent_troubles 0.0",
    ):
        assert f"{line}\n" in text
    node.store.fault = lambda _: UnreachableError("none answers")
    node.step(20)
    text = node.agent.metrics_text()
    assert "aio_tuned_fleet_agent_store_reachable 0.0\n" in text
    assert "aio_tuned_fleet_agent_troubles 1.0\n" in text


def test_the_last_contact_is_that_of_a_call(site: Site, node: Node) -> None:
    site.plan(class_result(1))
    node.show(state="measured", generation=1)
    node.step()
    node.step(60)
    assert f"last_contact_timestamp_seconds {float(NOW_S)}\n" in node.agent.metrics_text()
    node.step(600)
    assert f"last_contact_timestamp_seconds {float(NOW_S + 660)}\n" in node.agent.metrics_text()


def test_prometheus_reads_the_metrics(node: Node) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(node.agent.metrics_text()))
    assert len(families) == 6


# --- the program ------------------------------------------------------------------------------------------


def _config(tmp_path: Path, **changes: Any) -> Config:  # noqa: ANN401 - any field
    made = {
        "fleet": True,
        "fleet_node": "n1",
        "fleet_endpoints": ("https://127.0.0.1:1",),
        "fleet_ca_file": tmp_path / "ca.pem",
        "fleet_trusted_keys": (COORDINATOR_KEY.public,),
        "state": tmp_path,
    }
    return replace(Config(), **{**made, **changes})


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "password").write_text("secret")
    (tmp_path / "signing-key").write_bytes(NODE_KEY.to_pem())
    return tmp_path


def test_without_a_fleet_no_agent_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^\[fleet\] enabled: is false; set it to true, or disable"):
        agent_program.run(_config(tmp_path, fleet=False), threading.Event())


@pytest.mark.parametrize("missing", ["password", "signing-key"])
def test_without_a_credential_no_agent_runs(credentials: Path, missing: str) -> None:
    (credentials / missing).unlink()
    with pytest.raises(ConfigError, match=f"^credential {missing}: is missing"):
        agent_program.run(_config(credentials), threading.Event())


def test_an_agent_that_is_told_to_end_ends(credentials: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    agent_program.run(_config(credentials), stop)
    assert time.monotonic() - began < 20, "it does not end by itself"


def test_a_mistake_of_ours_ends_the_program(credentials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that systemd tells of it, and starts it again."""

    def fail(_: Agent) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr(Agent, "step", fail)
    monkeypatch.setattr(agent_program, "_BOOT_S", 0.0)
    with pytest.raises(ZeroDivisionError):
        agent_program.run(_config(credentials), threading.Event())
