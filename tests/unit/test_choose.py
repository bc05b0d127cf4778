from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.choose import best, choose, combine
from aio_tuned.errors import Exit, MeasurementError
from unit.builders import MIB, curve, setting, stats

if TYPE_CHECKING:
    from aio_tuned.model import PointStats, Setting

FAST = setting(depth=64, threads=8)


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        # threads count before memory, memory before tail latency, tail latency before the rest
        (stats(1e9, setting(depth=64, threads=1), p99_us=9e9), stats(1e9, setting(depth=1, threads=2), p99_us=1)),
        (stats(1e9, setting(depth=4), p99_us=9e9), stats(1e9, setting(depth=8), p99_us=1)),
        (stats(1e9, setting(block=MIB // 2, depth=4)), stats(1e9, setting(block=MIB, depth=4))),
        (
            stats(1e9, setting(depth=8, single=True, overlap=False), p99_us=1),
            stats(1e9, setting(depth=8), p99_us=2),
        ),
        (stats(1e9, setting(block=MIB, depth=4)), stats(1e9, setting(block=MIB // 2, depth=8))),
        (stats(1e9, setting(overlap=True)), stats(1e9, setting(overlap=False))),
        (stats(1e9, setting(single=False)), stats(1e9, setting(single=True))),
    ],
)
def test_ties_go_to_the_cheapest(cheaper: PointStats, dearer: PointStats) -> None:
    for found in ((cheaper, dearer), (dearer, cheaper)):
        choice = choose(curve(*found), 0.01)
        assert choice.stats == cheaper
        assert choice.ties == 2


@pytest.mark.parametrize(("share", "tied"), [(0.9901, True), (0.99, True), (0.9899, False), (0.5, False)])
def test_only_points_within_the_tolerance_tie(share: float, tied: bool) -> None:
    cheap, top = stats(10e9 * share, setting(depth=1)), stats(10e9, FAST)
    choice = choose(curve(cheap, top), 0.01)
    assert choice.stats == (cheap if tied else top)
    assert choice.best == top
    assert choice.ties == 1 + tied


def test_a_twins_setting_is_kept_if_it_ties() -> None:
    cheap, twins, best_one = stats(9.95e9, setting(depth=1)), stats(9.91e9, setting(depth=32)), stats(10e9, FAST)
    found = curve(cheap, twins, best_one)
    assert choose(found, 0.01, preferred=setting(depth=32)).stats == twins
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


def test_the_worse_tail_latency_of_the_two_counts() -> None:
    a, b = setting(overlap=True), setting(overlap=False)
    read = curve(stats(1e9, a, p99_us=1), stats(1e9, b, p99_us=2))
    write = curve(stats(1e9, a, p99_us=9), stats(1e9, b, p99_us=3), direction="write")
    assert combine(read, write, 0.5, 0.01).setting == b


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


def test_a_twins_combined_setting_is_kept_if_it_ties() -> None:
    dear, cheap = setting(depth=32), setting(depth=8)
    read, write = curve(stats(1e9, dear), stats(1e9, cheap)), curve(stats(1e9, dear), stats(1e9, cheap))
    assert combine(read, write, 0.5, 0.01).setting == cheap
    assert combine(read, write, 0.5, 0.01, preferred=dear).setting == dear
    assert combine(read, write, 0.5, 0.01, preferred=setting(depth=4)).setting == cheap
