from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.model.setting import DEFAULT_SETTING, Grid
from aio_tuned.search import choose, estimate, grid, race
from aio_tuned.search.grid import points
from aio_tuned.search.grid import settings as all_of
from unit.support.builders import GIB, MIB, SMALL_GRID, Drive, curve, phase, sample, setting
from unit.support.builders import stats as point_stats

if TYPE_CHECKING:
    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.measurement import Phase, Request, Sample
    from aio_tuned.model.setting import Setting

FORTY = Grid(
    block_size=(128 << 10, 512 << 10, MIB),
    queue_depth=(4, 8, 32),
    io_parallelism=(1, 4),
    overlap_events=(True, False),
    single_submit=(False, True),
)


def drive(
    made: Phase, model: Drive, most: int = 100_000
) -> tuple[list[Sample], race.RaceEnd, list[tuple[Request, ...]]]:
    """Run the race to its end as sweep.py does."""
    samples: list[Sample] = []
    rounds: list[tuple[Request, ...]] = []
    cost = race.Spent()
    while isinstance(step := race.next_round(made, samples), race.Round):
        rounds.append(step.requests)
        assert step.requests
        for request in step.requests:
            samples.append(model.answer(race.fit(made, cost, request)))
            cost = cost.plus(samples[-1])
            assert len(samples) < most
            if race.exhausted(made, cost):
                break
    return samples, step, rounds


def requests_of(step: race.Round | race.RaceEnd) -> tuple[Request, ...]:
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


@pytest.mark.parametrize("how", ["cache", "foreign"])
@pytest.mark.parametrize("tries", [1, 2, 3])
def test_a_tainted_visit_is_made_again_and_no_drop_of_the_hosts_cache_is_asked_for(how: str, tries: int) -> None:
    made = phase()
    asked = requests_of(race.next_round(made, answered(made, {3: how, 5: how}, tries)))
    assert [(r.purpose, r.setting) for r in asked] == [
        ("reference", DEFAULT_SETTING),
        ("pass", made.points[3].setting),
        ("pass", made.points[5].setting),
    ]
    assert [r.drop_caches for r in asked] == [None, None, None]


def test_a_point_is_given_up_after_the_last_try() -> None:
    made = phase()
    asked = race.next_round(made, answered(made, {3: "cache"}, race.MAX_TRIES))
    gone = made.points[3].setting
    assert isinstance(asked, race.RaceEnd) or gone not in [request.setting for request in asked.requests]


def test_when_everything_is_tainted_it_ends() -> None:
    made = phase()
    everything = dict.fromkeys(range(len(made.points)), "foreign")
    assert isinstance(race.next_round(made, answered(made, everything, race.MAX_TRIES)), race.RaceEnd)


def test_a_point_is_given_up_for_good() -> None:
    made = phase(FORTY)
    gone = made.points[3].setting

    class Cached(Drive):
        def answer(self, asked: Request) -> Sample:
            found = super().answer(asked)
            return replace(found, cache_verdict="cache") if asked.setting == gone else found

    samples, _, _ = drive(made, Cached(noise=0.01, seed=1))
    assert [taken.request.setting for taken in samples].count(gone) == race.MAX_TRIES
    assert gone not in [point.point.setting for point in estimate.curve(made, samples).points]


# --- sure points ---------------------------------------------------------------------------------------


def test_only_so_many_are_visited_first() -> None:
    made = phase(FORTY, sure_points=15)
    asked = requests_of(race.next_round(made, []))
    assert [r.setting for r in asked if r.purpose == "pass"] == [point.setting for point in made.points[:15]]


