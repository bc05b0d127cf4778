from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import Exit, MeasurementError
from aio_tuned.search.choose import best, choose, combine, cost, plateau, shortfall, ties
from aio_tuned.search.estimate import simultaneous
from unit.support.builders import MIB, curve, setting, stats

if TYPE_CHECKING:
    from aio_tuned.model.curve import PointStats
    from aio_tuned.model.setting import Setting

FAST = setting(depth=64, threads=8)


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        # threads before memory
        (setting(depth=64, threads=1), setting(depth=1, threads=2)),
        # memory by steps: up to 1, 8, 64, 512 MiB
        (setting(depth=1), setting(depth=2)),
        (setting(depth=8), setting(depth=9)),
        (setting(depth=64), setting(depth=65)),
        (setting(128 << 10, depth=8), setting(MIB, depth=2)),
        # within a step the larger block
        (setting(MIB, depth=4), setting(MIB // 2, depth=8)),
        (setting(MIB, depth=2), setting(MIB // 2, depth=16)),
        (setting(MIB // 2, depth=2), setting(128 << 10, depth=8)),
        # then the deeper queue
        (setting(depth=8), setting(depth=2)),
        (setting(depth=64, overlap=False, single=True), setting(depth=16)),
        # then a queue that is refilled, then batches
        (setting(overlap=True, single=True), setting(overlap=False, single=False)),
        (setting(single=False), setting(single=True)),
    ],
)
def test_ties_go_to_the_cheapest(cheaper: Setting, dearer: Setting) -> None:
    assert cost(cheaper) < cost(dearer)
    for found in ((cheaper, dearer), (dearer, cheaper)):
        choice = choose(curve(*(stats(1e9, which) for which in found)), 0.01)
        assert choice.stats.point.setting == cheaper
        assert choice.ties == 2


def test_latency_is_no_cost() -> None:
    slow, quick = stats(1e9, setting(depth=8), p99_us=9e9), stats(1e9, setting(depth=4), p99_us=1)
    assert choose(curve(quick, slow), 0.01).stats == slow


@pytest.mark.parametrize(("mib", "step"), [(1, 0), (2, 1), (8, 1), (9, 2), (64, 2), (65, 3), (512, 3), (513, 4)])
def test_memory_costs_by_steps_of_eight(mib: int, step: int) -> None:
    assert cost(setting(depth=mib))[1] == step
    assert cost(setting(4096, depth=1))[1] == 0


CERTAIN = 1e-9


@pytest.mark.parametrize(("share", "tied"), [(0.9901, True), (0.990001, True), (0.9899, False), (0.5, False)])
def test_only_points_within_the_tolerance_tie(share: float, tied: bool) -> None:
    cheap, top = stats(10e9 * share, setting(depth=1), width=CERTAIN), stats(10e9, FAST, width=CERTAIN)
    choice = choose(curve(cheap, top), 0.01)
    assert choice.stats == (cheap if tied else top)
    assert choice.best == top
    assert choice.ties == 1 + tied


def plateau_of(count: int, *, lucky: float = 1.0) -> list[PointStats]:
    """So many settings of eight threads from 10 to 10.1 GB/s, one of them by luck higher than it is."""
    found = [stats(10e9 + 1e8 * n / count, setting(depth=n + 1, threads=8), width=CERTAIN) for n in range(count)]
    return [stats(found[-1].bytes_per_s * lucky, found[-1].point.setting, width=CERTAIN), *found[:-1]]


def test_the_plateau_is_the_mean_of_the_highest_fiftieth() -> None:
    assert plateau(curve(*plateau_of(49))) == pytest.approx(10e9 + 1e8 * 48 / 49)
    assert plateau(curve(*plateau_of(99))) == pytest.approx(10e9 + 1e8 * 98 / 99)
    assert plateau(curve(*plateau_of(200))) == pytest.approx(10e9 + 1e8 * (199 + 198 + 197 + 196) / 4 / 200)


def test_one_lucky_point_among_many_does_not_move_the_ties() -> None:
    cheap = stats(9.98e9, setting(depth=8), width=CERTAIN)
    assert choose(curve(cheap, *plateau_of(200)), 0.02).stats == cheap
    lucky = choose(curve(cheap, *plateau_of(200, lucky=1.03)), 0.02)
    assert lucky.stats == cheap
    assert lucky.best.bytes_per_s == pytest.approx(10.0995e9 * 1.03, rel=1e-3)
    # Of few points the highest is the plateau.
    assert choose(curve(cheap, *plateau_of(20, lucky=1.03)), 0.02).stats != cheap


def test_the_best_is_the_one_that_is_surest_to_be_high() -> None:
    sure, lucky = stats(10e9, setting(depth=1), width=0.002), stats(10.1e9, setting(depth=2), width=0.1)
    assert best(curve(sure, lucky)) == sure
    assert best(curve(replace(sure, likely_error=0.07), lucky)) == lucky


def test_the_likely_throughput_decides_and_not_the_measured_one() -> None:
    """A single visit was odd: the neighbours know better."""
    odd = replace(stats(12e9, setting(depth=1)), likely_bytes_per_s=8e9)
    dull = stats(10e9, FAST)
    choice = choose(curve(odd, dull), 0.01)
    assert (choice.best, choice.stats, choice.ties) == (dull, dull, 1)


def test_the_best_ties_however_poorly_it_is_known() -> None:
    vague = [stats(10e9 - 1e7 * n, setting(depth=n + 1), width=0.5) for n in range(9)]
    found = ties(curve(*vague), 0.01)
    assert best(curve(*vague)) in found


def test_a_wider_tolerance_never_loses_a_tie() -> None:
    points = [stats(10e9 - 4e7 * n, setting(depth=n + 1, threads=2), width=0.001 * (n % 3)) for n in range(30)]
    few, more, most = (ties(curve(*points), tolerance) for tolerance in (0.0, 0.01, 0.05))
    assert 1 <= len(few) < len(more) < len(most)
    assert all(point in more for point in few)
    assert all(point in most for point in more)


# --- how far from the best -------------------------------------------------------------------------------


def test_the_shortfall_is_between_the_bounds_of_the_two() -> None:
    cheap, top = stats(9.95e9, setting(depth=8), width=0.002), stats(10e9, FAST, width=0.002)
    found = curve(cheap, top)
    choice = choose(found, 0.01)
    assert choice.stats == cheap
    (low, _), (_, high) = simultaneous(found)
    assert choice.within == pytest.approx(1 - math.exp(low - high)) == pytest.approx(shortfall(found, cheap))
    assert 0.005 < choice.within < 0.03


def test_what_is_better_known_is_known_to_be_nearer() -> None:
    within = [
        choose(curve(stats(9.95e9, setting(depth=8), width=width), stats(10e9, FAST, width=width)), 0.01).within
        for width in (0.0001, 0.002, 0.02)
    ]
    assert within == sorted(within)
    assert within[0] == pytest.approx(0.005, abs=0.001)


def test_what_is_surely_the_best_is_not_short() -> None:
    assert choose(curve(stats(10e9, FAST), stats(5e9, setting(depth=1))), 0.01).within == 0.0
    assert choose(curve(stats(10e9, FAST)), 0.01).within == 0.0


# --- preferred -------------------------------------------------------------------------------------------


def test_a_siblings_setting_is_kept_if_it_ties() -> None:
    cheap, siblings, best_one = (
        stats(speed, which, width=CERTAIN)
        for speed, which in ((9.95e9, setting(depth=1)), (9.91e9, setting(depth=32)), (10e9, FAST))
    )
    found = curve(cheap, siblings, best_one)
    assert choose(found, 0.01, preferred=setting(depth=32)).stats == siblings
    assert choose(found, 0.01, preferred=setting(depth=2)).stats == cheap
    assert choose(found, 0.001, preferred=setting(depth=32)).stats == best_one


def test_the_saturating_concurrency_is_the_least_of_the_ties() -> None:
    cheap, narrow = stats(9.95e9, setting(depth=32, threads=1)), stats(9.95e9, setting(depth=2, threads=8))
    slow = stats(5e9, setting(depth=1))
    larger = stats(9.95e9, setting(block=4 * MIB, depth=2, threads=2))  # fewer, but of more bytes each
    choice = choose(curve(cheap, narrow, slow, larger, stats(10e9, FAST)), 0.01)
    assert choice.stats == cheap
    assert choice.saturating_concurrency == 16


def test_an_empty_curve_has_no_best() -> None:
    with pytest.raises(MeasurementError, match="no point of the write phase") as caught:
        choose(curve(direction="write"), 0.01)
    assert caught.value.exit_code == Exit.IO
    with pytest.raises(MeasurementError, match="no point of the read phase"):
        best(curve())


# --- combined --------------------------------------------------------------------------------------------

READER, WRITER, MIDDLE = setting(depth=32, threads=2), setting(depth=4), setting(depth=16)


def both(read_weight: float) -> Setting:
    read = curve(stats(10e9, READER), stats(5e9, WRITER), stats(8e9, MIDDLE))
    write = curve(stats(2e9, READER), stats(4e9, WRITER), stats(3.6e9, MIDDLE), direction="write")
    choice = combine(read, write, read_weight, 0.01)
    assert choice.read_share == pytest.approx(choice.read.bytes_per_s / 10e9)
    assert choice.write_share == pytest.approx(choice.write.bytes_per_s / 4e9)
    assert choice.ties == 1
    return choice.setting


@pytest.mark.parametrize(("weight", "chosen"), [(1, READER), (0, WRITER), (0.5, MIDDLE)])
def test_the_weight_decides_between_reads_and_writes(weight: float, chosen: Setting) -> None:
    assert both(weight) == chosen


def test_combined_ties_go_to_the_cheapest() -> None:
    read = curve(stats(10e9, READER), stats(9.95e9, WRITER))
    write = curve(stats(4e9, READER), stats(3.98e9, WRITER), direction="write")
    choice = combine(read, write, 0.5, 0.01)
    assert (choice.setting, choice.ties) == (WRITER, 2)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_shares_are_never_above_one(weight: float) -> None:
    """The best is the surest one, not the highest: another may lie above it."""
    lucky = replace(stats(12e9, READER), likely_error=0.5)
    read, write = curve(lucky, stats(10e9, WRITER)), curve(lucky, stats(10e9, WRITER), direction="write")
    assert best(read).point.setting == WRITER
    for setting_ in (READER, WRITER):
        choice = combine(read, write, weight, 0.5, preferred=setting_)
        assert choice.setting == setting_
        assert (choice.read_share, choice.write_share) == (1.0, 1.0)


def test_only_settings_measured_in_both_directions_take_part() -> None:
    read = curve(stats(10e9, READER), stats(6e9, MIDDLE))
    write = curve(stats(4e9, WRITER), stats(1e9, MIDDLE), direction="write")
    choice = combine(read, write, 0.5, 0.01)
    assert choice.setting == MIDDLE
    assert choice.read_share == pytest.approx(0.6)
    assert choice.write_share == pytest.approx(0.25)


def test_settings_meet_by_their_aliases() -> None:
    """The same setting may be the same program as others at one direction's transfer size and not at the other's."""
    deep, deeper = setting(depth=32), setting(depth=64)
    read = curve(stats(10e9, deep, deeper))
    write = curve(stats(3e9, deep), stats(4e9, deeper), direction="write")
    assert combine(read, write, 0.5, 0.01).setting == deeper


def test_without_a_common_setting_there_is_no_combined_one() -> None:
    with pytest.raises(MeasurementError, match="both directions"):
        combine(curve(stats(1e9, READER)), curve(stats(1e9, WRITER), direction="write"), 0.5, 0.01)


@pytest.mark.parametrize("empty", ["read", "write"])
def test_an_empty_curve_cannot_be_combined(empty: str) -> None:
    full = curve(stats(1e9, READER))
    read, write = (curve() if empty == "read" else full), (curve(direction="write") if empty == "write" else full)
    with pytest.raises(MeasurementError, match=f"no point of the {empty} phase"):
        combine(read, write, 0.5, 0.01)


def test_combined_ties_are_points_not_settings() -> None:
    """The schema calls ties points: aliases that are one program in both directions are one."""
    deep, deeper = setting(depth=32), setting(depth=64)
    read, write = curve(stats(10e9, deep, deeper)), curve(stats(4e9, deep, deeper), direction="write")
    assert combine(read, write, 0.5, 0.01).ties == 1


def test_a_siblings_combined_setting_is_kept_if_it_ties() -> None:
    dear, cheap = setting(depth=32), setting(depth=8)
    read, write = curve(stats(1e9, dear), stats(1e9, cheap)), curve(stats(1e9, dear), stats(1e9, cheap))
    assert combine(read, write, 0.5, 0.01).setting == cheap
    assert combine(read, write, 0.5, 0.01, preferred=dear).setting == dear
    assert combine(read, write, 0.5, 0.01, preferred=setting(depth=4)).setting == cheap
