"""What the joint posterior says of the points: it covers the truth, learns from neighbours, and keeps its doubts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aio_tuned.config.load import Config
from aio_tuned.model.measurement import Point
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search.choose import pick
from aio_tuned.search.grid import settings
from aio_tuned.search.posterior import DRAWS, Posterior, posterior
from unit.support.builders import curve, phase, setting, stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aio_tuned.model.curve import Curve

    Floats = NDArray[np.float64]

SETTINGS = [which for which in settings(Config().grid) if which.overlap_events and which.block_size >= 1 << 18]
COUNT = len(SETTINGS)
LEVEL = 22.0
ERROR = 0.01
RACE = phase(stage="race")


def hill(height: float = 0.04) -> Floats:
    """Return a plateau that falls off to shallow queues and few threads, as log bytes/s."""
    return np.array(
        [
            LEVEL
            - height
            * math.exp(
                -(math.log2(which.block_size) - 18) / 2
                - (math.log2(which.queue_depth) - 2) / 2
                - math.log2(which.io_parallelism) / 2
            )
            - (0.004 if which.single_submit else 0)
            for which in SETTINGS
        ]
    )


def rough(chance: np.random.Generator, own: float) -> Floats:
    """Return points that have nothing to do with each other."""
    found: Floats = LEVEL + chance.normal(0, own, COUNT)
    return found


def made(
    values: Floats, errors: Floats | float = ERROR, *, visits: int = 5, freedom: float = 200.0, noise: float = ERROR
) -> Curve:
    """Return a curve of the first settings with these log throughputs and standard errors."""
    every = np.broadcast_to(errors, len(values))
    points = (
        replace(stats(math.exp(value), which, visits=visits, freedom=freedom), error=float(error))
        for which, value, error in zip(SETTINGS, values.tolist(), every.tolist(), strict=False)
    )
    return curve(*points, noise=noise)


def known(found: Curve, **changes: Any) -> Posterior:  # noqa: ANN401 - any field of the phase
    made_ = posterior(replace(RACE, **changes), found)
    assert made_ is not None
    return made_


def all_of(values: Floats, errors: Floats | float = ERROR, **how: float) -> Posterior:
    """Return the posterior of such a curve, of which no point is left out."""
    found = known(made(values, errors, noise=0.05, **how))  # type: ignore[arg-type]
    assert len(found.points) == len(values)
    return found


def rms(values: Floats) -> float:
    return math.sqrt(float((values**2).mean()))


def coverage(truths: list[Floats], seed: int, error: float = ERROR) -> float:
    """Return the share of points whose truth lies between the 2.5 % and the 97.5 % quantile of their draws."""
    chance = np.random.default_rng(seed)
    inside = []
    for truth in truths:
        found = all_of(truth + chance.normal(0, error, COUNT), error)
        low, high = np.quantile(found.draws, (0.025, 0.975), axis=0)
        inside.append((low <= truth) & (truth <= high))
    return float(np.concatenate(inside).mean())


# --- it covers the truth ---------------------------------------------------------------------------------


def test_on_a_smooth_surface_the_draws_cover_the_truth() -> None:
    assert 0.9 <= coverage([hill()] * 12, seed=1) <= 0.995


@pytest.mark.parametrize("own", [0.003, 0.02])
def test_on_a_rough_surface_the_draws_cover_the_truth_too(own: float) -> None:
    chance = np.random.default_rng(7)
    assert 0.9 <= coverage([rough(chance, own) for _ in range(12)], seed=2, error=0.005) <= 0.995


@pytest.mark.parametrize(("height", "own"), [(0.04, 0.0), (0.02, 0.004), (0.0, 0.01)])
def test_the_regret_of_the_choice_is_below_its_quantile_in_nineteen_of_twenty(height: float, own: float) -> None:
    chance = np.random.default_rng(3)
    held, quantiles = 0, []
    for _ in range(40):
        truth = hill(height) + chance.normal(0, own, COUNT)
        found = all_of(truth + chance.normal(0, ERROR, COUNT))
        column = pick(found, 0.02).column
        quantiles.append(found.quantile(column))
        held += 1 - math.exp(truth[column] - truth.max()) <= quantiles[-1]
    assert held >= 35
    assert np.median(quantiles) < 0.04


def test_points_are_within_at_least_as_often_as_the_probability_says() -> None:
    """More often by a sixth, as the best of many draws is better than the best of the truth."""
    chance = np.random.default_rng(4)
    said, was = [], []
    for _ in range(12):
        truth = hill(0.03) + chance.normal(0, 0.004, COUNT)
        found = all_of(truth + chance.normal(0, ERROR, COUNT))
        within = found.within(0.02)
        near = (within > 0.3) & (within < 0.7)
        said.append(within[near])
        was.append((truth.max() - truth)[near] <= -math.log1p(-0.02))
    assert len(np.concatenate(said)) > 100
    surplus = float(np.concatenate(was).mean()) - float(np.concatenate(said).mean())
    assert -0.05 < surplus < 0.25


# --- neighbours ------------------------------------------------------------------------------------------


def test_on_a_smooth_surface_neighbours_make_the_errors_smaller_and_truly_so() -> None:
    truth = hill()
    raw, away, said = [], [], []
    for seed in range(10):
        values = truth + np.random.default_rng(seed).normal(0, ERROR, COUNT)
        found = all_of(values)
        raw.append(values - truth)
        away.append(found.mean - truth)
        said.append(found.draws.std(0))
    assert rms(np.concatenate(away)) < 0.6 * rms(np.concatenate(raw))
    assert float(np.concatenate(said).mean()) < 0.7 * ERROR


def test_a_rough_surface_is_left_alone() -> None:
    chance = np.random.default_rng(4)
    values = rough(chance, 0.02)
    found = all_of(values, 0.002)
    assert np.abs(found.mean - values).max() < 0.002
    assert found.draws.std(0).mean() > 0.9 * 0.002


def test_well_known_points_stay_where_they_are() -> None:
    truth, chance = hill(), np.random.default_rng(3)
    errors = np.where(np.arange(COUNT) % 2 == 0, 0.0005, 0.02)
    values = truth + chance.normal(0, 1, COUNT) * errors
    found = all_of(values, errors)
    assert np.abs(found.mean - values)[::2].max() < 0.0025
    assert rms((found.mean - truth)[1::2]) < 0.5 * rms((values - truth)[1::2])
    assert found.draws.std(0)[1::2].mean() < 0.6 * 0.02


def test_equal_points_stay_equal() -> None:
    found = all_of(np.full(COUNT, LEVEL), 1e-4)
    assert found.mean == pytest.approx(np.full(COUNT, LEVEL), abs=1e-6)
    assert np.isfinite(found.draws).all()
    assert found.draws.std(0).max() < 2e-4


# --- contradictions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [-0.06, 0.1])
def test_a_single_visit_that_its_neighbours_contradict_is_hardly_believed(away: float) -> None:
    """And only a point that was visited once or twice: one that was visited often stays."""
    place, truth = 37, hill(0.02)
    values = truth + np.random.default_rng(5).normal(0, 0.003, COUNT)
    values[place] += away
    often = made(values, 0.003, noise=0.05)
    seldom = replace(
        often, points=tuple(replace(each, visits=1) if n == place else each for n, each in enumerate(often.points))
    )
    believed, doubted = known(often), known(seldom)
    assert abs(believed.mean[place] - truth[place]) > 0.6 * abs(away)
    assert abs(doubted.mean[place] - truth[place]) < 0.25 * abs(away)
    assert doubted.draws.std(0)[place] > 1.5 * np.median(doubted.draws.std(0))
    # The lucky one is the best of all as long as it is believed.
    if away > 0:
        assert believed.best_chances()[place] > 0.9 > doubted.best_chances()[place]


@pytest.mark.parametrize("visits", [1, 2, 3])
def test_visits_that_agree_are_not_contradicted(visits: int) -> None:
    values = hill() + np.random.default_rng(6).normal(0, 0.003, COUNT)
    often, seldom = all_of(values, 0.003, visits=9), all_of(values, 0.003, visits=visits)
    assert rms(seldom.mean - often.mean) < 0.001


# --- joint draws -----------------------------------------------------------------------------------------


def correlation(found: Posterior) -> float:
    """Return the mean correlation of the draws of settings that differ in the depth of the queue by one step."""
    columns = {which: column for column, which in enumerate(SETTINGS)}
    pairs = [
        (columns[which], columns[deeper])
        for which in SETTINGS
        if (deeper := replace(which, queue_depth=2 * which.queue_depth)) in columns
    ]
    together = np.atleast_2d(np.corrcoef(found.draws.T))
    return float(np.mean([together[pair] for pair in pairs]))


def test_what_neighbours_share_cancels_in_their_difference() -> None:
    smooth = all_of(hill() + np.random.default_rng(1).normal(0, ERROR, COUNT))
    apart = all_of(rough(np.random.default_rng(1), 0.02), 0.002)
    assert correlation(smooth) > 0.5
    assert abs(correlation(apart)) < 0.15


def test_the_same_curve_gives_the_same_draws() -> None:
    found = made(hill())
    first, again = known(found), known(made(hill()))
    assert np.array_equal(first.draws, again.draws)
    assert len(first.draws) == pytest.approx(DRAWS, abs=30)
    assert not np.array_equal(known(found, seed=2).draws, first.draws)
    assert not np.array_equal(known(found, stage="pass").draws, first.draws)
    more = replace(found, points=(replace(found.points[0], visits=6), *found.points[1:]))
    assert not np.array_equal(known(more).draws, first.draws)


# --- tails and few points --------------------------------------------------------------------------------


def test_few_degrees_of_freedom_have_wide_tails() -> None:
    """The same errors: with 4 degrees of freedom the 99.5 % quantile of Student's t is 1.8 times the normal one."""
    values = np.array([LEVEL, LEVEL - 0.001])
    few, many = (known(made(values, freedom=freedom)) for freedom in (4.0, 200.0))
    spread = [np.quantile(np.abs(each.draws - values) / ERROR, 0.99) for each in (many, few)]
    assert spread[0] == pytest.approx(2.58, rel=0.15)
    assert spread[1] == pytest.approx(4.60, rel=0.25)
    whole = [all_of(hill(), freedom=freedom) for freedom in (4.0, 200.0)]
    quantiles = [np.quantile(np.abs(each.draws - each.mean) / each.draws.std(0), 0.999) for each in whole]
    assert quantiles[0] > 1.2 * quantiles[1]


