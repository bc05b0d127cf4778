from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.setting import DEFAULT_SETTING, Grid
from aio_tuned.report.replay import replays
from aio_tuned.search import estimate
from unit.support.builders import MIB, SMALL_GRID, evidence, sample, setting
from unit.support.sweeps import stored, swept

if TYPE_CHECKING:
    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Effort

MIDDLE_GRID = Grid(
    block_size=(128 << 10, 256 << 10, MIB),
    queue_depth=(4, 8, 32),
    io_parallelism=(1, 8),
    overlap_events=(True, False),
    single_submit=(True, False),
)


def known(curve: Curve) -> dict[object, object]:
    return {stats.point.setting: stats for stats in curve.points}


@pytest.mark.parametrize("how", ["default", "quick", "thorough"])
@pytest.mark.parametrize("grid", [SMALL_GRID, MIDDLE_GRID], ids=["without the reference", "with it"])
def test_a_stored_sweep_gives_the_curves_that_it_was_chosen_from(how: Effort, grid: Grid) -> None:
    outcome = swept(grid=grid, how=how)
    found = replays(outcome.samples, evidence(effort=how))
    assert [replay.direction for replay in found] == ["read", "write"]
    for replay, made in zip(found, outcome.phases, strict=True):
        assert made.first_pass is not None
        assert replay.first_pass is not None
        assert replay.first_pass.sure_points == made.first_pass.sure_points
        # The budgets of a quick sweep may not pay for a race.
        assert (replay.race is None) == (made.race is None)
        assert made.race is not None or how == "quick"
        for phase, ours in ((made.first_pass, replay.screen), (made.phase, replay.curve)):
            curve = estimate.curve(phase, outcome.samples)
            assert known(ours).keys() == known(curve).keys()
            for point, stats in known(ours).items():
                assert vars_of(stats) == pytest.approx(vars_of(known(curve)[point]))
            assert ours.planned == curve.planned
            assert ours.transfer_bytes == curve.transfer_bytes
            assert ours.cliff == curve.cliff
            assert ours.reference is not None
            assert curve.reference is not None
            assert vars_of(ours.reference) == pytest.approx(vars_of(curve.reference))
        assert [phase.stage for phase, _ in replay.stages] == (["pass", "race"] if made.race else ["pass"])
        assert replay.stages[0][1] is replay.screen
        assert replay.stages[-1][1] is replay.curve


def vars_of(stats: object) -> dict[str, float]:
    names = ("bytes_per_s", "low_bytes_per_s", "high_bytes_per_s", "visits")
    return {name: getattr(stats, name) for name in names}


def test_a_stored_sweep_gives_the_posterior_that_it_was_chosen_by() -> None:
    kept = stored(grid=MIDDLE_GRID)
    for replay in replays(kept.samples, kept.profile.evidence):
        result = getattr(kept.profile, replay.direction)
        column = replay.known.place(result.setting)
        assert column is not None
        assert 100 * replay.known.quantile(column) == pytest.approx(result.regret95_percent, abs=0.01)
        tolerance = result.tolerance_percent / 100
        assert (replay.known.within(tolerance) >= 0.5).sum() == result.ties


def test_the_profiles_setting_is_a_point_with_the_profiles_figures() -> None:
    kept = stored(grid=MIDDLE_GRID)
    for replay in replays(kept.samples, kept.profile.evidence):
        result = getattr(kept.profile, replay.direction)
        point = next(each for each in replay.curve.points if result.setting in each.point.aliases)
        assert round(point.bytes_per_s) == result.throughput_bytes_per_s


def test_a_check_has_the_points_that_were_visited_alone() -> None:
    settings = (setting(depth=4), setting(depth=32, threads=4))
    (check,) = replays([sample(each, number=n, purpose="repeat") for n, each in enumerate(settings, 1)], evidence())
    (full,) = replays([sample(each, number=n, purpose="pass") for n, each in enumerate(settings, 1)], evidence())
    assert check.first_pass is None
    assert check.curve is check.screen
    assert check.curve.planned == 2
    assert full.race is None
    assert full.curve is full.screen
    assert full.curve.planned == 4
    assert [len(replay.stages) for replay in (check, full)] == [1, 1]


def test_a_race_of_which_a_point_was_not_measured_decides_nothing() -> None:
    points = [sample(setting(depth=depth), number=depth, purpose="pass") for depth in (4, 32)]
    raced = sample(setting(depth=4), number=33, purpose="repeat", transfer_bytes=256 * MIB)
    spoilt = replace(sample(setting(depth=32), number=34, purpose="repeat", transfer_bytes=256 * MIB))
    (whole,) = replays([*points, raced, spoilt], evidence())
    (cut,) = replays([*points, raced, replace(spoilt, cache_verdict="cache")], evidence())
    assert whole.phase.stage == "race"
    assert (cut.race, cut.phase.stage) == (None, "pass")


def test_a_reference_beside_the_grid_is_no_point() -> None:
    points = [sample(setting(depth=depth), number=depth, purpose="pass") for depth in (4, 32)]
    first = sample(DEFAULT_SETTING, number=1, purpose="calibrate", transfer_bytes=16 * MIB)
    reference = sample(DEFAULT_SETTING, number=2, purpose="reference")
    (replay,) = replays([first, reference, *points], evidence())
    assert [point.setting.queue_depth for point in replay.phase.points] == [4, 32]
    assert replay.phase.reference.setting == DEFAULT_SETTING


def test_without_a_visit_that_counts_there_is_no_replay() -> None:
    calibrated = sample(purpose="calibrate")
    tainted = replace(sample(number=2), cache_verdict="cache")
    assert replays((), evidence()) == ()
    assert replays((calibrated, tainted), evidence()) == ()
