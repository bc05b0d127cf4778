from __future__ import annotations

import math
import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned import stats
from aio_tuned.model import DEFAULT_SETTING, Curve, Point, PointStats
from unit.builders import MIB, SMALL_GRID, phase, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model import Sample, Setting

# Two-sided quantiles from the usual tables.
TABLE = {
    1: (12.7062, 63.6567),
    2: (4.30265, 9.92484),
    3: (3.18245, 5.84091),
    5: (2.57058, 4.03214),
    10: (2.22814, 3.16927),
    30: (2.04227, 2.75000),
    100: (1.98397, 2.62589),
}


@pytest.mark.parametrize("freedom", TABLE)
@pytest.mark.parametrize(("confidence", "column", "tolerance"), [(0.95, 0, 0.006), (0.99, 1, 0.02)])
def test_student_t_is_the_tables(freedom: int, confidence: float, column: int, tolerance: float) -> None:
    within = 1e-5 if freedom <= 2 else tolerance
    assert stats.student_t(confidence, freedom) == pytest.approx(TABLE[freedom][column], rel=within)


def test_student_t_falls_towards_the_normal() -> None:
    values = [stats.student_t(0.95, freedom) for freedom in (1, 2, 3, 4, 5, 8, 20, 100, 10**6)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(1.95996, rel=1e-4)


# --- taint -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visit", "tainted"),
    [
        (sample(), ""),
        (sample(verdict="cache"), "served from a cache"),
        (sample(foreign_bytes=64 * MIB * 4 // 100), ""),
        (sample(foreign_bytes=64 * MIB * 6 // 100), "others used the device"),
        (sample(direction="write", foreign_bytes=64 * MIB * 6 // 100), "others used the device"),
        (sample(verdict="unknown"), ""),
        (sample(verdict="unknown", foreign_bytes=64 * MIB), ""),
        (sample(foreign_bytes=-64 * MIB, verdict="unknown"), ""),
    ],
)
def test_what_taints_a_visit(visit: Sample, tainted: str) -> None:
    assert stats.taint(visit) == tainted
    assert stats.clean([visit, sample()]) == ([sample()] if tainted else [visit, sample()])


# --- the curve -------------------------------------------------------------------------------------------

POINTS = phase().points
A, B = POINTS[0].setting, POINTS[1].setting


def visits(which: Setting, *speeds: float) -> list[Sample]:
    return [sample(which, speed) for speed in speeds]


def of(found: Curve, which: Setting) -> PointStats:
    return next(point for point in found.points if point.point.setting == which)


def test_a_point_without_a_sample_is_not_in_the_curve() -> None:
    found = stats.curve(phase(), visits(A, 1e9))
    assert [point.point.setting for point in found.points] == [A]
    assert found.planned == len(POINTS)
    assert found.reference is None
    assert stats.curve(phase(), []).points == ()


def test_tainted_and_calibration_visits_and_other_transfer_sizes_do_not_count() -> None:
    good = [*visits(A, 1e9, 1.01e9), *visits(B, 2e9)]
    bad = [
        sample(A, 9e9, verdict="cache"),
        sample(A, 9e9, foreign_bytes=64 * MIB),
        sample(A, 9e9, purpose="calibrate"),
        sample(A, 9e9, transfer_bytes=16 * MIB),
    ]
    mixed = [bad[0], *good, *bad[1:]]
    assert stats.curve(phase(), mixed).points == stats.curve(phase(), good).points
    assert stats.curve(phase(), mixed).noise == stats.curve(phase(), good).noise
    assert stats.curve(phase(), bad).points == ()


def test_samples_count_for_the_point_whatever_alias_was_asked_for() -> None:
    deep, deeper = setting(depth=64), setting(depth=100)
    one = phase(points=(Point(setting=deep, aliases=(deep, deeper)),))
    assert stats.curve(one, [sample(deep, 1e9), sample(deeper, 1e9)]).points[0].visits == 2


def test_the_point_lies_in_its_interval_and_is_the_geometric_mean() -> None:
    point = of(stats.curve(phase(), visits(A, 1e9, 4e9)), A)
    assert point.bytes_per_s == pytest.approx(2e9)
    assert point.low_bytes_per_s < 2e9 < point.high_bytes_per_s
    assert point.visits == 2


def test_the_latency_is_the_median_of_the_visits() -> None:
    taken = [sample(A, latency_p99_ns=ns) for ns in (3_000_000, 1_000_000, 2_000_000)]
    assert of(stats.curve(phase(), taken), A).latency_p99_us == 2000.0


def test_the_processor_time_is_that_of_all_bytes() -> None:
    made = [replace(sample(A, 1e9, number=number), cpu_ns=cpu_ns) for number, cpu_ns in ((1, 30_000_000), (2, 0))]
    tainted = replace(sample(A, verdict="cache"), cpu_ns=10**12)
    found = of(stats.curve(phase(), [*made, tainted]), A)
    assert found.cpu_s_per_gb == pytest.approx(0.03 / (2 * 64 * MIB / 1e9))
    assert of(stats.curve(phase(), [sample(A)]), A).cpu_s_per_gb == 0


def test_more_visits_narrow_the_interval() -> None:
    few = of(stats.curve(phase(), [*visits(A, 1e9, 1.02e9), *visits(B, 1e9, 1.02e9)]), A)
    many = of(stats.curve(phase(), [*visits(A, *[1e9, 1.02e9] * 8), *visits(B, 1e9, 1.02e9)]), A)
    assert many.high_bytes_per_s - many.low_bytes_per_s < 0.5 * (few.high_bytes_per_s - few.low_bytes_per_s)


def test_one_visit_is_never_sure() -> None:
    point = of(stats.curve(phase(), visits(A, 1e9)), A)
    assert point.low_bytes_per_s < 0.9e9
    assert point.high_bytes_per_s > 1.1e9


@pytest.mark.parametrize("most", [2, 4, 8])
def test_the_interval_covers_the_truth_as_often_as_it_says(most: int) -> None:
    """At least 2000 intervals: points of 2 to `most` visits, with the reference in between, as a sweep leaves them."""
    chance = random.Random(7)
    covered = total = 0
    for _ in range(130):
        taken = []
        truth = {point.setting: chance.uniform(1e9, 7e9) for point in POINTS}
        for which, speed in truth.items():
            count = chance.randint(2, most)
            taken += visits(which, *(speed * math.exp(chance.gauss(0, 0.02)) for _ in range(count)))
        for point in stats.curve(phase(), taken).points:
            total += 1
            covered += point.low_bytes_per_s <= truth[point.point.setting] <= point.high_bytes_per_s
    assert total >= 2000
    assert 0.93 <= covered / total <= 0.98


def test_the_interval_of_a_single_visit_covers_the_truth_by_the_references_noise() -> None:
    chance = random.Random(11)
    covered = total = 0
    for _ in range(130):
        taken = [sample(DEFAULT_SETTING, 3e9 * math.exp(chance.gauss(0, 0.02)), purpose="reference") for _ in range(20)]
        others = [point.setting for point in POINTS]
        taken += [sample(which, 2e9 * math.exp(chance.gauss(0, 0.02))) for which in others]
        points = stats.curve(phase(), taken).points
        total += len(points)
        covered += sum(point.low_bytes_per_s <= 2e9 <= point.high_bytes_per_s for point in points)
    assert total >= 2000
    assert 0.92 <= covered / total <= 0.98


def noise_of(sd: float, seed: int, spoil: int = 0) -> float:
    chance = random.Random(seed)
    taken = [sample(point.setting, 5e9 * math.exp(chance.gauss(0, sd))) for point in POINTS for _ in range(5)]
    for number in range(spoil):
        stalled = taken[number * 5]
        taken[number * 5] = sample(stalled.request.setting, stalled.bytes_per_s / 20)
    return stats.curve(phase(), taken).noise


@pytest.mark.parametrize("sd", [0.003, 0.02, 0.1])
def test_the_noise_is_the_standard_deviation_between_visits(sd: float) -> None:
    found = [noise_of(sd, seed) for seed in range(20)]
    assert sum(found) / len(found) == pytest.approx(sd, rel=0.12)


def test_a_stalled_visit_does_not_move_the_noise_of_all() -> None:
    plain = sum(noise_of(0.01, seed) for seed in range(10))
    assert sum(noise_of(0.01, seed, spoil=1) for seed in range(10)) < 1.5 * plain


def test_no_repeated_visit_no_noise() -> None:
    assert stats.curve(phase(), [*visits(A, 1e9), *visits(B, 2e9)]).noise == 0.0


# --- drift -----------------------------------------------------------------------------------------------


def drifting(change: float, count: int = 41, noise: float = 0.0, outlier: float = 1.0) -> Curve:
    """The reference every second while the drive's speed changes by `change` over all."""
    chance = random.Random(3)
    taken = []
    for number in range(count):
        speed = 3e9 * math.exp(math.log1p(change) * (number + 1) / count + chance.gauss(0, noise))
        if number == count - 2:
            speed *= outlier
        taken.append(sample(DEFAULT_SETTING, speed, purpose="reference", wall_ns=1_000_000_000))
    return stats.curve(phase(), taken)


@pytest.mark.parametrize("change", [-0.6, -0.1, 0.0, 0.02, 0.5])
def test_the_drift_is_found_with_its_sign(change: float) -> None:
    assert drifting(change).drift == pytest.approx(change, abs=1e-6)
    assert drifting(change, noise=0.01).drift == pytest.approx(change, abs=0.012)


@pytest.mark.parametrize("outlier", [0.1, 10.0])
def test_one_outlier_does_not_make_a_drift(outlier: float) -> None:
    assert drifting(0.0, noise=0.005, outlier=outlier).drift == pytest.approx(0.0, abs=0.008)
    assert drifting(-0.3, noise=0.005, outlier=outlier).drift == pytest.approx(-0.3, abs=0.01)


def test_the_drift_is_over_the_whole_phase_also_where_the_reference_is_rare() -> None:
    """Other visits take their time too: a third of the phase between any two of three reference visits."""
    taken = []
    for speed in (3e9, 2.7e9, 2.43e9):
        taken += [sample(B, 1e9, wall_ns=9_000_000_000) for _ in range(1)]
        taken.append(sample(DEFAULT_SETTING, speed, purpose="reference", wall_ns=1_000_000_000))
    assert stats.curve(phase(), taken).drift == pytest.approx(0.9**3 - 1, rel=1e-6)


def test_under_three_reference_visits_there_is_no_drift() -> None:
    assert drifting(-0.5, count=2).drift == 0.0
    assert drifting(-0.5, count=3).drift != 0.0


def test_the_reference_need_not_be_in_the_grid() -> None:
    other = setting(block=2 * MIB, depth=2)
    one = replace(phase(), reference=Point(setting=other, aliases=(other,)))
    found = stats.curve(one, [sample(other, 3e9, purpose="reference"), *visits(A, 1e9)])
    assert found.reference is not None
    assert found.reference.bytes_per_s == pytest.approx(3e9)
    assert len(found.points) == 1


# --- types -----------------------------------------------------------------------------------------------


def test_nothing_of_numpy_gets_out() -> None:
    found = stats.curve(
        phase(SMALL_GRID),
        [sample(point.setting, 1e9 + number, purpose="reference") for number, point in enumerate(POINTS * 3)],
    )
    numbers = [found.noise, found.drift]
    for point in found.points:
        numbers += [getattr(point, item.name) for item in fields(point) if item.name not in ("point", "visits")]
        assert type(point.visits) is int
    assert {type(number) for number in numbers} == {float}
    assert all(type(stats.student_t(0.95, freedom)) is float for freedom in (1, 2, 3))
