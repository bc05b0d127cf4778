from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest

from aio_tuned.config.load import Config
from aio_tuned.model.profile import Effort
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search import choose, estimate, grid, steady_state
from aio_tuned.search.effort import extent
from aio_tuned.search.posterior import posterior
from aio_tuned.sweep.budget import check_write_budget
from aio_tuned.sweep.order import Order
from aio_tuned.sweep.run import run_sweep
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from fakes.simulated.truth import SETTINGS, truth
from unit.support.builders import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.sweep.order import SweepOutcome

CONFIG = Config()
BOTH: dict[Direction, tuple[Setting, ...]] = {"read": SETTINGS, "write": SETTINGS}
# What a thorough sweep adds comes after the race, whose many points are the default effort's business.
WRITES: dict[Direction, tuple[Setting, ...]] = {"write": SETTINGS[::16]}


def swept(
    effort: Effort,
    name: str,
    settings: Mapping[Direction, tuple[Setting, ...]],
    *,
    write_budget_bytes: int = CONFIG.write_budget,
    seed: int = 1,
) -> SweepOutcome:
    extended = extent(effort, CONFIG.time_budget)
    budget_bytes = int(write_budget_bytes * extended.write_share)
    order = Order(
        settings=settings,
        max_transfer_bytes=CONFIG.transfer_bytes,
        time_budget_ns=int(extended.time_budget_s * 1e9),
        pass_ns=int(extended.pass_s * 1e9),
        race_ns=int(extended.race_s * 1e9),
        usual_write_bytes=min(extended.usual_bytes or budget_bytes, budget_bytes),
        write_budget_bytes=budget_bytes,
        tolerance=CONFIG.tolerance_percent / 100,
        seed=seed,
        fraction=extended.fraction,
        sustain_share=extended.sustain_share,
    )
    helper = SimulatedHelper(Drive(NAMED[name], seed), fill_bytes=GIB)
    outcome = asyncio.run(run_sweep(helper.helper, order))
    assert outcome.written_bytes <= order.write_budget_bytes
    return outcome


def test_the_default_is_what_the_configuration_says() -> None:
    found = extent("default", 150)
    assert (found.time_budget_s, found.write_share, found.fraction, found.sustain_share) == (150, 1, 1, 0)


def test_a_usual_sweep_takes_a_part_of_the_budgets() -> None:
    found = extent("default", 150)
    assert (found.pass_s, found.race_s, found.usual_bytes) == (12, 25, 20 * GIB)


def test_a_thorough_sweep_takes_four_times_the_time_and_twice_the_bytes() -> None:
    found = extent("thorough", 150)
    assert (found.time_budget_s, found.race_s, found.usual_bytes, found.write_share) == (600, 600, None, 2)
    assert found.sustain_share > 0


def test_no_effort_but_thorough_takes_longer_than_configured() -> None:
    assert [extent(effort, 10).time_budget_s for effort in get_args(Effort)] == [10, 10, 40]
    assert [extent(effort, 150).time_budget_s for effort in get_args(Effort)] == [20, 150, 600]


def test_the_designed_fraction_has_every_value_about_equally_often() -> None:
    points = grid.points(SETTINGS, 256 << 20)
    some = grid.designed(points, 5)
    assert len(points) / 6 < len(some) < len(points) / 4
    for key in ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit"):
        values = {getattr(setting, key) for setting in SETTINGS}
        often = [sum(getattr(point.setting, key) == value for point in some) for value in values]
        assert min(often) >= len(some) / len(values) / 2


@pytest.mark.parametrize("name", ["pm9a3", "990-pro", "ebs-gp3-1000"])
def test_a_quick_sweep_measures_a_part_in_twenty_seconds_and_is_not_far_off(name: str) -> None:
    outcome = swept("quick", name, BOTH)
    assert sum(sample.wall_ns for sample in outcome.samples) < 21e9
    for phase in outcome.phases:
        assert phase.first_pass is not None
        screen = estimate.curve(phase.first_pass, outcome.samples)
        assert len(screen.points) < screen.planned / 2
        known = posterior(phase.phase, estimate.curve(phase.phase, outcome.samples))
        assert known is not None
        chosen = choose.choose(known, 0.02).setting
        found = truth(NAMED[name], phase.phase.direction, phase.phase.transfer_bytes)
        assert found.of(chosen) > 0.95 * found.best_bytes_per_s
        assert found.of(chosen) > 0.99 * found.of(DEFAULT_SETTING)


def test_a_quick_sweep_looks_at_the_neighbours_of_the_best() -> None:
    outcome = swept("quick", "pm9a3", BOTH)
    made = outcome.phases[0].first_pass
    assert made is not None
    measured = {point.point.setting for point in estimate.curve(made, outcome.samples).points}
    sure = {point.setting for point in made.points[: made.sure_points]}
    assert sure < measured


def writes(outcome: SweepOutcome) -> list[Sample]:
    return [sample for sample in outcome.samples if sample.request.direction == "write"]


def test_a_thorough_sweep_continues_to_write_and_finds_the_cliff() -> None:
    """The 970 EVO Plus has 42 GB of cache and then 1.7 GB/s, less what heat takes."""
    outcome = swept("thorough", "970-evo-plus", WRITES)
    made = outcome.phases[0].phase
    found = steady_state.found(writes(outcome))
    assert found is not None
    assert found.steady
    assert 1.4e9 < found.bytes_per_s < 1.8e9
    assert found.fell_after_bytes is not None
    raced = sum(sample.bytes for sample in writes(outcome) if sample.request.purpose != "sustain")
    assert 40e9 < GIB + raced + found.fell_after_bytes < 45e9
    # It ends soon after, not when all is written.
    assert found.written_bytes < made.sustain_bytes


def test_a_drive_without_a_cliff_is_written_to_the_end() -> None:
    outcome = swept("thorough", "pm9a3", WRITES)
    found = steady_state.found(writes(outcome))
    assert found is not None
    assert found.fell_after_bytes is None
    assert found.written_bytes > 0.9 * outcome.phases[0].phase.sustain_bytes > 20 * GIB


def test_a_small_budget_leaves_nothing_to_write_on_with() -> None:
    outcome = swept("thorough", "pm9a3", WRITES, write_budget_bytes=950 << 20)
    (phase,) = outcome.phases
    assert steady_state.found(writes(outcome)) is None
    assert phase.first_pass is not None
    assert len(estimate.curve(phase.first_pass, outcome.samples).points) == len(phase.first_pass.points)


def test_a_quick_sweep_is_paid_for_by_less() -> None:
    order = Order(
        settings={"write": SETTINGS},
        max_transfer_bytes=256 << 20,
        time_budget_ns=10**10,
        write_budget_bytes=3 * GIB,
        tolerance=0.01,
        seed=1,
        fraction=5,
    )
    check_write_budget(order, GIB, 512)
    with pytest.raises(Exception, match="write budget of 3 GiB: too small"):
        check_write_budget(replace(order, fraction=1), GIB, 512)
