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
        curve = estimate.curve(made.phase, made.samples)
        assert known(replay.curve).keys() == known(curve).keys()
        for point, ours in known(replay.curve).items():
            assert vars_of(ours) == pytest.approx(vars_of(known(curve)[point]))
        assert replay.curve.planned == curve.planned
        assert replay.curve.cliff == curve.cliff
        assert replay.curve.reference is not None
        assert curve.reference is not None
        assert vars_of(replay.curve.reference) == pytest.approx(vars_of(curve.reference))
        assert replay.phase.sure_points == made.phase.sure_points


def vars_of(stats: object) -> dict[str, float]:
    names = ("bytes_per_s", "low_bytes_per_s", "high_bytes_per_s", "visits", "likely_bytes_per_s")
    return {name: getattr(stats, name) for name in names}


def test_the_profiles_setting_is_a_point_with_the_profiles_figures() -> None:
    kept = stored(grid=MIDDLE_GRID)
    for replay in replays(kept.samples, kept.profile.evidence):
        result = getattr(kept.profile, replay.direction)
        point = next(each for each in replay.curve.points if result.setting in each.point.aliases)
        assert round(point.bytes_per_s) == result.throughput_bytes_per_s


def test_a_check_has_the_points_that_were_visited_alone() -> None:
    settings = (setting(depth=4), setting(depth=32, threads=4))
    samples = [
        sample(each, 5e9 + 1e7 * number, number=number + 1, purpose="repeat")
        for number, each in enumerate((*settings, *settings))
    ]
    (full,) = replays(samples, evidence())
    (check,) = replays(samples, evidence(checked_against="sibling"))
    assert full.curve.planned == 4
    assert check.curve.planned == 2


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
