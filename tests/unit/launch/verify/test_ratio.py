"""The interval of a ratio has its 95 % although the number of pairs depends on what was measured."""

from __future__ import annotations

import math
import random
import statistics
from typing import TYPE_CHECKING

import pytest

from aio_tuned.launch.verify.ratio import MAX_HALF_WIDTH, PILOT, Ratio, mean_of, pairs_needed, ratio_of
from aio_tuned.search.estimate import student_t

if TYPE_CHECKING:
    from collections.abc import Callable

TRUE = math.log(1.1)
RUNS = 2000
# Three standard errors of a share of 95 % in RUNS runs.
ERROR = 3 * math.sqrt(0.95 * 0.05 / RUNS)


def compared(draw: Callable[[], float], most: int = 10_000) -> Ratio:
    """The result of a comparison with pairs of these differences; the budget allows `most` pairs."""
    found: list[float] = []
    while len(found) < min(most, pairs_needed(found)):
        found.append(TRUE + draw())
    return ratio_of(found)


def coverage(draw: Callable[[], float], most: int = 10_000) -> float:
    inside = 0
    for _ in range(RUNS):
        low, high = compared(draw, most).ci95
        inside += low <= 1.1 <= high
    return inside / RUNS


@pytest.mark.parametrize("spread", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("most", [6, 14, 10_000])
def test_the_interval_has_its_95_percent_wherever_measuring_ends(spread: float, most: int) -> None:
    dice = random.Random(f"{spread} {most}")
    # The quantile of t is too large by 0.6 % at most, which adds 0.1 %.
    assert coverage(lambda: dice.gauss(0, spread), most) == pytest.approx(0.95, abs=ERROR + 0.001)


def test_the_interval_has_its_95_percent_with_heavy_tails_too() -> None:
    dice = random.Random(1)

    def draw() -> float:
        # A measurement in ten is disturbed and three times as far away.
        return dice.gauss(0, 0.12 if dice.random() < 0.1 else 0.04)

    assert coverage(draw) > 0.935


def test_the_mean_of_reads_and_writes_has_its_95_percent() -> None:
    dice = random.Random(2)
    inside = 0
    for _ in range(RUNS):
        low, high = mean_of(compared(lambda: dice.gauss(0, 0.02)), compared(lambda: dice.gauss(0, 0.08))).ci95
        inside += low <= 1.1 <= high
    assert inside / RUNS == pytest.approx(0.95, abs=ERROR + 0.003)


def test_stopping_at_the_first_narrow_interval_would_not_have_its_95_percent() -> None:
    """Why the number of pairs is decided once."""
    dice = random.Random(3)
    inside = 0
    for _ in range(RUNS):
        found = [TRUE + dice.gauss(0, 0.06) for _ in range(3)]
        half = math.inf
        while half > MAX_HALF_WIDTH:
            found.append(TRUE + dice.gauss(0, 0.06))
            half = student_t(0.95, len(found) - 1) * statistics.stdev(found) / math.sqrt(len(found))
        inside += abs(statistics.fmean(found) - TRUE) <= half
    assert inside / RUNS < 0.94


def test_the_pilot_alone_decides_the_number_of_pairs() -> None:
    pilot = [0.1, 0.12, 0.08, 0.11, 0.09, 0.13, 0.07, 0.1, 0.12, 0.08]
    assert pairs_needed(pilot[:9]) == PILOT
    wanted = pairs_needed(pilot)
    assert pairs_needed([*pilot, 5.0, -5.0]) == wanted
    assert pairs_needed([difference + 1 for difference in pilot]) == wanted


def test_with_the_needed_pairs_the_interval_is_narrow_enough() -> None:
    dice = random.Random(4)
    for spread in (0.01, 0.05, 0.2):
        found = compared(lambda spread=spread: dice.gauss(0, spread))  # type: ignore[misc]  # a default as a closure
        assert found.precise
        assert not ratio_of([TRUE + dice.gauss(0, 1) for _ in range(12)]).precise


def test_a_ratio_is_that_of_its_pairs() -> None:
    found = ratio_of([math.log(1.2)] * 12)
    assert found.ratio == pytest.approx(1.2)
    assert (found.pairs, found.precise) == (12, True)
    assert found.ci95 == pytest.approx((1.2, 1.2))
    both = mean_of(found, ratio_of([math.log(1.0)] * 12))
    assert both.ratio == pytest.approx(math.sqrt(1.2))
