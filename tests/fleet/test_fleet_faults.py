"""What fails in a fleet, end to end: no node loses a profile or publishes what it did not check, and all comes back.

Agents, coordinators and the daemon's decisions are real, and the scene looks for both at every moment. The clock is
simulated, so that no wait takes its time.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.fleet import keys
from aio_tuned.fleet.order import Order
from aio_tuned.fleet.store import UnreachableError
from fakes.simulated.models import NAMED
from fakes.simulated.truth import truth
from fleet.fleet_scene import MAX_WAIT_S, MODEL, SWEEP_S, Scene
from unit.support.fleet import class_pin

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.setting import Setting

NODES = 16
HOUR_S, DAY_S = 3600.0, 86400.0
AWAY = UnreachableError("etcd is away")
# Drives that were swept for their class check its setting within six hours, as all do with later generations.
CHECKED_S = 6.5 * HOUR_S


def slower() -> Setting:
    """A point that gives 5 to 10 % less than the best."""
    table = truth(NAMED[MODEL], "read")
    return next(each for each in table.settings if 0.9 <= table.of(each) / table.best_bytes_per_s <= 0.95)


def as_good(setting: Setting | None) -> Setting:
    """Another point that is as good."""
    return next(each for each in truth(NAMED[MODEL], "read").tied(0.002) if each != setting)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A fleet that has just begun."""
    return Scene(tmp_path, NODES)


@pytest.fixture
def settled(scene: Scene) -> Scene:
    """A fleet whose nodes all have the first generation."""
    scene.go_on_until(lambda: scene.all_have(1), CHECKED_S + 2 * HOUR_S)
    assert len(scene.swept()) == 3
    return scene


# --- nodes that die, and a store that is away -------------------------------------------------------------


def test_a_claimant_that_dies_in_its_sweep_is_replaced(scene: Scene) -> None:
    scene.go_on(200)
    dead = next(node for node in scene.nodes if node.task == "sweep")
    scene.crowd.down.add(dead)
    scene.go_on_until(lambda: scene.have(1) >= NODES - 4, HOUR_S)
    assert len(scene.swept()) == 3
    scene.crowd.down.clear()
    dead.daemon.restart()
    dead.restart()
    scene.go_on_until(lambda: scene.all_have(1), CHECKED_S + HOUR_S)
    # Its daemon may begin its last order again before its agent has heard that the class has its sweeps.
    assert len(scene.swept()) <= 4


def test_without_a_store_all_are_swept_within_the_longest_wait_and_are_a_fleet_later(scene: Scene) -> None:
    scene.fail(scene.nodes, AWAY)
    scene.go_on_until(lambda: len(set(scene.swept())) == NODES, MAX_WAIT_S + SWEEP_S + 120)
    begun = [did.waited_s - SWEEP_S for node in scene.nodes for did in node.daemon.did]
    assert min(begun) >= 0.74 * MAX_WAIT_S
    assert max(begun) - min(begun) > 0.15 * MAX_WAIT_S
    scene.fail(scene.nodes, None)
    scene.go_on_until(lambda: scene.all_have(1), CHECKED_S + HOUR_S)
    assert len(scene.swept()) == NODES
    assert {node.agent.trouble for node in scene.nodes} == {""}


@pytest.mark.long
def test_without_a_coordinator_three_are_swept_and_all_others_wait_no_longer_than_they_may(scene: Scene) -> None:
    scene.coordinators.clear()
    scene.go_on_until(lambda: len(set(scene.swept())) == NODES, MAX_WAIT_S + SWEEP_S + 120)
    scene.start("c3")
    scene.go_on_until(lambda: scene.all_have(1), CHECKED_S + HOUR_S)


def test_a_store_that_was_emptied_is_filled_again(settled: Scene) -> None:
    """As by an operator who begins etcd anew: results, plans and reports are gone."""
    with settled.shared.changed:
        for key, _ in settled.shared.range(keys.ROOT):
            settled.shared.delete(key)
    settled.go_on_until(lambda: settled.stored("sweep") == 3, HOUR_S)
    settled.go_on(CHECKED_S + HOUR_S)
    assert settled.result
    assert settled.all_have(settled.result.generation)
    assert len(settled.swept()) == 3


# --- clocks -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_clocks_that_are_an_hour_apart_change_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NODES, ahead_s=lambda name: random.Random(name).uniform(-HOUR_S / 2, HOUR_S / 2))
    scene.go_on_until(lambda: scene.all_have(1), CHECKED_S + 2 * HOUR_S)
    assert len(scene.swept()) == 3
    good = as_good(scene.settings()[0])
    scene.store.put_pin(class_pin(hardware_class=scene.hardware_class, read=good, at_s=int(scene.crowd.now_s)))
    scene.go_on_until(lambda: scene.all_have(2), 3 * DAY_S)
    # A coordinator whose clock is an hour behind takes over.
    scene.coordinators.clear()
    scene.ahead_s = lambda _: -HOUR_S
    scene.start("late")
    scene.store.delete_pin(scene.hardware_class)
    scene.go_on_until(lambda: scene.all_have(3), 3 * DAY_S)