def test_then_the_neighbours_of_the_leaders_and_no_more() -> None:
    """Whenever others have come to lead, theirs too: each point once, and most of those far from the best never."""
    made = phase(FORTY, sure_points=15)
    samples, _, rounds = drive(made, Drive(noise=0.003, seed=1))
    known = len(rounds[0])
    for number, asked in enumerate(rounds[1:], start=1):
        seen = samples[:known]
        leaders = sorted(estimate.curve(made, seen).points, key=lambda point: -point.likely_bytes_per_s)[:3]
        around = grid.neighbours(made.points, [leader.point for leader in leaders])
        visited = {taken.request.setting for taken in seen}
        expected = [point.setting for point in around if point.setting not in visited]
        assert [request.setting for request in asked if request.purpose == "pass"] == expected
        assert bool(expected) is (asked[1].purpose == "pass")
        assert number > 1 or len(expected) > 3
        known += len(asked)
    assert {request.purpose for request in rounds[-1]} == {"reference", "repeat"}
    assert len({taken.request.setting for taken in samples} - {DEFAULT_SETTING}) < 0.75 * len(made.points)


def test_a_part_of_the_points_finds_a_setting_nearly_as_good() -> None:
    model = Drive(noise=0.01, seed=0)
    best = max(model.truth(point.setting) for point in phase(FORTY).points)
    for seed in range(10):
        dice = random.Random(seed)
        order = tuple(dice.sample(phase(FORTY).points, 72))
        made = phase(points=order, sure_points=15, seed=seed)
        samples, _, _ = drive(made, Drive(noise=0.01, seed=seed))
        chosen = choose.choose(estimate.curve(made, samples), made.tolerance).stats.point.setting
        assert model.truth(chosen) > 0.96 * best


# --- doubts ----------------------------------------------------------------------------------------------

# Far below the others, so that nobody doubts that it is not the best; it keeps the curve from being one point.
SLOW = point_stats(5e9, setting(depth=2, threads=1), width=0.001)


def names(found: list[PointStats]) -> list[Setting]:
    return [point.point.setting for point in found]


def test_a_cheaper_point_about_the_tolerances_edge_is_in_doubt() -> None:
    """At 9.9 GB/s, the edge of 1 %; a dearer one there is not, nor is one that is surely good enough or not."""
    top = point_stats(10e9, setting(depth=8, threads=2), width=0.002)
    edge = point_stats(9.9e9, setting(depth=8), width=0.008)
    dear = point_stats(9.9e9, setting(depth=8, threads=8), width=0.008)
    poor = point_stats(9.5e9, setting(depth=4), width=0.008)
    found = race.doubts(curve(top, edge, dear, poor, SLOW), 0.01)
    assert names(found.cheaper)[0] == edge.point.setting
    assert dear.point.setting not in names(found.cheaper)
    assert poor.point.setting not in names(found.cheaper)
    assert SLOW.point.setting not in names(found.cheaper)


def test_what_is_known_to_a_tenth_of_the_tolerance_is_not_in_doubt() -> None:
    top = point_stats(10e9, setting(depth=8, threads=2), width=0.0002)
    edge = point_stats(9.9e9, setting(depth=8), width=0.0002)
    found = race.doubts(curve(top, edge, SLOW), 0.01)
    assert found.cheaper == []
    assert found.rivals == []
    assert found.unbounded == []
    assert not found


def test_rivals_are_those_that_reach_the_plateau() -> None:
    top = point_stats(10e9, setting(depth=8), width=0.004)
    near = point_stats(9.97e9, setting(depth=8, threads=2), width=0.008)
    far = point_stats(9.5e9, setting(depth=8, threads=4), width=0.008)
    found = race.doubts(curve(far, top, near, SLOW), 0.01)
    assert names(found.rivals) == [top.point.setting, near.point.setting]


def test_what_the_guarantee_lacks_is_whatever_may_be_two_percent_better_than_the_chosen() -> None:
    top = point_stats(10e9, setting(depth=8), width=0.0005)
    vague = point_stats(8e9, setting(depth=8, threads=4), width=0.2)
    # Surely dearer, surely below: but once visited, and the tail may have hit it.
    unlucky = replace(point_stats(9e9, setting(depth=8, threads=8), width=0.0005), visits=1)
    assert names(race.doubts(curve(top, vague, unlucky, SLOW), 0.01).unbounded) == [vague.point.setting]
    assert names(race.doubts(curve(top, unlucky, SLOW, tail=0.3), 0.01).unbounded) == [unlucky.point.setting]
    assert not race.doubts(curve(top, unlucky, SLOW), 0.01)


