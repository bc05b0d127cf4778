from __future__ import annotations

import math
import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.measurement import Point
from aio_tuned.model.setting import DEFAULT_SETTING, Grid
from aio_tuned.search import estimate
from aio_tuned.search.taint import clean_samples, taint_reason
from unit.support.builders import MIB, SMALL_GRID, phase, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model.curve import Curve, PointStats
    from aio_tuned.model.measurement import Phase, Purpose, Sample, Stage
    from aio_tuned.model.setting import Setting

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
    assert estimate.student_t(confidence, freedom) == pytest.approx(TABLE[freedom][column], rel=within)


def test_student_t_falls_towards_the_normal() -> None:
    values = [estimate.student_t(0.95, freedom) for freedom in (1, 2, 3, 4, 5, 8, 20, 100, 10**6)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(1.95996, rel=1e-4)


# --- taint -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visit", "tainted"),
    [
        (sample(), ""),
        (sample(verdict="cache"), "served from a cache"),
        (sample(foreign_bytes=64 * MIB * 4 // 100), ""),
        (sample(foreign_bytes=64 * MIB * 6 // 100), "other processes used the drive"),
        (sample(direction="write", foreign_bytes=64 * MIB * 6 // 100), "other processes used the drive"),
        (replace(sample(), neighbour_bytes=64 * MIB * 4 // 100), ""),
        (replace(sample(), neighbour_bytes=64 * MIB * 6 // 100), "other processes used another namespace of the drive"),
        (
            replace(sample(verdict="unknown"), neighbour_bytes=64 * MIB),
            "other processes used another namespace of the drive",
        ),
        (sample(verdict="unknown"), ""),
        (sample(verdict="unknown", foreign_bytes=64 * MIB), ""),
        (sample(foreign_bytes=-64 * MIB, verdict="unknown"), ""),
    ],
)
def test_what_taints_a_visit(visit: Sample, tainted: str) -> None:
    assert taint_reason(visit) == tainted
    assert clean_samples([visit, sample()]) == ([sample()] if tainted else [visit, sample()])


# --- the curve -------------------------------------------------------------------------------------------

POINTS = phase().points
A, B = POINTS[0].setting, POINTS[1].setting
WIDE = phase(
    Grid(
        block_size=(256 << 10, MIB // 2, MIB),
        queue_depth=(4, 8, 32),
        io_parallelism=(1, 4),
        overlap_events=(True, False),
        single_submit=(False, True),
    )
)


def visits(which: Setting, *speeds: float) -> list[Sample]:
    return [sample(which, speed) for speed in speeds]


def of(found: Curve, which: Setting) -> PointStats:
    return next(point for point in found.points if point.point.setting == which)


def test_a_point_without_a_sample_is_not_in_the_curve() -> None:
    found = estimate.curve(phase(), visits(A, 1e9))
    assert [point.point.setting for point in found.points] == [A]
    assert found.planned == len(POINTS)
    assert found.reference is None
    assert estimate.curve(phase(), []).points == ()


def test_tainted_and_calibration_visits_and_other_transfer_sizes_do_not_count() -> None:
    good = [*visits(A, 1e9, 1.01e9), *visits(B, 2e9)]
    bad = [
        sample(A, 9e9, verdict="cache"),
        sample(A, 9e9, foreign_bytes=64 * MIB),
        sample(A, 9e9, purpose="calibrate"),
        sample(A, 9e9, transfer_bytes=16 * MIB),
    ]
    mixed = [bad[0], *good, *bad[1:]]
    assert estimate.curve(phase(), mixed).points == estimate.curve(phase(), good).points
    assert estimate.curve(phase(), mixed).noise == estimate.curve(phase(), good).noise
    assert estimate.curve(phase(), bad).points == ()


def test_samples_count_for_the_point_whatever_alias_was_asked_for() -> None:
    deep, deeper = setting(depth=64), setting(depth=100)
    one = phase(points=(Point(setting=deep, aliases=(deep, deeper)),))
    assert estimate.curve(one, [sample(deep, 1e9), sample(deeper, 1e9)]).points[0].visits == 2


def test_the_point_lies_in_its_interval_and_is_the_geometric_mean() -> None:
    point = of(estimate.curve(phase(), visits(A, 1e9, 4e9)), A)
    assert point.bytes_per_s == pytest.approx(2e9)
    assert point.low_bytes_per_s < 2e9 < point.high_bytes_per_s
    assert point.visits == 2


@pytest.mark.parametrize("apart", [1e2, 1e6])
def test_visits_that_agree_on_nothing_bound_no_more_than_a_link_could_carry(apart: float) -> None:
    """Two visits of a factor of 100 have an interval up to 1e24 B/s, which no profile can hold."""
    for speeds in ((1e9, 1e9 / apart), (1e9 / apart, 1e9, 1e9 / apart)):
        found = of(estimate.curve(phase(), visits(A, *speeds)), A)
        assert 0 <= found.low_bytes_per_s <= found.bytes_per_s <= found.high_bytes_per_s <= 1e12


def test_the_latency_is_the_median_of_the_visits() -> None:
    taken = [sample(A, latency_p99_ns=ns) for ns in (3_000_000, 1_000_000, 2_000_000)]
    assert of(estimate.curve(phase(), taken), A).latency_p99_us == 2000.0


def test_the_processor_time_is_that_of_all_bytes() -> None:
    made = [replace(sample(A, 1e9, number=number), cpu_ns=cpu_ns) for number, cpu_ns in ((1, 30_000_000), (2, 0))]
    tainted = replace(sample(A, verdict="cache"), cpu_ns=10**12)
    found = of(estimate.curve(phase(), [*made, tainted]), A)
    assert found.cpu_s_per_gb == pytest.approx(0.03 / (2 * 64 * MIB / 1e9))
    assert of(estimate.curve(phase(), [sample(A)]), A).cpu_s_per_gb == 0


def test_more_visits_narrow_the_interval() -> None:
    few = of(estimate.curve(phase(), [*visits(A, 1e9, 1.02e9), *visits(B, 1e9, 1.02e9)]), A)
    many = of(estimate.curve(phase(), [*visits(A, *[1e9, 1.02e9] * 8), *visits(B, 1e9, 1.02e9)]), A)
    assert many.high_bytes_per_s - many.low_bytes_per_s < 0.5 * (few.high_bytes_per_s - few.low_bytes_per_s)


def test_one_visit_is_never_sure() -> None:
    point = of(estimate.curve(phase(), visits(A, 1e9)), A)
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
        for point in estimate.curve(phase(), taken).points:
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
        points = estimate.curve(phase(), taken).points
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
    return estimate.curve(phase(), taken).noise


@pytest.mark.parametrize("sd", [0.003, 0.02, 0.1])
def test_the_noise_is_the_standard_deviation_between_visits(sd: float) -> None:
    found = [noise_of(sd, seed) for seed in range(20)]
    assert sum(found) / len(found) == pytest.approx(sd, rel=0.12)


def test_a_stalled_visit_does_not_move_the_noise_of_all() -> None:
    plain = sum(noise_of(0.01, seed) for seed in range(10))
    assert sum(noise_of(0.01, seed, spoil=1) for seed in range(10)) < 1.5 * plain


def test_no_repeated_visit_no_noise() -> None:
    assert estimate.curve(phase(), [*visits(A, 1e9), *visits(B, 2e9)]).noise == 0.0


# --- drift -----------------------------------------------------------------------------------------------


def drifting(change: float, noise: float = 0.001, outlier: float = 1.0) -> Curve:
    """Every point of WIDE four times, and the reference every eighth visit, while the speed changes by `change`."""
    chance = random.Random(3)
    order = [point.setting for point in WIDE.points] * 4
    chance.shuffle(order)
    asked = [which for number, each in enumerate(order) for which in ([each, DEFAULT_SETTING][: 1 + (number % 8 == 0)])]
    taken = []
    for number, which in enumerate(asked):
        speed = 3e9 * math.exp(math.log1p(change) * number / (len(asked) - 1) + chance.gauss(0, noise))
        if number == len(asked) - 20:
            speed *= outlier
        taken.append(sample(which, speed, wall_ns=200_000_000))
    return estimate.curve(WIDE, taken)


@pytest.mark.parametrize("change", [-0.3, -0.1, 0.0, 0.02, 0.3])
@pytest.mark.parametrize("noise", [0.001, 0.01])
def test_the_drift_is_found_with_its_sign(change: float, noise: float) -> None:
    assert drifting(change, noise).drift == pytest.approx(change, abs=2 * noise + 0.05 * abs(change))


@pytest.mark.parametrize("outlier", [0.1, 10.0])
def test_one_outlier_does_not_make_a_drift_nor_hide_one(outlier: float) -> None:
    assert drifting(0.0, 0.005, outlier).drift == pytest.approx(0.0, abs=0.01)
    assert drifting(-0.2, 0.005, outlier).drift == pytest.approx(-0.2, abs=0.02)


def test_with_under_four_repeats_there_is_no_drift() -> None:
    slowing = [sample(A, 4e9 - 4e8 * number, wall_ns=1_000_000_000) for number in range(5)]
    assert estimate.curve(phase(), slowing[:4]).drift == 0.0
    assert estimate.curve(phase(), slowing).drift < 0.0


def test_a_point_is_judged_by_those_around_it() -> None:
    """The drive has lost a fifth when B is visited: it is as fast as A was, and A is no slower than it was."""
    taken: list[Sample] = []
    for number in range(120):
        level = 1.0 if number < 60 else 0.8
        taken.append(sample(DEFAULT_SETTING, 3e9 * level, purpose="reference", wall_ns=1_000_000_000))
        which = A if number < 30 else POINTS[2].setting if number < 90 else B
        taken.append(sample(which, 2e9 * level, wall_ns=1_000_000_000))
    found = estimate.curve(phase(), taken)
    assert of(found, A).bytes_per_s == pytest.approx(of(found, B).bytes_per_s, rel=0.005)
    assert 0.8 * 2e9 * 0.995 <= of(found, A).bytes_per_s <= 2e9 * 1.005
    assert found.drift == pytest.approx(-0.2, abs=0.005)


def test_the_reference_need_not_be_in_the_grid() -> None:
    other = setting(block=2 * MIB, depth=2)
    one = replace(phase(), reference=Point(setting=other, aliases=(other,)))
    found = estimate.curve(one, [sample(other, 3e9, purpose="reference"), *visits(A, 1e9)])
    assert found.reference is not None
    assert found.reference.bytes_per_s == pytest.approx(3e9)
    assert len(found.points) == 1


# --- classes of threads ----------------------------------------------------------------------------------


def noisy(count: int, seed: int = 1, noise: float = 0.02, phase_: Phase = WIDE) -> list[Sample]:
    """That many visits to every point, in the plan's order again and again."""
    chance = random.Random(seed)
    return [
        sample(point.setting, 4e9 * math.exp(chance.gauss(0, noise)), number=number, wall_ns=20_000_000)
        for number, point in enumerate(phase_.points * count, start=1)
    ]


def test_a_noisier_class_of_threads_is_less_well_known() -> None:
    """Settings with a single thread may run on one core or another, and deviate more than the others."""
    chance = random.Random(2)
    taken = [
        sample(which, 4e9 * math.exp(chance.gauss(0, 0.06 if which.io_parallelism == 1 else 0.005)), wall_ns=10**7)
        for which in (point.setting for point in WIDE.points * 5)
    ]
    found = estimate.curve(WIDE, taken)
    errors = {
        threads: [p.error for p in found.points if p.point.setting.io_parallelism == threads] for threads in (1, 4)
    }
    assert sum(errors[1]) / len(errors[1]) > 4 * sum(errors[4]) / len(errors[4])


def test_the_other_directions_samples_take_time_and_nothing_else() -> None:
    """A curve gets all samples of the sweep."""
    own = noisy(3)
    mixed = [each for one in own for each in (one, replace(one, request=replace(one.request, direction="write")))]
    alone, beside = estimate.curve(WIDE, own), estimate.curve(WIDE, mixed)
    assert [point.visits for point in beside.points] == [point.visits for point in alone.points]
    assert [point.bytes_per_s for point in beside.points] == pytest.approx(
        [point.bytes_per_s for point in alone.points], rel=0.01
    )


@pytest.mark.parametrize(("stage", "purposes"), [("pass", ("reference", "pass")), ("race", ("repeat",))])
def test_each_stage_has_a_curve_of_its_own(stage: Stage, purposes: tuple[Purpose, ...]) -> None:
    every: tuple[Purpose, ...] = ("calibrate", "reference", "pass", "repeat", "sustain")
    taken = [sample(A, 1e9 * n, purpose=purpose, number=n) for n, purpose in enumerate(every, start=1)]
    found = estimate.curve(phase(stage=stage), taken)
    assert [point.visits for point in found.points] == [len(purposes)]


# --- cliffs ----------------------------------------------------------------------------------------------


WRITES = replace(WIDE, direction="write")


def phase_with_a_fall(
    fall: float, *, at: float, seconds: float = 60.0, back_after_s: float = math.inf, every: int = 8
) -> tuple[list[Sample], int]:
    """Samples of WIDE twice over with the reference in between, and how many of them were made before the fall."""
    chance = random.Random(5)
    asked: list[Setting] = []
    for number, point in enumerate(WIDE.points * 2):
        if number % every == 0:
            asked.append(DEFAULT_SETTING)
        asked.append(point.setting)
    wall_ns = int(seconds * 1e9 / len(asked))
    taken = []
    for number, which in enumerate(asked):
        now_s = number * wall_ns / 1e9
        fell_s = at * seconds
        speed = 4e9 * math.exp(chance.gauss(0, 0.01)) * (fall if fell_s <= now_s < fell_s + back_after_s else 1.0)
        purpose: Purpose = "reference" if which == DEFAULT_SETTING else "pass"
        taken.append(sample(which, speed, direction="write", number=number + 1, purpose=purpose, wall_ns=wall_ns))
    return taken, math.ceil(at * len(asked))


@pytest.mark.parametrize("at", [0.2, 0.4, 0.6, 0.7])
def test_a_cliff_is_found_and_where(at: float) -> None:
    taken, before = phase_with_a_fall(0.3, at=at)
    cliff = estimate.curve(WRITES, taken).cliff
    assert cliff is not None
    # It lies between two reference visits, nine apart; the bytes are those up to the first of them.
    assert (before - 10) * 64 * MIB <= cliff.after_bytes <= before * 64 * MIB
    assert cliff.before_bytes_per_s == pytest.approx(4e9, rel=0.02)
    assert cliff.behind_bytes_per_s == pytest.approx(1.2e9, rel=0.02)


@pytest.mark.parametrize(("at", "level"), [(0.1, 1.2e9), (0.2, 1.2e9), (0.3, 4e9), (0.6, 4e9), (0.7, 4e9)])
def test_the_side_with_half_of_the_points_makes_the_curve(at: float, level: float) -> None:
    """A quarter of the visits is half of the points: each is in the plan twice."""
    taken, _ = phase_with_a_fall(0.3, at=at)
    found = estimate.curve(WRITES, taken)
    assert len(found.points) >= len(WIDE.points) / 2
    assert all(point.bytes_per_s == pytest.approx(level, rel=0.05) for point in found.points)
    assert found.planned == len(WIDE.points)


def test_of_a_part_of_the_points_half_must_be_before_it() -> None:
    """A quarter of the points, all of them visited before the fall, some again behind it: what is before is kept."""
    few = replace(WRITES, sure_points=18)
    kept = {point.setting for point in WIDE.points[:18]} | {DEFAULT_SETTING}
    taken, _ = phase_with_a_fall(0.3, at=0.6, every=4)
    found = estimate.curve(few, [each for each in taken if each.request.setting in kept])
    assert found.cliff is not None
    assert {point.point.setting for point in found.points} == kept
    assert all(point.bytes_per_s == pytest.approx(4e9, rel=0.05) for point in found.points)


def test_a_slow_spell_is_no_cliff() -> None:
    """Two seconds at a third, in the midst and at the very end."""
    for at, seconds in ((0.5, 60.0), (0.97, 60.0), (0.5, 20.0), (0.9, 20.0)):
        taken, _ = phase_with_a_fall(0.3, at=at, seconds=seconds, back_after_s=2.0)
        assert estimate.curve(WRITES, taken).cliff is None


def race_with_a_fall(fall: float, *, at_s: float, seconds: float = 30.0, reference_after: bool = True) -> list[Sample]:
    """Samples of a race among six settings, each a fifth of a second, the reference once in seventeen."""
    chance = random.Random(5)
    settings_ = [point.setting for point in WIDE.points[:6]]
    taken: list[Sample] = []
    for number in range(int(seconds * 5)):
        fell = number / 5 >= at_s
        which = DEFAULT_SETTING if number % 17 == 0 and (reference_after or not fell) else settings_[number % 6]
        own = 3e9 + 2e8 * (settings_.index(which) if which in settings_ else 0)
        speed = own * math.exp(chance.gauss(0, 0.01)) * (fall if fell else 1.0)
        taken.append(sample(which, speed, direction="write", number=number + 1, purpose="repeat", wall_ns=200_000_000))
    return taken


RACE = phase(points=WIDE.points[:6], stage="race", direction="write")


@pytest.mark.parametrize("reference_after", [True, False])
def test_in_a_race_every_point_that_was_measured_before_shows_a_cliff(*, reference_after: bool) -> None:
    """Its reference is measured every 3.4 s, and in its last rounds perhaps never."""
    cliff = estimate.curve(RACE, race_with_a_fall(0.3, at_s=20.0, reference_after=reference_after)).cliff
    assert cliff is not None
    assert cliff.before_counts
    # A hundred measurements were made before it; without the other points it is known to seventeen of them.
    assert 98 * 64 * MIB <= cliff.after_bytes <= 101 * 64 * MIB
    assert cliff.behind_bytes_per_s / cliff.before_bytes_per_s == pytest.approx(0.3, rel=0.05)
    assert cliff.before_bytes_per_s == pytest.approx(3e9, rel=0.05)


def test_in_a_race_the_figures_are_those_before_the_cliff() -> None:
    found = estimate.curve(RACE, race_with_a_fall(0.3, at_s=20.0))
    for place, point in enumerate(RACE.points):
        assert of(found, point.setting).bytes_per_s == pytest.approx(3e9 + 2e8 * place, rel=0.02)


def test_a_race_without_a_fall_has_no_cliff() -> None:
    """Points of different speeds are none, nor is a fall that lasted for less than four seconds."""
    assert estimate.curve(RACE, race_with_a_fall(1.0, at_s=20.0)).cliff is None
    assert estimate.curve(RACE, race_with_a_fall(0.3, at_s=27.0)).cliff is None


@pytest.mark.parametrize("fall", [0.8, 0.7, 1.5])
def test_heat_is_no_cliff(fall: float) -> None:
    taken, _ = phase_with_a_fall(fall, at=0.5)
    assert estimate.curve(WRITES, taken).cliff is None


def test_slow_points_are_no_cliff() -> None:
    """The reference says whether the drive fell; the other points may be as slow as they like."""
    taken = noisy(2)
    slow = [replace(each, elapsed_ns=each.elapsed_ns * 9, transfers_ns=(each.elapsed_ns * 9,)) for each in taken[70:]]
    references = [sample(DEFAULT_SETTING, 4e9, number=900 + n, wall_ns=10**9, purpose="reference") for n in range(12)]
    made = [*taken[:70], *references[:6], *slow, *references[6:]]
    assert estimate.curve(WIDE, made).cliff is None


# --- types -----------------------------------------------------------------------------------------------


def test_nothing_of_numpy_gets_out() -> None:
    found = estimate.curve(
        phase(SMALL_GRID),
        [sample(point.setting, 1e9 + number, purpose="reference") for number, point in enumerate(POINTS * 3)],
    )
    numbers = [found.noise, found.drift, found.tail, found.memory]
    for point in found.points:
        numbers += [getattr(point, item.name) for item in fields(point) if item.name not in ("point", "visits")]
        assert type(point.visits) is int
    assert {type(number) for number in numbers} == {float}
    assert all(type(estimate.student_t(0.95, freedom)) is float for freedom in (1, 2, 3))
