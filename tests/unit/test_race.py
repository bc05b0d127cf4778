from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned import choose, race, stats
from aio_tuned.model import DEFAULT_SETTING, Grid, Phase, Request, Sample
from aio_tuned.plan import points
from aio_tuned.plan import settings as all_of
from unit.builders import GIB, MIB, SMALL_GRID, Drive, curve, phase, sample, setting
from unit.builders import stats as point_stats

FORTY = Grid(
    block_size=(128 << 10, 512 << 10, MIB),
    queue_depth=(4, 8, 32),
    io_parallelism=(1, 4),
    overlap_events=(True, False),
    single_submit=(False, True),
)


def drive(made: Phase, drive: Drive, most: int = 100_000) -> tuple[list[Sample], race.Done, list[tuple[Request, ...]]]:
    """Run the race to its end as sweep.py does."""
    samples: list[Sample] = []
    rounds: list[tuple[Request, ...]] = []
    while isinstance(step := race.next_round(made, samples), race.Round):
        rounds.append(step.requests)
        assert step.requests
        for request in step.requests:
            samples.append(drive.answer(request))
            assert len(samples) < most
            if race.exhausted(made, samples):
                break
    return samples, step, rounds


def requests_of(step: race.Round | race.Done) -> tuple[Request, ...]:
    assert isinstance(step, race.Round)
    return step.requests


# --- the pass --------------------------------------------------------------------------------------------


def test_every_point_is_visited_once_first_in_the_plans_order_with_the_reference_in_between() -> None:
    made = phase(FORTY)
    asked = requests_of(race.next_round(made, []))
    passed = [request for request in asked if request.purpose == "pass"]
    assert [request.setting for request in passed] == [point.setting for point in made.points]
    assert len(passed) == 72
    places = [number for number, request in enumerate(asked) if request.purpose == "reference"]
    assert places == [0, 17, 34, 51, 68]
    assert {asked[place].setting for place in places} == {DEFAULT_SETTING}
    assert len(asked) == len(passed) + len(places)


def test_requests_are_as_the_phase_says_and_numbered() -> None:
    made = phase(direction="write", visit_bytes=128 * MIB, visit_ns=7)
    asked = requests_of(race.next_round(made, []))
    assert [request.id for request in asked] == list(range(1, len(asked) + 1))
    assert {(r.direction, r.transfer_bytes, r.min_ns, r.max_bytes, r.drop_caches) for r in asked} == {
        ("write", 64 * MIB, 7, 128 * MIB, None)
    }


def test_ids_go_on_after_those_that_were_taken() -> None:
    asked = requests_of(race.next_round(phase(), [sample(number=41, purpose="calibrate")]))
    assert [request.id for request in asked] == list(range(42, 42 + len(asked)))


def test_calibration_visits_do_not_replace_the_pass() -> None:
    made = phase()
    before = [sample(point.setting, purpose="calibrate", wall_ns=1) for point in made.points]
    assert len([r for r in requests_of(race.next_round(made, before)) if r.purpose == "pass"]) == len(made.points)


def answered(made: Phase, tainted: dict[int, str], tries: int) -> list[Sample]:
    """`tries` visits to each point, those of the numbered points tainted."""
    samples: list[Sample] = []
    for _ in range(tries):
        for number, point in enumerate(made.points):
            how = tainted.get(number, "")
            if not how and any(taken.request.setting == point.setting for taken in samples):
                continue
            samples.append(
                sample(
                    point.setting,
                    1e9 + number * 1e8,
                    number=len(samples) + 1,
                    verdict="cache" if how == "cache" else "device",
                    foreign_bytes=64 * MIB if how == "foreign" else 0,
                    wall_ns=1000,
                )
            )
    return samples


@pytest.mark.parametrize(("how", "drop"), [("cache", True), ("foreign", None)])
@pytest.mark.parametrize("tries", [1, 2, 3])
def test_a_tainted_visit_is_made_again_and_the_caches_dropped_if_one_served_it(
    how: str, drop: bool | None, tries: int
) -> None:
    made = phase()
    asked = requests_of(race.next_round(made, answered(made, {3: how, 5: how}, tries)))
    assert [(r.purpose, r.setting) for r in asked] == [
        ("reference", DEFAULT_SETTING),
        ("pass", made.points[3].setting),
        ("pass", made.points[5].setting),
    ]
    assert [r.drop_caches for r in asked] == [None, drop, drop]


def test_a_point_is_given_up_after_the_last_try() -> None:
    made = phase()
    asked = race.next_round(made, answered(made, {3: "cache"}, race.MOST_TRIES))
    gone = made.points[3].setting
    assert isinstance(asked, race.Done) or gone not in [request.setting for request in asked.requests]


def test_when_everything_is_tainted_it_ends() -> None:
    made = phase()
    everything = dict.fromkeys(range(len(made.points)), "foreign")
    assert isinstance(race.next_round(made, answered(made, everything, race.MOST_TRIES)), race.Done)


# --- contenders ------------------------------------------------------------------------------------------


def test_contenders_are_those_whose_interval_reaches_the_best_ones() -> None:
    best = point_stats(10e9, setting(depth=1), width=0.02)
    reaches = point_stats(9.7e9, setting(depth=2), width=0.011)
    beyond = point_stats(9.0e9, setting(depth=3), width=0.2)
    short = point_stats(9.5e9, setting(depth=4), width=0.02)
    assert race.contenders(curve(best, reaches, beyond, short)) == [best, reaches, beyond]
    assert race.contenders(curve()) == []