# --- rollouts ---------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_coordinator_that_is_killed_in_a_rollout_is_followed_by_the_next(settled: Scene) -> None:
    good = as_good(settled.settings()[0])
    settled.store.put_pin(class_pin(hardware_class=settled.hardware_class, read=good, at_s=int(settled.crowd.now_s)))
    settled.go_on_until(lambda: 1 <= settled.have(2) < NODES, DAY_S)
    leading = next(name for name, each in settled.coordinators.items() if each.leads)
    del settled.coordinators[leading]
    settled.go_on_until(lambda: settled.all_have(2), 3 * DAY_S)
    assert settled.settings()[0] == good
    assert len(settled.swept()) == 3


@pytest.mark.long
def test_a_rack_that_is_cut_off_in_a_rollout_keeps_its_profiles_and_follows_later(settled: Scene) -> None:
    rack = [node for node in settled.nodes if node.plan.domain == "rack-1"]
    assert len(rack) == 2
    good = as_good(settled.settings()[0])
    settled.store.put_pin(class_pin(hardware_class=settled.hardware_class, read=good, at_s=int(settled.crowd.now_s)))
    settled.fail(rack, AWAY)
    # The other nodes are enough only when the first ones are late.
    settled.go_on_until(lambda: settled.have(2) == NODES - len(rack), 5 * DAY_S)
    assert all(node.daemon.generation == 1 for node in rack)
    settled.fail(rack, None)
    settled.go_on_until(lambda: settled.all_have(2), DAY_S)
    assert {node.agent.trouble for node in rack} == {""}


def test_a_bad_generation_stops_at_its_first_step_and_is_taken_back_by_itself(settled: Scene) -> None:
    """The three drives that were swept are swept again on a day when they like other points best."""
    before, swept = settled.settings(), set(settled.swept())
    bad = slower()
    good = truth(NAMED[MODEL], "read")
    for node in settled.nodes:
        if node.plan.name in swept:
            level = good.of(bad) / good.best_bytes_per_s
            better = (each for each in good.tied(1 - level) if each != bad)
            node.daemon.drive.weather = {("read", each): 0.97 * level for each in better}
            node.daemon.ask()
    settled.go_on_until(lambda: settled.plan is not None and settled.plan.generation == 2, HOUR_S)
    assert settled.result
    assert settled.result.read
    assert settled.result.read.setting == bad
    settled.go_on_until(lambda: settled.plan is not None and settled.plan.generation == 3, 2 * DAY_S)
    tried = [node for node in settled.nodes for did in node.daemon.did if did.generation == 2]
    assert 2 <= len(tried) <= 3
    assert (settled.settings(), settled.result.restores) == (before, 1)
    # The sweeps disagreed while they were made, so up to three more drives are swept, and may name another good point.
    settled.go_on(DAY_S)
    assert len(set(settled.swept())) <= 6
    assert bad not in settled.settings()
    assert max(node.daemon.loss() for node in settled.nodes) < 0.01


# --- older generations ------------------------------------------------------------------------------------


def test_an_agent_that_brings_an_older_generation_changes_nothing(settled: Scene) -> None:
    """Also after a restart of the daemon, which has forgotten what it was ordered."""
    old = settled.store.get_class(settled.hardware_class).result
    assert old
    good = as_good(settled.settings()[0])
    settled.store.put_pin(class_pin(hardware_class=settled.hardware_class, read=good, at_s=int(settled.crowd.now_s)))
    settled.go_on_until(lambda: settled.all_have(2), 3 * DAY_S)
    node = settled.nodes[0]
    settled.crowd.down.add(node)
    order = Order(
        drive=node.daemon.name, hardware_class=settled.hardware_class, task="check", said="checking", result=old.text,
        made_at_s=int(settled.crowd.now_s),
    )  # fmt: skip
    did = list(node.daemon.did)
    for _ in range(2):
        node.daemon.spool.write_order(replace(order, made_at_s=order.made_at_s + 1))
        node.daemon.work()
        settled.crowd.now_s += 120
        node.daemon.work()
        node.daemon.restart()
    assert node.daemon.did == did
    assert node.daemon.generation == 2
    settled.crowd.down.clear()
    node.restart()
    settled.go_on(HOUR_S)
    assert (node.daemon.generation, node.task) == (2, "wait")


@pytest.mark.long
def test_a_store_that_was_restored_from_before_a_generation_leads_to_a_newer_one(settled: Scene) -> None:
    """As by `etcdctl snapshot restore`: nodes keep what they have, and take what comes next."""
    with settled.shared.changed:
        snapshot = [(key, value.text) for key, value in settled.shared.range(keys.ROOT) if not value.lease]
    good, other = as_good(settled.settings()[0]), settled.settings()[0]
    key = settled.hardware_class
    settled.store.put_pin(class_pin(hardware_class=key, read=good, at_s=int(settled.crowd.now_s)))
    settled.go_on_until(lambda: settled.all_have(2), 3 * DAY_S)
    with settled.shared.changed:
        for found, _ in settled.shared.range(keys.ROOT):
            settled.shared.delete(found)
        for found, text in snapshot:
            settled.shared.put(found, text)
    for each in settled.coordinators.values():
        each.close()
    settled.go_on(DAY_S)
    assert settled.result
    assert settled.result.generation > 2
    settled.go_on_until(lambda: settled.all_have(settled.result.generation if settled.result else 0), 3 * DAY_S)
    assert settled.settings()[0] == other
