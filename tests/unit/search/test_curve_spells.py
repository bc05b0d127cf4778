"""Slow spells in the measurements of a curve, which cover whole blocks of them."""

from __future__ import annotations

import numpy as np
import pytest

from aio_tuned.search import curve_spells

POINTS, BLOCKS = 10, 6


def measured(slow: dict[int, float], noise: float, seed: int, *, strain: float = 1.0) -> tuple[float, float]:
    """Return the errors of what was found to be lost: in the slow blocks, and at most in the others.

    Each block measures each point once, in which a slow one loses its share.
    """
    random = np.random.default_rng(seed)
    point, block = np.tile(np.arange(POINTS), BLOCKS), np.repeat(np.arange(BLOCKS), POINTS)
    taken = np.array([slow.get(each, 0.0) for each in range(BLOCKS)])[block]
    level = random.normal(20, 2, POINTS)[point]
    rate = level + taken * strain + random.normal(0, noise, len(point))
    found = curve_spells.lost(point, block, rate, np.full(len(point), strain))
    off = np.abs(found - taken * strain)
    return float(off[taken < 0].max(initial=0.0)), float(off[taken == 0].max(initial=0.0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.005, 0.02])
@pytest.mark.parametrize(
    "slow", [{0: -0.16}, {1: -0.16, 4: -0.25}, dict.fromkeys((0, 1, 2, 3), -0.26)], ids=["one", "two", "most"]
)
def test_what_a_spell_takes_is_found(slow: dict[int, float], noise: float, seed: int) -> None:
    in_spells, elsewhere = measured(slow, noise, seed)
    assert in_spells < max(0.01, 2 * noise)
    assert elsewhere == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_small_drifts_are_no_spells(seed: int) -> None:
    assert measured({}, 0.03, seed) == (0.0, 0.0)
    assert measured({2: -0.02}, 0.005, seed)[1] == 0.0


def test_what_waits_for_latencies_loses_less() -> None:
    assert measured({3: -0.3}, 0.005, 1, strain=0.5)[0] < 0.02


def test_blocks_without_a_common_point_tell_nothing() -> None:
    point = np.arange(6)
    rate = np.array([20.0, 20.0, 20.0, 19.0, 19.0, 19.0])
    assert not curve_spells.lost(point, point // 3, rate, np.ones(6)).any()
    assert not curve_spells.lost(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), np.zeros(0)).any()


def test_blocks_follow_the_time_of_the_measurements() -> None:
    at_s = np.array([0.0, 0.1, 5.0, 0.29, 5.2, 0.35])
    assert curve_spells.blocks(at_s).tolist() == [0, 0, 2, 0, 2, 1]
