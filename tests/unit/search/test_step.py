from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.measurement import Point
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search.step import (
    MAX_TRIES,
    TIME_BUDGET_ENDED,
    WRITE_BUDGET_ENDED,
    Requests,
    Spent,
    cut,
    exhausted,
    next_id,
    spent,
    unmeasured,
)
from unit.support.builders import GIB, MIB, phase, request, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Purpose, Stage

PASS, RACE = phase(), phase(stage="race")
FIRST, SECOND = PASS.points[0].setting, PASS.points[1].setting


# --- what is spent -------------------------------------------------------------------------------------


def test_a_phase_pays_for_the_measurements_of_its_own_stage_and_direction() -> None:
    samples = [
        sample(wall_ns=1, purpose="calibrate"),
        sample(wall_ns=2, purpose="pass"),
        sample(wall_ns=4, purpose="reference"),
        sample(wall_ns=8, purpose="repeat", verdict="cache"),
        sample(wall_ns=16, purpose="sustain"),
        sample(wall_ns=32, purpose="pass", direction="write"),
        sample(wall_ns=64, purpose="repeat", direction="write"),
    ]
    each = 64 * MIB
    assert spent(PASS, samples) == Spent(ns=2 + 4, written_bytes=2 * each)
    assert spent(RACE, samples) == Spent(ns=8, written_bytes=each)
    assert spent(replace(PASS, direction="write"), samples) == Spent(ns=32, written_bytes=each)
    assert spent(replace(RACE, direction="write"), samples) == Spent(ns=64, written_bytes=each)
    assert spent(PASS, []) == Spent()
    cost = Spent()
    for one in samples:
        cost = cost.plus(RACE, one)
    assert cost == spent(RACE, samples)


def test_the_time_budget_is_spent_when_it_is_reached() -> None:
    made = phase(time_budget_ns=1_000_000_000)
    assert exhausted(made, Spent(ns=999_999_999)) == ""
    assert exhausted(made, Spent(ns=1_000_000_000)) == TIME_BUDGET_ENDED


def test_the_write_budget_is_spent_before_a_transfer_that_would_exceed_it() -> None:
    made = phase(direction="write", write_budget_bytes=3 * 64 * MIB + 1)
    assert exhausted(made, Spent(written_bytes=2 * 64 * MIB)) == ""
    assert exhausted(made, Spent(written_bytes=2 * 64 * MIB + 2)) == WRITE_BUDGET_ENDED
    assert exhausted(made, Spent(written_bytes=3 * 64 * MIB)) == WRITE_BUDGET_ENDED
    assert exhausted(replace(made, direction="read"), Spent(written_bytes=GIB)) == ""


# --- requests ------------------------------------------------------------------------------------------


def test_the_next_number_follows_the_largest() -> None:
    assert next_id([]) == 1
    assert next_id([sample(number=41), sample(number=7, direction="write")]) == 42


@pytest.mark.parametrize(("stage", "reference", "point"), [("pass", "reference", "pass"), ("race", "repeat", "repeat")])
def test_the_reference_comes_before_every_sixteen_others(stage: Stage, reference: Purpose, point: Purpose) -> None:
    made = Requests(phase(stage=stage, direction="write", visit_ns=7, visit_bytes=128 * MIB), 5)
    for _ in range(33):
        made.visit(PASS.points[0])
    assert [number for number, asked in enumerate(made.made) if asked.setting == DEFAULT_SETTING] == [0, 17, 34]
    assert {asked.purpose for asked in made.made if asked.setting == DEFAULT_SETTING} == {reference}
    assert {asked.purpose for asked in made.made if asked.setting == FIRST} == {point}
    assert [asked.id for asked in made.made] == list(range(5, 5 + 36))
    assert {(r.direction, r.transfer_bytes, r.min_ns, r.max_bytes, r.drop_caches) for r in made.made} == {
        ("write", 64 * MIB, 7, 128 * MIB, None)
    }


def test_a_check_has_no_reference_in_between() -> None:
    made = Requests(RACE, 1, reference=False)
    for _ in range(20):
        made.visit(RACE.points[0])
    assert [asked.setting for asked in made.made] == [FIRST] * 20


# --- what is unmeasured --------------------------------------------------------------------------------


def test_a_point_is_unmeasured_until_it_has_a_clean_sample_of_the_phase() -> None:
    others = [
        sample(FIRST, purpose="calibrate"),
        sample(FIRST, purpose="repeat"),
        sample(FIRST, direction="write"),
        sample(FIRST, transfer_bytes=16 * MIB),
        sample(FIRST, verdict="cache"),
        sample(setting(depth=99)),
    ]
    assert unmeasured(PASS, others, PASS.points) == list(PASS.points)
    assert unmeasured(PASS, [*others, sample(FIRST)], PASS.points) == list(PASS.points[1:])
    assert unmeasured(PASS, [sample(SECOND)], PASS.points[:1]) == [PASS.points[0]]


@pytest.mark.parametrize("tries", range(1, MAX_TRIES + 2))
def test_a_point_is_given_up_after_so_many_tries(tries: int) -> None:
    spoiled = [sample(FIRST, foreign_bytes=64 * MIB)] * tries
    given_up = PASS.points[0] not in unmeasured(PASS, spoiled, PASS.points)
    assert given_up is (tries >= MAX_TRIES)


def test_a_measurement_of_an_alias_counts() -> None:
    one = Point(setting=FIRST, aliases=(FIRST, setting(depth=99)))
    assert unmeasured(phase(points=(one,)), [sample(setting(depth=99))], [one]) == []


def test_the_reference_measures_the_point_that_is_the_same_program() -> None:
    made = phase(stage="race", reference=Point(setting=FIRST, aliases=(FIRST,)))
    assert unmeasured(made, [sample(FIRST, purpose="repeat")], made.points) == list(made.points[1:])


# --- cut to the budget ---------------------------------------------------------------------------------


def test_a_write_is_cut_to_the_bytes_that_are_left() -> None:
    made = phase(direction="write", write_budget_bytes=GIB)
    asked = request(direction="write", max_bytes=256 * MIB)
    for spent_mib, cut_mib in ((0, 256), (768, 256), (800, 192), (960, 64), (1000, 64)):
        found = cut(made, Spent(written_bytes=spent_mib * MIB), asked)
        assert found == replace(asked, max_bytes=cut_mib * MIB)
    assert cut(replace(made, direction="read"), Spent(written_bytes=GIB), asked) == asked
    sustained = replace(asked, purpose="sustain")
    assert cut(made, Spent(written_bytes=GIB), sustained) == sustained
