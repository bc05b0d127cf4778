"""What neighbours say of a point: it helps where throughput is smooth, and does no harm where it is not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from aio_tuned.config.load import Config
from aio_tuned.search.grid import settings
from aio_tuned.search.smoothing import smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SETTINGS = [which for which in settings(Config().grid) if which.overlap_events and which.block_size >= 1 << 18]
COUNT = len(SETTINGS)
NEVER = np.zeros(COUNT, dtype=np.bool_)
ERROR = 0.01


def hill(height: float = 0.04) -> Floats:
    """A plateau that falls off to shallow queues and few threads: log bytes/s."""
    return np.array(
        [
            22.0
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
    """Points that have nothing to do with each other."""
    found: Floats = 22.0 + chance.normal(0, own, COUNT)
    return found


def rms(values: Floats) -> float:
    return math.sqrt(float((values**2).mean()))


def coverage(truths: list[Floats], seed: int, error: float = ERROR) -> float:
    chance = np.random.default_rng(seed)
    inside = []
    for truth in truths:
        values, errors = smooth(SETTINGS, truth + chance.normal(0, error, COUNT), np.full(COUNT, error), NEVER)
        inside.append(np.abs(values - truth) <= 1.96 * errors)
    return float(np.concatenate(inside).mean())


def test_on_a_smooth_surface_the_errors_become_smaller_and_truly_so() -> None:
    truth = hill()
    raw, smoothed, said = [], [], []
    for seed in range(20):
        values = truth + np.random.default_rng(seed).normal(0, ERROR, COUNT)
        found, errors = smooth(SETTINGS, values, np.full(COUNT, ERROR), NEVER)
        raw.append(values - truth)
        smoothed.append(found - truth)
        said.append(errors)
    assert rms(np.concatenate(smoothed)) < 0.6 * rms(np.concatenate(raw))
    assert float(np.concatenate(said).mean()) < 0.7 * ERROR
    assert float(np.concatenate(said).max()) <= ERROR


def test_on_a_smooth_surface_the_errors_cover_the_truth() -> None:
    assert 0.9 <= coverage([hill()] * 20, seed=1) <= 0.995


def test_a_rough_surface_is_left_alone() -> None:
    chance = np.random.default_rng(4)
    truth = rough(chance, 0.03)
    values = truth + chance.normal(0, 0.002, COUNT)
    found, errors = smooth(SETTINGS, values, np.full(COUNT, 0.002), NEVER)
    assert np.abs(found - values).max() < 0.002
    assert errors.mean() > 0.9 * 0.002


@pytest.mark.parametrize("own", [0.003, 0.03])
def test_on_a_rough_surface_the_errors_cover_the_truth_too(own: float) -> None:
    chance = np.random.default_rng(7)
    assert 0.88 <= coverage([rough(chance, own) for _ in range(20)], seed=2, error=0.005) <= 0.995


def test_well_known_points_stay_where_they_are() -> None:
    """Where the errors are unequal those move that are badly known."""
    truth, chance = hill(), np.random.default_rng(3)
    errors = np.where(np.arange(COUNT) % 2 == 0, 0.0005, 0.02)
    values = truth + chance.normal(0, 1, COUNT) * errors
    found, left = smooth(SETTINGS, values, errors, NEVER)
    moved = np.abs(found - values)
    assert moved[::2].max() < 0.0025
    assert rms((found - truth)[1::2]) < 0.5 * rms((values - truth)[1::2])
    assert left[1::2].mean() < 0.6 * 0.02


@pytest.mark.parametrize("away", [-0.2, 0.2])
def test_an_odd_visit_is_contradicted(away: float) -> None:
    """And only where the point is one that may be odd: a point that is well known stays."""
    place = 37
    truth = hill()
    values = truth + np.random.default_rng(5).normal(0, 0.003, COUNT)
    values[place] += away
    errors = np.full(COUNT, 0.003)
    suspected = NEVER.copy()
    suspected[place] = True
    believed, _ = smooth(SETTINGS, values, errors, NEVER)
    found, left = smooth(SETTINGS, values, errors, suspected)
    assert abs(found[place] - truth[place]) < 0.05
    assert abs(believed[place] - truth[place]) > 0.15
    assert left[place] > np.median(left)
    others = np.delete(np.arange(COUNT), place)
    assert rms((found - truth)[others]) < rms((believed - truth)[others]) + 1e-4


def test_a_visit_that_agrees_is_not_contradicted_whoever_is_suspected() -> None:
    values = hill() + np.random.default_rng(6).normal(0, 0.003, COUNT)
    errors = np.full(COUNT, 0.003)
    quiet = smooth(SETTINGS, values, errors, NEVER)
    suspected = smooth(SETTINGS, values, errors, ~NEVER)
    assert rms(suspected[0] - quiet[0]) < 0.001


@pytest.mark.parametrize("count", [1, 5])
def test_fewer_than_six_points_are_as_they_are(count: int) -> None:
    values, errors = hill()[:count] + np.arange(count), np.full(count, ERROR)
    found, left = smooth(SETTINGS[:count], values, errors, ~NEVER[:count])
    assert found.tolist() == values.tolist()
    assert left.tolist() == errors.tolist()


def test_six_points_are_enough() -> None:
    values, errors = hill()[:6] + np.arange(6) % 2 * 0.01, np.full(6, ERROR)
    found, left = smooth(SETTINGS[:6], values, errors, NEVER[:6])
    assert found.tolist() != values.tolist()
    assert left.max() < ERROR


def test_equal_points_stay_equal() -> None:
    found, left = smooth(SETTINGS, np.full(COUNT, 22.0), np.full(COUNT, 1e-4), NEVER)
    assert found == pytest.approx(np.full(COUNT, 22.0), abs=1e-6)
    assert np.isfinite(left).all()
    assert left.max() <= 1e-4
