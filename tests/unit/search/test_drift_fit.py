"""The two-way fit: points and drift of made visits are found again, whatever stalls and second modes do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from aio_tuned.search.drift_fit import GUESSED_NOISE, Fit, fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POINTS = 40
VISIT_S = 0.25


def alike(points: int) -> NDArray[np.intp]:
    """Return one group for all points."""
    return np.zeros(points, dtype=np.intp)


class Made:
    """Visits of known make: each point `repeats` times in random order, the first of them every eighth visit."""

    def __init__(
        self, seed: int, *, noise: float = 0.01, repeats: int = 5, drift: Callable[[Floats], Floats] = np.zeros_like
    ) -> None:
        self.chance = np.random.default_rng(seed)
        order = self.chance.permutation(np.repeat(np.arange(POINTS), repeats))
        self.point = np.insert(order, np.arange(0, len(order), 8), 0).astype(np.intp)
        self.time_s: Floats = VISIT_S * np.arange(1, len(self.point) + 1, dtype=np.float64)
        self.level = self.chance.uniform(20.0, 23.0, POINTS)
        self.drift = drift(self.time_s)
        self.drift = self.drift - np.median(self.drift)
        self.rate = self.level[self.point] + self.drift + self.chance.normal(0, noise, len(self.point))

    def fit(self) -> Fit:
        return fit(self.point, self.time_s, self.rate, alike(POINTS))


def rms(values: Floats) -> float:
    return math.sqrt(float((values**2).mean()))


def heat(time_s: Floats) -> Floats:
    return -0.12 * (1 - np.exp(-time_s / 12))


def swing(time_s: Floats) -> Floats:
    found: Floats = 0.04 * np.sin(2 * np.pi * time_s / 25)
    return found


def step(time_s: Floats) -> Floats:
    return np.where(time_s > 40, -0.08, 0.0)


def still(time_s: Floats) -> Floats:
    return np.zeros_like(time_s)


SHAPES = [still, heat, swing, step]


# --- levels and drift ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_levels_are_found_within_their_standard_error_and_half_of_it(
    shape: Callable[[Floats], Floats], noise: float
) -> None:
    """Five visits of that noise: noise / sqrt(5) is what no fit can do better than."""
    away = np.concatenate(
        [made.fit().level - made.level for made in (Made(s, noise=noise, drift=shape) for s in range(8))]
    )
    assert rms(away) < 1.5 * noise / math.sqrt(5) + (0.003 if shape is step else 0.0005)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_the_drift_is_followed(shape: Callable[[Floats], Floats], noise: float) -> None:
    made = [Made(seed, noise=noise, drift=shape) for seed in range(8)]
    away = np.concatenate([each.fit().drift - each.drift for each in made])
    # A step is between two knots 1.2 s apart: some of it is smeared over the visits there.
    assert rms(away) < 0.6 * noise + (0.009 if shape is step else 0.002)


def test_half_of_the_visits_are_above_the_usual_level() -> None:
    found = Made(1, drift=heat).fit()
    assert float(np.median(found.drift)) == pytest.approx(0, abs=1e-12)
    assert found.drift[0] > 0 > found.drift[-1]


def test_without_a_drift_hardly_any_is_found() -> None:
    assert max(rms(Made(seed, noise=0.01).fit().drift) for seed in range(10)) < 0.004


def test_the_drift_does_better_than_none() -> None:
    """The same visits with their times in random order: the drift cannot be told from noise then."""
    made = Made(3, noise=0.005, drift=heat)
    place = np.random.default_rng(1).permutation(len(made.point))
    blind = fit(made.point[place], made.time_s, made.rate[place], alike(POINTS))
    assert rms(made.fit().level - made.level) < 0.4 * rms(blind.level - made.level)


@pytest.mark.parametrize("noise", [0.003, 0.02, 0.1])
def test_the_noise_is_that_between_visits_without_the_drift(noise: float) -> None:
    found = [Made(seed, noise=noise, drift=heat).fit().noise for seed in range(10)]
    assert sum(found) / len(found) == pytest.approx(noise, rel=0.12)


# --- tails and second modes ------------------------------------------------------------------------------


def spoiled(made: Made, share: float, loss: float) -> Made:
    """Some visits lose that much of their logarithm."""
    hit = made.chance.random(len(made.rate)) < share
    made.rate = np.where(hit, made.rate - loss, made.rate)
    return made


@pytest.mark.parametrize(("share", "loss"), [(0.02, 3.0), (0.1, 0.3), (0.2, 0.7)])
@pytest.mark.parametrize("shape", [still, heat])
def test_stalls_and_a_second_mode_do_not_move_it(shape: Callable[[Floats], Floats], share: float, loss: float) -> None:
    """The mean would be off by `share` of `loss`; what is far keeps a twentieth of its weight, and so of that."""
    apart, blind, noise = [], [], 0.01
    for seed in range(8):
        made = spoiled(Made(seed, noise=noise, repeats=9, drift=shape), share, loss)
        found = made.fit()
        apart.append(np.abs(found.level - made.level))
        sums = np.bincount(made.point, made.rate - made.drift) / np.bincount(made.point)
        blind.append(np.abs(sums - made.level))
        assert found.noise < 3 * noise
    usual = float(np.median(np.concatenate(apart)))
    assert usual < noise / 2 + 0.07 * loss * share / (1 - share)
    assert usual < 0.5 * float(np.mean(np.concatenate(blind)))


def test_the_tail_is_what_the_worst_twentieth_loses() -> None:
    for noise in (0.005, 0.02):
        found = [Made(seed, noise=noise).fit().tail for seed in range(10)]
        assert sum(found) / len(found) == pytest.approx(1.645 * noise, rel=0.2)
    stalled = [spoiled(Made(seed, noise=0.005, repeats=9), 0.1, 0.5).fit().tail for seed in range(5)]
    assert min(stalled) > 0.3


def test_two_visits_far_apart_share_the_blame() -> None:
    """Nobody knows which is the odd one: the level is between them, and the point says so in its squares."""
    made = Made(1, noise=0.002, repeats=2)
    where = np.flatnonzero(made.point == 7)
    made.rate[where[0]] -= 1.0
    found = made.fit()
    assert made.level[7] - 0.75 < found.level[7] < made.level[7] - 0.25
    assert found.weight[7] < 0.5
    assert found.squares[7] / found.weight[7] > 0.2**2


# --- memory ----------------------------------------------------------------------------------------------


def test_memory_tells_noise_that_lasts_from_noise_that_does_not() -> None:
    lasting, fresh = [], []
    for seed in range(10):
        made = Made(seed, noise=0.0)
        chance = np.random.default_rng(100 + seed)
        shocks = chance.normal(0, 0.02, len(made.point))
        weather = np.zeros(len(made.point))
        for number in range(1, len(weather)):
            weather[number] = 0.7 * weather[number - 1] + shocks[number]
        # No curve that bends every 1.2 s can follow what changes within 0.05 s.
        lasting.append(fit(made.point, made.time_s / 50, made.rate + weather, alike(POINTS)).memory)
        fresh.append(fit(made.point, made.time_s / 50, made.rate + shocks, alike(POINTS)).memory)
    assert min(lasting) > 0.3
    assert abs(float(np.mean(fresh))) < 0.1


# --- few visits ------------------------------------------------------------------------------------------


def fitted(*visits: tuple[int, float], points: int = 3) -> Fit:
    """Visits a second apart, each (point, log throughput)."""
    return fit(
        np.array([point for point, _ in visits], dtype=np.intp),
        np.arange(1, len(visits) + 1, dtype=np.float64),
        np.array([rate for _, rate in visits]),
        alike(points),
    )


def test_a_point_without_a_visit_has_no_level_and_no_weight() -> None:
    found = fitted((0, 20.0), (2, 21.0))
    assert np.isnan(found.level[1])
    assert found.level[[0, 2]].tolist() == [20.0, 21.0]
    assert (found.weight[1], found.visits.tolist()) == (0, [1, 0, 1])
    assert np.isnan(Made(1).fit().level).sum() == 0


def test_one_visit_is_its_points_level() -> None:
    found = fitted((1, 22.5), points=2)
    assert found.level[1] == 22.5
    assert (found.noise, found.freedom, found.tail, found.memory) == (0.0, 0, 0.0, 0.0)
    assert found.drift.tolist() == [0.0]


def test_points_seen_once_get_no_say_in_the_drift() -> None:
    """Ever slower points, each seen once, are slow points; a steady reference between them leaves them so."""
    alone = fitted(*((point, 23.0 - point / 10) for point in range(30)), points=30)
    assert not alone.drift.any()
    visits = [visit for point in range(1, 30) for visit in ((0, 22.0), (point, 23.0 - point / 10))]
    beside = fitted(*visits, points=30)
    assert np.abs(beside.drift).max() < 1e-6
    assert beside.level[1:] == pytest.approx([23.0 - point / 10 for point in range(1, 30)], abs=1e-6)


def test_points_seen_once_do_not_change_what_the_others_say() -> None:
    made = Made(5, noise=0.01, drift=heat)
    place = 77
    many = np.insert(made.point, place, POINTS).astype(np.intp)
    time_s, rate = np.insert(made.time_s, place, made.time_s[place]), np.insert(made.rate, place, 30.0)
    found = fit(many, time_s, rate, alike(POINTS + 1))
    # Only the median over the visits has one more to be the median of.
    assert np.diff(np.delete(found.drift, place)) == pytest.approx(np.diff(made.fit().drift), abs=1e-9)
    assert found.noise == pytest.approx(made.fit().noise, rel=1e-9)


def test_a_once_visited_point_is_put_where_it_would_be_at_the_usual_level() -> None:
    made = Made(2, noise=0.001, repeats=9, drift=heat)
    last = int(np.flatnonzero(made.point != 0)[-1])
    once = made.point.copy()
    once[last] = POINTS
    rate = made.rate.copy()
    rate[last] = 22.0 + made.drift[last]
    assert fit(once, made.time_s, rate, alike(POINTS + 1)).level[POINTS] == pytest.approx(22.0, abs=0.01)


def test_when_all_visits_are_equal_all_is_still() -> None:
    found = fitted(*((number % 3, 21.0) for number in range(60)))
    assert found.level == pytest.approx([21.0] * 3, abs=1e-9)
    assert np.abs(found.drift).max() < 1e-9
    assert found.tail == pytest.approx(0, abs=1e-9)
    assert found.noise <= 1e-4
    assert found.memory == 0.0


def test_two_points_are_compared() -> None:
    chance = np.random.default_rng(1)
    visits = [(number % 2, 21.0 + number % 2 + chance.normal(0, 0.01)) for number in range(40)]
    found = fitted(*visits, points=2)
    assert found.level[1] - found.level[0] == pytest.approx(1.0, abs=0.01)
    assert (found.visits.tolist(), found.freedom) == ([20, 20], 14)


def test_where_nothing_is_repeated_the_noise_is_unknown() -> None:
    found = fitted((0, 20.0), (1, 21.0), (2, 20.5))
    assert (found.noise, found.freedom) == (0.0, 0)
    assert found.noise < GUESSED_NOISE


def test_visits_at_one_instant_are_fitted_too() -> None:
    found = fit(
        np.array([0, 0, 1, 1, 0, 1, 0], dtype=np.intp), np.zeros(7), np.array([1.0, 1, 2, 2, 1, 2, 1]), alike(2)
    )
    assert found.level == pytest.approx([1.0, 2.0], abs=1e-6)


# --- groups ----------------------------------------------------------------------------------------------


def grouped(*noises: float, seed: int = 1, repeats: int = 6) -> Fit:
    """Visits to forty points in equal groups, each with its own noise."""
    made = Made(seed, noise=0.0, repeats=repeats)
    group = (np.arange(POINTS) * len(noises) // POINTS).astype(np.intp)
    spread = np.array(noises)[group[made.point]]
    made.rate = made.rate + made.chance.normal(0, 1, len(made.rate)) * spread
    return fit(made.point, made.time_s, made.rate, group)


def test_a_noisier_group_has_its_own_noise() -> None:
    found = [grouped(0.002, 0.002, 0.002, 0.03, seed=seed).group_noise for seed in range(8)]
    noisy, calm = np.array([each[-1] for each in found]), np.array([each[0] for each in found])
    assert float(noisy.mean()) == pytest.approx(0.03, rel=0.3)
    assert float(calm.mean()) < 0.006


def test_a_calm_group_is_not_believed_to_be_calmer_than_all_points_together() -> None:
    """By chance one of a few groups always seems to be: it would win by that."""
    for seed in range(8):
        found = grouped(0.0005, 0.02, 0.02, 0.02, seed=seed)
        assert found.group_noise.min() >= found.noise


def test_a_group_that_was_seldom_repeated_has_the_noise_of_all() -> None:
    made = Made(1, noise=0.01)
    group = np.zeros(POINTS, dtype=np.intp)
    group[:1] = 1
    few = np.flatnonzero(made.point != 0)
    found = fit(made.point[few], made.time_s[few], made.rate[few], group)
    assert found.visits[0] == 0
    assert found.group_noise[0] == found.noise
    assert found.group_noise == pytest.approx(np.full(POINTS, found.noise), rel=0.1)


def test_a_group_with_two_modes_is_as_noisy_as_their_distance() -> None:
    """A single thread that runs now on one core and now on another: by its usual noise its lucky mode would win."""
    noise = []
    for seed in range(8):
        made = Made(seed, noise=0.002, repeats=8)
        group = (np.arange(POINTS) * 2 // POINTS).astype(np.intp)
        slow = (group[made.point] == 1) & (made.chance.random(len(made.point)) < 0.4)
        made.rate = np.where(slow, made.rate - 0.1, made.rate)
        found = fit(made.point, made.time_s, made.rate, group)
        noise.append(float(found.group_noise[-1]))
        assert found.group_noise[0] < 0.02
    assert np.median(noise) > 0.03


def test_where_nothing_is_repeated_the_groups_noise_is_guessed() -> None:
    assert fitted((0, 20.0), (1, 21.0), (2, 20.5)).group_noise.tolist() == [GUESSED_NOISE] * 3