# --- rounds ----------------------------------------------------------------------------------------------


def repeats(asked: tuple[Request, ...]) -> list[Setting]:
    return [request.setting for request in asked if request.purpose == "repeat"]


def test_points_far_from_the_best_are_hardly_visited_again() -> None:
    made = phase(FORTY)
    model = Drive(noise=0.005, seed=3)
    samples, _, rounds = drive(made, model)
    best = max(model.truth(point.setting) for point in made.points)
    slow = {point.setting for point in made.points if model.truth(point.setting) < 0.8 * best}
    repeated = [which for asked in rounds[1:] for which in repeats(asked)]
    assert len(slow) > 10
    assert len(repeated) > 20
    assert not slow & set(repeated)
    assert len(samples) < 20_000


def test_a_round_is_a_fifth_of_the_visits_so_that_there_are_few_looks() -> None:
    """The guarantee reckons with 32 looks."""
    made = phase(FORTY, tolerance=0.0001, time_budget_ns=600_000_000_000)
    samples, _, rounds = drive(made, Drive(noise=0.05, seed=1))
    made_before = len(rounds[0])
    for asked in rounds[1:-1]:
        assert len(asked) <= max(16, made_before // 5)
        made_before += len(asked)
    assert len(samples) > 5000
    assert len(rounds) <= estimate.LOOKS


def test_a_round_visits_all_three_doubts() -> None:
    made = phase(FORTY)
    samples, _, rounds = drive(made, Drive(noise=0.03, seed=5))
    seen = samples[: len(rounds[0])]
    open_still = race.doubts(estimate.curve(made, seen), made.tolerance)
    asked = repeats(rounds[1])
    assert len(open_still.rivals) > 0
    assert names(open_still.rivals)[0] in asked
    assert names(open_still.unbounded)[0] in asked
    allowed = {*names(open_still.cheaper), *names(open_still.rivals), *names(open_still.unbounded)}
    curve_ = estimate.curve(made, seen)
    allowed |= {choose.best(curve_).point.setting, choose.choose(curve_, made.tolerance).stats.point.setting}
    assert set(asked) <= allowed


def test_the_visits_to_one_point_are_spread_evenly_over_the_round() -> None:
    made = phase(FORTY, tolerance=0.0005, time_budget_ns=300_000_000_000)
    _, _, rounds = drive(made, Drive(noise=0.05, seed=5))
    several = 0
    for asked in rounds[1:-1]:
        settings_ = repeats(asked)
        middle = len(settings_) // 2
        for which in set(settings_):
            first, second = settings_[:middle].count(which), settings_[middle:].count(which)
            # Strata of unequal counts meet in the middle, and the round's end is cut off.
            assert abs(first - second) <= 4 + (first + second) // 8
            several += first + second > 12
    assert several > 10


def test_the_reference_is_visited_in_between_in_every_round() -> None:
    _, _, rounds = drive(phase(FORTY, tolerance=0.0005), Drive(noise=0.03, seed=5))
    assert len(rounds) > 4
    for asked in rounds:
        references = [number for number, request in enumerate(asked) if request.purpose == "reference"]
        # A single visit that the budget has left is not spent on the reference.
        assert references == (list(range(0, len(asked), 17)) if len(asked) > 1 else [])
    assert all({request.purpose for request in asked} == {"reference", "repeat"} for asked in rounds[1:-1])


def test_a_round_is_in_no_order_of_promise() -> None:
    made = phase(FORTY, tolerance=0.0005, time_budget_ns=300_000_000_000)
    _, _, rounds = drive(made, Drive(noise=0.03, seed=5))
    orders = [list(dict.fromkeys(repeats(asked))) for asked in rounds[1:]]
    pairs = [(a, b) for a, b in itertools.pairwise(orders) if set(a) == set(b)]
    assert orders[1][:3] != orders[2][:3]
    assert all(a != b for a, b in pairs if len(a) > 4)


# --- the end ---------------------------------------------------------------------------------------------


def test_it_is_settled_when_nothing_is_in_doubt() -> None:
    made = phase(FORTY, tolerance=0.02, time_budget_ns=600_000_000_000)
    samples, done, _ = drive(made, Drive(noise=0.005, seed=1))
    assert done == race.RaceEnd(reason="the best points are known to the tolerance", settled=True)
    found = estimate.curve(made, samples)
    assert not race.doubts(found, made.tolerance)
    assert choose.choose(found, made.tolerance).within <= race.GUARANTEE + 1e-9


def test_a_cliff_ends_it() -> None:
    class Falling(Drive):
        """Behind 12 GiB of writes it is at a quarter."""

        written_bytes = 0

        def answer(self, asked: Request) -> Sample:
            found = super().answer(asked)
            slower = found.elapsed_ns * (4 if self.written_bytes > 12 * GIB else 1)
            self.written_bytes += found.bytes
            return replace(found, elapsed_ns=slower, transfers_ns=(slower,), wall_ns=slower + 10_000_000)

    made = phase(
        FORTY, direction="write", visit_bytes=64 * MIB, tolerance=0.0001, write_budget_bytes=10**14, visit_ns=1
    )
    samples, done, _ = drive(replace(made, time_budget_ns=10**12), Falling(noise=0.02, seed=1))
    cliff = estimate.curve(made, samples).cliff
    assert cliff is not None
    assert 10 * GIB <= cliff.after_bytes <= 13 * GIB
    assert done.reason == f"the drive fell over a cliff after {cliff.after_bytes >> 20} MiB"
    assert not done.settled
    assert race.spent(samples).ns < 10**12 // 4


# --- budgets ---------------------------------------------------------------------------------------------


def test_what_is_spent_is_the_sum_but_for_calibration() -> None:
    visits = [
        sample(wall_ns=3, purpose="calibrate"),
        sample(wall_ns=5),
        sample(wall_ns=7, purpose="reference"),
        sample(wall_ns=11, purpose="repeat", verdict="cache"),
    ]
    assert race.spent(visits) == race.Spent(ns=23, written_bytes=3 * 64 * MIB)
    cost = race.Spent()
    for visit in visits:
        cost = cost.plus(visit)
    assert cost == race.spent(visits)
    assert race.spent([]) == race.Spent()


def test_the_time_budget_ends_it_at_once() -> None:
    made = phase(time_budget_ns=1_000_000_000)
    assert race.exhausted(made, race.Spent(ns=999_999_999)) == ""
    assert race.exhausted(made, race.Spent(ns=1_000_000_000)) == "time budget"
    done = race.next_round(made, [sample(wall_ns=1_000_000_000)])
    assert done == race.RaceEnd(reason="the time budget is spent")


def test_the_write_budget_ends_it_before_a_transfer_that_would_exceed_it() -> None:
    made = phase(direction="write", write_budget_bytes=3 * 64 * MIB)
    visit = sample(direction="write", wall_ns=1)
    assert race.exhausted(made, race.spent([visit] * 2)) == ""
    assert race.exhausted(made, race.spent([visit] * 3)) == "write budget"
    assert race.next_round(made, [visit] * 3) == race.RaceEnd(reason="the write budget is spent")
    assert race.exhausted(replace(made, direction="read"), race.spent([visit] * 3)) == ""


def test_what_is_kept_for_writing_on_is_not_raced_away() -> None:
    made = phase(direction="write", write_budget_bytes=5 * 64 * MIB, sustain_bytes=2 * 64 * MIB)
    visit = sample(direction="write", wall_ns=1)
    assert race.exhausted(made, race.spent([visit] * 2)) == ""
    assert race.exhausted(made, race.spent([visit] * 3)) == "write budget"


@pytest.mark.parametrize("left", [1, 2, 5])
def test_a_round_is_no_longer_than_the_time_that_is_left(left: int) -> None:
    made = phase(FORTY, visit_ns=100_000_000)
    model = Drive(noise=0.2, seed=1)
    samples = [model.answer(request) for request in requests_of(race.next_round(made, []))]
    tight = replace(made, time_budget_ns=race.spent(samples).ns + left * 100_000_000 + 50_000_000)
    asked = requests_of(race.next_round(tight, samples))
    assert len(asked) == left
    assert repeats(asked)


def test_a_round_is_no_longer_than_the_bytes_that_are_left() -> None:
    made = phase(FORTY, direction="write", visit_bytes=64 * MIB)
    model = Drive(noise=0.2, seed=1)
    samples = [model.answer(request) for request in requests_of(race.next_round(made, []))]
    spent_bytes = race.spent(samples).written_bytes
    tight = replace(made, write_budget_bytes=spent_bytes + 9 * 64 * MIB - 1 + GIB, sustain_bytes=GIB)
    assert len(requests_of(race.next_round(tight, samples))) == 8


def test_a_visit_is_cut_to_the_bytes_that_are_left() -> None:
    made = phase(direction="write", visit_bytes=256 * MIB, write_budget_bytes=GIB, sustain_bytes=256 * MIB)
    asked = requests_of(race.next_round(made, []))[0]
    for spent_mib, cut_mib in ((0, 256), (512, 256), (600, 128), (640, 128), (704, 64)):
        cut = race.fit(made, race.Spent(written_bytes=spent_mib * MIB), asked)
        assert cut == replace(asked, max_bytes=cut_mib * MIB)
    assert race.fit(replace(made, direction="read"), race.Spent(written_bytes=GIB), asked) == asked
    on_and_on = replace(asked, purpose="sustain")
    assert race.fit(made, race.Spent(written_bytes=GIB), on_and_on) == on_and_on


@pytest.mark.parametrize("visit_transfers", [1, 3])
@pytest.mark.parametrize("sustain_bytes", [0, 5 * GIB])
def test_writes_never_exceed_the_budget(visit_transfers: int, sustain_bytes: int) -> None:
    made = phase(
        FORTY,
        direction="write",
        visit_ns=60_000_000,
        visit_bytes=visit_transfers * 64 * MIB,
        write_budget_bytes=20 * GIB + 32 * MIB,
        tolerance=0.001,
        sustain_bytes=sustain_bytes,
    )
    samples, done, _ = drive(made, Drive(noise=0.05, seed=2))
    assert done.reason == "the write budget is spent"
    kept = [taken.bytes for taken in samples if taken.request.purpose == "sustain"]
    # A window is a thirty-second of what is kept.
    assert sustain_bytes - sustain_bytes // 32 <= sum(kept) <= sustain_bytes
    raced = sum(taken.bytes for taken in samples) - sum(kept)
    assert made.write_budget_bytes - sustain_bytes - 64 * MIB < raced <= made.write_budget_bytes - sustain_bytes


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
    for seed in range(32):
        made = phase(seed=seed, points=order[seed % 16 :] + order[: seed % 16])
        samples, _, _ = drive(made, Drive(noise=0.01, seed=seed))
        chosen = choose.choose(estimate.curve(made, samples), made.tolerance).stats.point.setting
        won += model.truth(chosen) >= 0.98 * best
    assert won >= 30


def test_where_it_is_settled_the_guarantee_holds() -> None:
    """2 % at 95 %: of 25 races, on drives whose noise has it visit points again, one may fail."""
    failed = settled = 0
    model = Drive(noise=0.0, seed=0)
    best = max(model.truth(point.setting) for point in phase(FORTY).points)
    for seed in range(25):
        made = phase(FORTY, seed=seed, time_budget_ns=120_000_000_000)
        samples, done, _ = drive(made, Drive(noise=0.008, seed=seed))
        choice = choose.choose(estimate.curve(made, samples), made.tolerance)
        settled += done.settled
        failed += done.settled and model.truth(choice.stats.point.setting) < (1 - race.GUARANTEE) * best
    assert settled > 12
    assert failed <= 1