@pytest.mark.parametrize("count", [1, 5])
def test_fewer_than_six_points_are_as_they_were_measured(count: int) -> None:
    values = hill()[:count] + np.arange(count) * 0.01
    found = all_of(values)
    assert found.mean.tolist() == pytest.approx(values.tolist())
    assert found.draws.std(0) == pytest.approx(np.full(count, ERROR), rel=0.15)


def test_six_points_are_enough_for_a_surface() -> None:
    values = hill()[:6] + np.arange(6) % 2 * 0.01
    found = all_of(values)
    assert np.abs(found.mean - values).max() > 1e-4
    assert found.draws.std(0).max() < 1.1 * ERROR


def test_no_points_no_posterior() -> None:
    assert posterior(RACE, curve()) is None


# --- who takes part --------------------------------------------------------------------------------------


def test_points_far_below_the_top_are_left_out() -> None:
    values = hill()
    values[:20] = LEVEL - 0.5
    found = known(made(values))
    assert [point.point.setting for point in found.points] == list(SETTINGS[20:COUNT])
    assert found.place(SETTINGS[0]) is None
    assert found.place(SETTINGS[20]) == 0
    assert found.place(setting(depth=99)) is None


def test_a_point_that_is_poorly_known_may_be_the_best() -> None:
    values, errors = hill(), np.full(COUNT, ERROR)
    values[:20], errors[:10] = LEVEL - 0.5, 0.3
    found = known(made(values, errors))
    assert [point.point.setting for point in found.points] == [*SETTINGS[:10], *SETTINGS[20:COUNT]]