def test_only_unsettled_contenders_are_visited_again() -> None:
    """After a quiet pass, points far from the best are never seen again; how far depends on how well noise is known."""
    made = phase(FORTY)
    model = Drive(noise=0.005, seed=3)
    samples, _, rounds = drive(made, model)
    best = max(model.truth(point.setting) for point in made.points)
    repeated = [request.setting for asked in rounds[1:] for request in asked if request.purpose == "repeat"]
    assert repeated
    assert min(model.truth(which) for which in repeated) > 0.8 * best
    slow = [point.setting for point in made.points if model.truth(point.setting) < 0.8 * best]
    assert len(slow) > 10
    taken = [s.request.setting for s in samples if s.request.purpose != "reference"]
    assert all(taken.count(which) == 1 for which in slow)


def test_it_ends_when_the_contenders_are_known_to_the_tolerance() -> None:
    made = phase(FORTY, tolerance=0.02)
    samples, done, _ = drive(made, Drive(noise=0.01, seed=1))
    assert done.reason == "the best points are known to the tolerance"
    found = stats.curve(made, samples)
    for point in race.contenders(found):
        assert point.high_bytes_per_s - point.low_bytes_per_s <= 2 * 0.02 * point.bytes_per_s


def test_a_repeat_round_begins_with_the_reference_and_is_in_no_order_of_promise() -> None:
    made = phase(FORTY)
    _, _, rounds = drive(made, Drive(noise=0.03, seed=5))
    assert len(rounds) > 2
    assert all(asked[0].purpose == "reference" for asked in rounds)
    assert all({request.purpose for request in asked} == {"reference", "repeat"} for asked in rounds[1:])


# --- budgets ---------------------------------------------------------------------------------------------


def test_the_time_budget_ends_it_at_once() -> None:
    made = phase(time_budget_ns=1_000_000_000)
    assert race.exhausted(made, [sample(wall_ns=999_999_999)]) == ""
    assert race.exhausted(made, [sample(wall_ns=500_000_000)] * 2) == "time budget"
    done = race.next_round(made, [sample(wall_ns=1_000_000_000)])
    assert done == race.Done(reason="the time budget is spent")


def test_the_write_budget_ends_it_before_a_transfer_that_would_exceed_it() -> None:
    made = phase(direction="write", write_budget_bytes=3 * 64 * MIB)
    visit = sample(direction="write", wall_ns=1)
    assert race.exhausted(made, [visit] * 2) == ""
    assert race.exhausted(made, [visit] * 3) == "write budget"
    assert race.next_round(made, [visit] * 3) == race.Done(reason="the write budget is spent")
    assert race.exhausted(replace(made, direction="read"), [visit] * 3) == ""


def test_a_round_is_no_longer_than_the_time_that_is_left() -> None:
    made = phase(FORTY, visit_ns=100_000_000)
    model = Drive(noise=0.2, seed=1)
    samples = [model.answer(request) for request in requests_of(race.next_round(made, []))]
    spent = sum(taken.wall_ns for taken in samples)
    tight = replace(made, time_budget_ns=spent + 550_000_000)
    asked = requests_of(race.next_round(tight, samples))
    assert len([request for request in asked if request.purpose == "repeat"]) == 5


@pytest.mark.parametrize("visit_transfers", [1, 3])
def test_writes_never_exceed_the_budget(visit_transfers: int) -> None:
    grid = FORTY
    made = phase(
        grid,
        direction="write",
        visit_ns=60_000_000,
        visit_bytes=visit_transfers * 64 * MIB,
        write_budget_bytes=20 * GIB + 32 * MIB,
        tolerance=0.001,
    )
    samples, done, _ = drive(made, Drive(noise=0.05, seed=2))
    assert done.reason == "the write budget is spent"
    assert sum(taken.bytes for taken in samples) <= made.write_budget_bytes


# --- determinism, progress, quality ----------------------------------------------------------------------


def test_the_same_seed_races_the_same_race_and_another_another() -> None:
    first, again = (drive(phase(FORTY), Drive(noise=0.03, seed=4))[2] for _ in range(2))
    assert first == again
    other = drive(phase(FORTY, seed=2), Drive(noise=0.03, seed=4))[2]
    assert [r.setting for r in other[1]] != [r.setting for r in first[1]]


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.003, 0.03, 0.3]),
    st.sampled_from(["read", "write"]),
    st.sampled_from([0.5e9, 6e9, 15e9]),
)
def test_ids_are_unique_and_increasing_and_it_ends_for_good(
    seed: int, noise: float, direction: str, budget_ns: float
) -> None:
    made = phase(
        direction=direction, time_budget_ns=int(budget_ns), visit_bytes=GIB if direction == "write" else 0, seed=seed
    )
    samples, done, rounds = drive(made, Drive(noise=noise, seed=seed))
    ids = [taken.request.id for taken in samples]
    assert ids == sorted(set(ids))
    assert all(later[0].id > earlier[0].id for earlier, later in itertools.pairwise(rounds))
    assert race.next_round(made, samples) == done


def test_the_race_finds_a_point_within_two_percent_of_the_best() -> None:
    won = 0
    order = points(all_of(SMALL_GRID), 64 * MIB)
    model = Drive(noise=0.0, seed=0)
    best = max(model.truth(point.setting) for point in order)
    assert sum(model.truth(point.setting) < 0.98 * best for point in order) > len(order) // 2
    for seed in range(100):
        made = phase(seed=seed, points=order[seed % 16 :] + order[: seed % 16])
        samples, _, _ = drive(made, Drive(noise=0.01, seed=seed))
        chosen = choose.choose(stats.curve(made, samples), made.tolerance).stats.point.setting
        won += model.truth(chosen) >= 0.98 * best
    assert won >= 95
