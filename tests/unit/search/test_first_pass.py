from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.setting import DEFAULT_SETTING, Grid
from aio_tuned.search import estimate, first_pass, grid
from aio_tuned.search.posterior import posterior
from aio_tuned.search.step import MAX_TRIES, PhaseEnd, spent
from unit.support.builders import MIB, Drive, phase, sample
from unit.support.phases import Run, requests_of

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Phase, Request, Sample
    from aio_tuned.model.setting import Direction

WIDE = Grid(
    block_size=(128 << 10, 512 << 10, MIB),
    queue_depth=(4, 8, 32),
    io_parallelism=(1, 4),
    overlap_events=(True, False),
    single_submit=(False, True),
)
DONE = PhaseEnd(reason="every setting was measured", settled=True)


def run(made: Phase, model: Drive) -> Run:
    return Run(made, lambda samples: first_pass.next_round(made, samples), model)


def test_every_point_is_measured_once_in_the_plans_order_with_the_reference_in_between() -> None:
    made = phase(WIDE)
    asked = requests_of(first_pass.next_round(made, []))
    passed = [request for request in asked if request.purpose == "pass"]
    assert [request.setting for request in passed] == [point.setting for point in made.points]
    assert len(passed) == 72
    places = [number for number, request in enumerate(asked) if request.purpose == "reference"]
    assert places == [0, 17, 34, 51, 68]
    assert {asked[place].setting for place in places} == {DEFAULT_SETTING}
    assert len(asked) == len(passed) + len(places)


def test_numbers_continue_after_those_of_both_directions() -> None:
    before = [sample(number=41, purpose="calibrate"), sample(number=57, direction="write", purpose="pass")]
    asked = requests_of(first_pass.next_round(phase(), before))
    assert [request.id for request in asked] == list(range(58, 58 + len(asked)))


@pytest.mark.parametrize("purpose", ["calibrate", "repeat"])
def test_calibration_and_the_race_do_not_replace_the_pass(purpose: str) -> None:
    made = phase()
    before = [sample(point.setting, purpose=purpose, wall_ns=1) for point in made.points]  # type: ignore[arg-type]
    assert len([r for r in requests_of(first_pass.next_round(made, before)) if r.purpose == "pass"]) == 16


def test_the_other_directions_pass_does_not_replace_this_one() -> None:
    made = phase()
    before = [sample(point.setting, direction="write", wall_ns=1) for point in made.points]
    assert len([r for r in requests_of(first_pass.next_round(made, before)) if r.purpose == "pass"]) == 16


def test_it_ends_when_every_point_was_measured() -> None:
    made = phase(WIDE)
    found = run(made, Drive(noise=0.03, seed=1))
    assert found.end == DONE
    assert len(found.rounds) == 1
    assert len(estimate.curve(made, found.samples).points) == len(made.points)


# --- disturbed measurements ------------------------------------------------------------------------------


def answered(made: Phase, tainted: dict[int, str], tries: int) -> list[Sample]:
    """Return `tries` measurements of the numbered points, tainted as that says, and one of each other point."""
    samples: list[Sample] = []
    for attempt in range(tries):
        for number, point in enumerate(made.points):
            how = tainted.get(number, "")
            if attempt and not how:
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
@pytest.mark.parametrize("tries", range(1, MAX_TRIES))
def test_a_tainted_measurement_is_repeated_without_a_drop_of_the_hosts_cache(how: str, tries: int) -> None:
    made = phase()
    asked = requests_of(first_pass.next_round(made, answered(made, {3: how, 5: how}, tries)))
    assert [(r.purpose, r.setting) for r in asked] == [
        ("reference", DEFAULT_SETTING),
        ("pass", made.points[3].setting),
        ("pass", made.points[5].setting),
    ]
    assert [r.drop_caches for r in asked] == [None, None, None]


def test_a_point_is_given_up_for_good() -> None:
    made = phase(WIDE)
    gone = made.points[3].setting

    class Cached(Drive):
        def answer(self, asked: Request) -> Sample:
            found = super().answer(asked)
            return replace(found, cache_verdict="cache") if asked.setting == gone else found

    found = run(made, Cached(noise=0.01, seed=1))
    assert found.settings.count(gone) == MAX_TRIES
    assert gone not in [point.point.setting for point in estimate.curve(made, found.samples).points]
    assert isinstance(found.end, PhaseEnd)


def test_when_everything_is_tainted_it_ends() -> None:
    made = phase()
    everything = dict.fromkeys(range(len(made.points)), "foreign")
    assert isinstance(first_pass.next_round(made, answered(made, everything, MAX_TRIES)), PhaseEnd)


# --- a part of the points --------------------------------------------------------------------------------


def test_of_a_part_only_the_sure_points_come_first() -> None:
    made = phase(WIDE, sure_points=15)
    asked = requests_of(first_pass.next_round(made, []))
    assert [r.setting for r in asked if r.purpose == "pass"] == [point.setting for point in made.points[:15]]


def test_then_come_the_neighbours_of_the_best_until_no_other_leads() -> None:
    made = phase(WIDE, sure_points=15)
    found = run(made, Drive(noise=0.003, seed=1))
    count = len(found.rounds[0])
    assert len(found.rounds) > 1
    for asked in found.rounds[1:]:
        seen = found.samples[:count]
        known = posterior(made, estimate.curve(made, seen))
        assert known is not None
        order = sorted(range(len(known.points)), key=lambda column: -known.mean[column])[:3]
        leaders = [known.points[column].point for column in order]
        measured = {taken.request.setting for taken in seen}
        expected = [point.setting for point in grid.neighbours(made.points, leaders) if point.setting not in measured]
        assert [request.setting for request in asked if request.purpose == "pass"] == expected
        count += len(asked)
    assert found.end == PhaseEnd(reason="a quick sweep measures a part of the grid", settled=True)
    assert len(set(found.settings) - {DEFAULT_SETTING}) < 0.75 * len(made.points)


def test_a_part_of_the_points_leads_to_a_setting_nearly_as_good() -> None:
    model = Drive(noise=0.0, seed=0)
    best = max(model.truth(point.setting) for point in phase(WIDE).points)
    for seed in range(10):
        order = tuple(random.Random(seed).sample(phase(WIDE).points, 72))
        made = phase(points=order, sure_points=15, seed=seed)
        points = estimate.curve(made, run(made, Drive(noise=0.01, seed=seed)).samples).points
        assert max(model.truth(point.point.setting) for point in points) > 0.985 * best


# --- budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "changes", "reason"),
    [
        ("read", {"time_budget_ns": 2_000_000_000}, "the time budget ran out"),
        ("write", {"write_budget_bytes": 9 * 64 * MIB}, "the write budget ran out"),
    ],
)
def test_a_budget_that_is_spent_ends_it(direction: Direction, changes: dict[str, int], reason: str) -> None:
    made = phase(WIDE, direction=direction, visit_bytes=64 * MIB, **changes)
    found = run(made, Drive(noise=0.01, seed=1))
    assert found.end == PhaseEnd(reason=reason)
    cost = spent(made, found.samples)
    assert cost.written_bytes <= made.write_budget_bytes or direction == "read"
    assert cost.ns < made.time_budget_ns + max(taken.wall_ns for taken in found.samples)
    assert 0 < len(estimate.curve(made, found.samples).points) < len(made.points)
