from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.rounds import Reference, levels, pairs, regrets, single_visits, values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TRUE = np.log([1.0, 4.0, 2.0, 3.0, 3.98])


def rounds(count: int, noise: float, true: Floats = TRUE, seed: int = 1) -> Floats:
    dice = np.random.default_rng(seed)
    drift = np.linspace(0, -1, count)[:, None]
    found: Floats = true + drift + noise * dice.standard_normal((count, len(true)))
    return found


def test_without_noise_everything_is_exact_whatever_the_drift() -> None:
    found = Reference(rounds(6, 0))
    assert values(found.logs) - values(found.logs)[0] == pytest.approx(TRUE - TRUE[0])
    assert np.diff(levels(found.logs)) == pytest.approx(-0.2)
    assert [found.regret(at).value for at in range(5)] == pytest.approx([0.75, 0, 0.5, 0.25, 0.005])
    assert [found.regret(at).error for at in range(5)] == pytest.approx([0] * 5, abs=1e-12)
    assert found.below_highest([1, 3]) == pytest.approx(0.125)
    assert found.mean_regret([1, 2]).value == pytest.approx(0.25)
    assert found.alike(1, 4)
    assert not found.alike(1, 3)


def test_among_equals_nothing_is_lost_though_the_highest_value_seems_better() -> None:
    lost = [regrets(rounds(10, 0.1, np.zeros(100), seed)).mean() for seed in range(40)]
    # One such mean is off by the noise of the best point's median over ten rounds, 0.1 * 1.25 / sqrt(10), at most.
    assert abs(np.mean(lost)) < 3 * 0.04 / np.sqrt(40)
    assert Reference(rounds(10, 0.1, np.zeros(100))).below_highest(range(100)) > 0.05


def test_the_errors_are_what_repeating_the_rounds_would_show() -> None:
    many = [Reference(rounds(20, 0.05, seed=seed)) for seed in range(30)]
    for at in (0, 3):
        scatter = np.std([found.regret(at).value for found in many])
        claimed = np.mean([found.regret(at).error for found in many])
        assert claimed == pytest.approx(scatter, rel=0.4)
    scatter = np.std([found.values[0] - found.values[2] for found in many])
    assert np.hypot(many[0].value_errors[0], many[0].value_errors[2]) == pytest.approx(scatter, rel=0.6)


def test_a_round_is_held_against_the_others() -> None:
    logs = rounds(8, 0)
    logs[2, 0] = 9.0
    found = single_visits(logs)
    assert found.chosen == (1, 1, 0, 1, 1, 1, 1, 1)
    assert found.regrets == pytest.approx((0, 0, 0.75, 0, 0, 0, 0, 0))


def test_three_rounds_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        Reference(rounds(3, 0))


def test_pairs() -> None:
    assert pairs([5, 6, 5]) == [(5, 6), (5, 5), (6, 5)]