def test_of_a_large_plateau_the_highest_take_part() -> None:
    whole = settings(Config().grid)
    dice = np.random.default_rng(1)
    points = [stats(math.exp(LEVEL + dice.normal(0, ERROR)), which) for which in whole]
    found = known(curve(*points))
    assert len(found.points) == 160
    assert [point for point in points if point in found.points] == list(found.points), "in the curve's order"
    left_out = [point.bytes_per_s for point in points if point not in found.points]
    assert max(left_out) < min(point.bytes_per_s for point in found.points)


def test_an_alias_is_its_point() -> None:
    point = Point(setting=SETTINGS[0], aliases=(SETTINGS[0], setting(depth=99)))
    found = known(curve(replace(stats(1e9, SETTINGS[0]), point=point)))
    assert found.place(setting(depth=99)) == 0


# --- the default, and settings to keep -------------------------------------------------------------------


def test_the_default_takes_part_however_slow_it_is() -> None:
    values = hill()
    low = stats(math.exp(LEVEL - 0.5), DEFAULT_SETTING)
    found = known(replace(made(values), reference=low))
    assert found.default is not None
    assert found.points[found.default].point.setting == DEFAULT_SETTING
    outside = curve(*(point for point in made(values).points if point.point.setting != DEFAULT_SETTING), reference=low)
    beside = known(outside)
    assert beside.default is not None, "it is the reference, and no point of the grid"
    assert beside.points[beside.default] == low
    assert known(made(values)).default is None


def test_a_setting_to_keep_is_not_dropped_for_one_visit() -> None:
    values = hill()
    values[3] = LEVEL - 0.5
    assert known(made(values)).place(SETTINGS[3]) is None
    kept = posterior(RACE, made(values), (SETTINGS[3],))
    assert kept is not None
    assert kept.place(SETTINGS[3]) is not None


# --- what is read off the draws --------------------------------------------------------------------------


def test_shares_and_probabilities_are_counted_in_the_draws() -> None:
    """Three points in four draws: the best is the first, the second, the second and the third."""
    draws = np.log(np.array([[1.0, 0.9, 0.5], [0.98, 1.0, 0.5], [0.9, 1.0, 0.99], [0.5, 0.99, 1.0]]))
    found = Posterior(
        points=(),
        reference=None,
        mean=draws.mean(0),
        draws=draws,
        shortfall=draws.max(1)[:, None] - draws,
    )
    assert found.best_chances().tolist() == [0.25, 0.5, 0.25]
    assert found.within(0.015).tolist() == [0.25, 0.75, 0.5]
    assert found.within(0.0).tolist() == [0.25, 0.5, 0.25]
    assert found.expected() == pytest.approx([(0 + 0.02 + 0.1 + 0.5) / 4, (0.1 + 0.01) / 4, (0.5 + 0.5 + 0.01) / 4])
    assert found.quantile(0, 1.0) == pytest.approx(0.5)
    assert found.quantile(1, 1.0) == pytest.approx(0.1)
    assert found.quantile(1, 0.0) == 0.0
