from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError, ConfigError, MeasurementError
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid, Setting
from aio_tuned.search import grid as search_grid
from aio_tuned.search import plan
from unit.support.builders import GIB, MIB, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Phase

DEFAULT_GRID = Config().grid
KIB = 1 << 10


# --- which settings are the same program -----------------------------------------------------------------


def calls(which: Setting, transfer_bytes: int, seed: int) -> list[tuple[object, ...]]:
    """Every system call that native/src/io/engine.c makes, thread by thread, with completions drawn from `seed`.

    ("submit", offset, size, …) has one entry a request; ("wait", least, most) is io_getevents.
    """
    made: list[tuple[object, ...]] = []
    threads = which.io_parallelism
    for thread in range(threads):
        chance = random.Random(seed)
        start, end = thread * transfer_bytes // threads, (thread + 1) * transfer_bytes // threads
        position, in_flight = start, 0
        made.append(("thread", thread))
        while position < end or in_flight:
            ready: list[tuple[int, int]] = []
            if which.overlap_events or in_flight == 0:
                while position < end and in_flight + len(ready) < which.queue_depth:
                    size = min(which.block_size, end - position)
                    ready.append((position, size))
                    position += size
            batches = [[block] for block in ready] if which.single_submit else [ready] if ready else []
            made += [("submit", *batch) for batch in batches]
            in_flight += len(ready)
            least = 1 if which.overlap_events else in_flight
            made.append(("wait", least, in_flight))
            in_flight -= chance.randint(least, in_flight)
    return made


def test_the_simulation_keeps_the_queue_full_and_moves_every_byte() -> None:
    made = calls(setting(block=4, depth=3, threads=2), 80, seed=1)
    moved = [pair for call in made if call[0] == "submit" for pair in call[1:]]
    assert moved == [(offset, 4) for offset in range(0, 80, 4)]
    assert max(call[2] for call in made if call[0] == "wait") == 3  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("a", "b", "transfer", "same"),
    [
        # one request in flight: nothing to overlap, nothing to batch
        (setting(depth=1, overlap=True, single=True), setting(depth=1, overlap=False, single=False), 16 * MIB, True),
        (setting(depth=1), setting(depth=2), 16 * MIB, False),
        # fewer blocks than the queue is deep
        (setting(depth=16), setting(depth=64), 16 * MIB, True),
        (setting(depth=15), setting(depth=16), 16 * MIB, False),
        (setting(depth=8, threads=2), setting(depth=64, threads=2), 16 * MIB, True),
        (setting(depth=4, threads=4), setting(depth=64, threads=8), 16 * MIB, False),
        # the last block is short, yet one more
        (setting(depth=16), setting(depth=17), 16 * MIB + 4096, False),
        (setting(depth=17), setting(depth=18), 16 * MIB + 4096, True),
        # a block larger than the share
        (setting(block=4 * MIB, threads=8), setting(block=2 * MIB, threads=8), 16 * MIB, True),
        (setting(block=4 * MIB, threads=8), setting(block=MIB, threads=8), 16 * MIB, False),
        (setting(block=4 * MIB, threads=8, overlap=False), setting(block=2 * MIB, threads=8), 16 * MIB, True),
        # what makes a difference with a queue that fills
        (setting(overlap=True), setting(overlap=False), 16 * MIB, False),
        (setting(single=True), setting(single=False), 16 * MIB, False),
        (setting(threads=1), setting(threads=2), 16 * MIB, False),
        (setting(block=MIB), setting(block=512 * KIB), 16 * MIB, False),
    ],
)
def test_which_settings_are_the_same_program(a: Setting, b: Setting, transfer: int, same: bool) -> None:
    assert (search_grid.program(a, transfer) == search_grid.program(b, transfer)) is same


SETTINGS = st.builds(
    setting,
    st.integers(1, 12),
    st.integers(1, 7),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)


@settings(derandomize=True, deadline=None, max_examples=250)
@given(SETTINGS, SETTINGS, st.integers(1, 12), st.integers(0, 2**32))
def test_programs_are_equal_exactly_if_the_system_calls_are(a: Setting, b: Setting, twelfths: int, seed: int) -> None:
    transfer = 12 * twelfths
    same = search_grid.program(a, transfer) == search_grid.program(b, transfer)
    assert (calls(a, transfer, seed) == calls(b, transfer, seed)) is same


@settings(derandomize=True, deadline=None, max_examples=300)
@given(SETTINGS, st.integers(1, 12), st.integers(0, 2**32), st.data())
def test_neighbours_of_a_setting_too(a: Setting, twelfths: int, seed: int, data: st.DataObject) -> None:
    """Two settings at random are rarely the same program; ones that differ in one parameter often are."""
    transfer = 12 * twelfths
    b = data.draw(
        st.sampled_from(
            [
                setting(block, depth, a.io_parallelism, overlap, single)
                for block in (a.block_size, transfer, 2 * transfer)
                for depth in (a.queue_depth, 7, 9)
                for overlap in (True, False)
                for single in (True, False)
            ]
        )
    )
    same = search_grid.program(a, transfer) == search_grid.program(b, transfer)
    assert (calls(a, transfer, seed) == calls(b, transfer, seed)) is same


# --- the grid --------------------------------------------------------------------------------------------


def test_the_default_grid_has_320_settings_all_different() -> None:
    assert len(search_grid.settings(DEFAULT_GRID)) == len(set(search_grid.settings(DEFAULT_GRID))) == 320


def distinct_by_hand(transfer: int) -> int:
    """Threads of the default grid times, for each share, the (block, filled depth) pairs times four modes."""
    count = 0
    for threads in (1, 2, 4, 8):
        share = transfer // threads
        pairs = {
            (min(block, share), min(depth, math.ceil(share / min(block, share))))
            for block, depth in itertools.product((128 * KIB, 256 * KIB, 512 * KIB, MIB), (4, 8, 16, 32, 64))
        }
        count += sum(4 if depth > 1 else 1 for _, depth in pairs)
    return count


@pytest.mark.parametrize(
    ("transfer", "count"),
    [(GIB, 320), (512 * MIB, 320), (256 * MIB, 316), (128 * MIB, 304), (64 * MIB, 280), (16 * MIB, 192)],
)
def test_how_many_points_are_distinct(transfer: int, count: int) -> None:
    assert len(search_grid.points(search_grid.settings(DEFAULT_GRID), transfer)) == count == distinct_by_hand(transfer)


GRIDS = st.builds(
    Grid,
    block_size=st.lists(st.sampled_from([4096, 64 * KIB, MIB, 8 * MIB]), min_size=1, unique=True).map(tuple),
    queue_depth=st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True).map(tuple),
    io_parallelism=st.lists(st.sampled_from([1, 2, 3, 4, 6, 8]), min_size=1, max_size=3, unique=True).map(tuple),
    overlap_events=st.lists(st.booleans(), min_size=1, unique=True).map(tuple),
    single_submit=st.lists(st.booleans(), min_size=1, unique=True).map(tuple),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(GRIDS, st.sampled_from([1, 4, 16, 48, 256]))
def test_every_setting_is_an_alias_of_exactly_one_point_and_its_cheapest_stands_for_it(grid: Grid, mib: int) -> None:
    transfer = mib * MIB // 24 * 24
    found = search_grid.points(search_grid.settings(grid), transfer)
    aliases = [alias for point in found for alias in point.aliases]
    assert len(aliases) == len(set(aliases))
    assert set(aliases) == set(search_grid.settings(grid))
    for point in found:
        assert point.setting in point.aliases
        assert len({search_grid.program(alias, transfer) for alias in point.aliases}) == 1
        assert point.setting.in_flight_bytes == min(alias.in_flight_bytes for alias in point.aliases)
    assert len({search_grid.program(point.setting, transfer) for point in found}) == len(found)


def test_where_memory_ties_deepspeeds_defaults_stand_for_the_program() -> None:
    grid = Grid(
        block_size=(MIB,),
        queue_depth=(1,),
        io_parallelism=(1,),
        overlap_events=(False, True),
        single_submit=(True, False),
    )
    (point,) = search_grid.points(search_grid.settings(grid), 16 * MIB)
    assert point.setting == setting(depth=1, overlap=True, single=False)
    assert len(point.aliases) == 4


# --- neighbours ------------------------------------------------------------------------------------------

NEAR = Grid(
    block_size=(128 * KIB, 512 * KIB, MIB),
    queue_depth=(4, 8, 32),
    io_parallelism=(1, 2, 4),
    overlap_events=(True, False),
    single_submit=(False, True),
)


def test_a_neighbour_is_one_step_of_one_parameter_away() -> None:
    planned = search_grid.points(search_grid.settings(NEAR), GIB)
    (middle,) = (point for point in planned if point.setting == setting(512 * KIB, 8, 2))
    found = [point.setting for point in search_grid.neighbours(planned, [middle])]
    assert set(found) == {
        setting(128 * KIB, 8, 2),
        setting(MIB, 8, 2),
        setting(512 * KIB, 4, 2),
        setting(512 * KIB, 32, 2),
        setting(512 * KIB, 8, 1),
        setting(512 * KIB, 8, 4),
        setting(512 * KIB, 8, 2, overlap=False),
        setting(512 * KIB, 8, 2, single=True),
    }
    assert len(found) == 8


def test_in_a_corner_there_are_fewer_neighbours() -> None:
    planned = search_grid.points(search_grid.settings(NEAR), GIB)
    (corner,) = (point for point in planned if point.setting == setting(128 * KIB, 4, 1))
    assert len(search_grid.neighbours(planned, [corner])) == 5


def test_neighbours_of_several_are_in_the_plans_order_each_once() -> None:
    planned = list(search_grid.points(search_grid.settings(NEAR), GIB))
    random.Random(1).shuffle(planned)
    found = search_grid.neighbours(planned, planned[:3])
    assert found == [point for point in planned if point in found]
    each = [set(map(id, search_grid.neighbours(planned, [leader]))) for leader in planned[:3]]
    assert set(map(id, found)) == set.union(*each)
    assert search_grid.neighbours(planned, []) == []


def test_neighbours_of_an_alias_are_neighbours_of_the_point() -> None:
    """At 4 MiB a queue of 4 is as deep as one of 32, so the next deeper one is the point itself."""
    planned = search_grid.points(search_grid.settings(NEAR), 4 * MIB)
    (full,) = (point for point in planned if setting(MIB, 4, 1) in point.aliases)
    assert setting(MIB, 32, 1) in full.aliases
    assert any(setting(512 * KIB, 32, 1) in point.aliases for point in search_grid.neighbours(planned, [full]))


# --- the target's alignment, and a transfer for all ------------------------------------------------------


@pytest.mark.parametrize(("block", "alignment", "fine"), [(4096, 4096, True), (512, 4096, False), (512, 512, True)])
def test_blocks_must_suit_the_targets_alignment(block: int, alignment: int, fine: bool) -> None:
    grid = Grid(
        block_size=(MIB, block),
        queue_depth=(1,),
        io_parallelism=(1,),
        overlap_events=(True,),
        single_submit=(True,),
    )
    if fine:
        search_grid.check_grid(search_grid.settings(grid), alignment)
        return
    with pytest.raises(ConfigError, match=rf"\[grid\] block_size {block}: .* multiples of {alignment}"):
        search_grid.check_grid(search_grid.settings(grid), alignment)


# --- the pass --------------------------------------------------------------------------------------------


def make(
    direction: Direction = "read",
    *,
    speed: float = 6e9,
    grid: Grid = DEFAULT_GRID,
    most: int = 256 * MIB,
    seconds: float = 75.0,
    write_budget: int = 20 * GIB,
    usual: int | None = None,
    seed: int = 1,
    alignment: int = 4096,
    fraction: int = 1,
    turn_ms: int | None = None,
) -> Phase:
    """Return the plan of a pass that usually takes so many seconds; `usual` bytes, by default the write budget."""
    return plan.first_pass(
        direction,
        chosen=search_grid.settings(grid),
        reference=DEFAULT_SETTING,
        calibrated=[sample(bytes_per_s=speed, direction=direction, purpose="calibrate")],
        alignment_bytes=alignment,
        max_transfer_bytes=most,
        usual_ns=int(seconds * 1e9),
        time_budget_ns=int(2 * seconds * 1e9),
        usual_bytes=write_budget if usual is None else usual,
        write_budget_bytes=write_budget,
        tolerance=0.01,
        seed=seed,
        fraction=fraction,
        max_transfer_ns=turn_ms and turn_ms * 1_000_000,
    )


def test_the_order_is_the_seeds() -> None:
    assert make(seed=1) == make(seed=1)
    orders = [[point.setting for point in make(seed=seed).points] for seed in range(5)]
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    assert all(set(order) == set(orders[0]) for order in orders)
    assert [point.setting for point in make("read").points] != [point.setting for point in make("write").points]


def test_the_order_is_shuffled_rather_than_the_grids() -> None:
    blocks = [point.setting.block_size for point in make().points]
    runs = sum(1 for a, b in itertools.pairwise(blocks) if a == b)
    assert 40 < runs < 120


@pytest.mark.parametrize("direction", ["read", "write"])
@pytest.mark.parametrize("speed", [0.5e9, 3e9, 14e9])
@pytest.mark.parametrize("seconds", [12, 75, 600])
@pytest.mark.parametrize("write_budget", [20 * GIB, 64 * GIB])
def test_measuring_every_point_once_takes_a_third_of_the_time_and_a_quarter_of_the_bytes(
    direction: Direction, speed: float, seconds: float, write_budget: int
) -> None:
    made = make(direction, speed=speed, seconds=seconds, write_budget=write_budget)
    visits = len(made.points) * 17 / 16
    assert made.stage == "pass"
    assert 8 * MIB <= made.transfer_bytes <= 256 * MIB
    if made.transfer_bytes > 16 * MIB:
        assert visits * made.transfer_bytes / speed <= 0.31 * seconds
        assert direction == "read" or visits * made.transfer_bytes <= 0.25 * write_budget
    assert made.visit_ns * visits <= 0.31 * seconds * 1e9
    assert made.time_budget_ns == 2 * seconds * 1e9
    if direction == "write":
        assert made.transfer_bytes <= made.visit_bytes
        assert visits * made.visit_bytes <= max(0.25 * write_budget, visits * made.transfer_bytes)
    else:
        assert made.visit_bytes == 0


def test_the_usual_bytes_size_a_pass_and_the_budget_bounds_it() -> None:
    """A drive that may write 64 GiB is swept with what a smaller one is; the rest is for when that does not do."""
    made = make("write", speed=14e9, usual=20 * GIB, write_budget=64 * GIB)
    alone = make("write", speed=14e9, write_budget=20 * GIB)
    assert (made.transfer_bytes, made.visit_bytes) == (alone.transfer_bytes, alone.visit_bytes)
    assert made.write_budget_bytes == 64 * GIB


@pytest.mark.parametrize(
    ("speed", "seconds", "mib"),
    [(14e9, 75, 256), (6e9, 75, 256), (2e9, 75, 128), (1e9, 75, 64), (0.5e9, 75, 32), (0.2e9, 75, 16), (0.1e9, 75, 8)],
)
def test_the_transfer_is_the_largest_that_fits_the_time(speed: float, seconds: float, mib: int) -> None:
    assert make(speed=speed, seconds=seconds).transfer_bytes == mib * MIB


@pytest.mark.parametrize("speed", [14e9, 6e9, 3e9, 2e9, 1e9, 0.4e9])
def test_others_wait_for_one_short_transfer_at_most(speed: float) -> None:
    made, free = make(speed=speed, seconds=600, turn_ms=50), make(speed=speed, seconds=600)
    assert made.transfer_bytes / speed <= 0.05
    assert 4 * made.transfer_bytes / speed > 0.05 or made.transfer_bytes == 256 * MIB, "no shorter than it must be"
    assert made.transfer_bytes <= free.transfer_bytes
    # A device that is slower than 1 GB/s may have a limit, which shows only in longer measurements.
    assert made.visit_ns <= (50_000_000 if speed >= 1e9 else 1_000_000_000)


@pytest.mark.parametrize(("speed", "mib"), [(0.1e9, 8), (0.5e9, 16), (1e9, 32)])
def test_a_slow_device_has_smaller_transfers_that_still_last_20_ms(speed: float, mib: int) -> None:
    assert make(speed=speed, seconds=600, turn_ms=50).transfer_bytes == mib * MIB
    assert make(speed=speed, seconds=0.1).transfer_bytes == min(mib, 16) * MIB


@pytest.mark.parametrize(("gib", "mib"), [(340, 256), (165, 128), (76, 64), (20, 16), (6, 16)])
def test_the_transfer_is_the_largest_that_the_write_budget_pays_for(gib: int, mib: int) -> None:
    assert make("write", speed=14e9, write_budget=gib * GIB).transfer_bytes == mib * MIB


@pytest.mark.parametrize("threads", [(3,), (6,), (1, 3, 8), (5, 6, 7)])
@pytest.mark.parametrize("alignment", [512, 4096, 16384, 65536])
def test_a_transfer_is_whole_aligned_blocks_for_every_thread(threads: tuple[int, ...], alignment: int) -> None:
    grid = Grid(
        block_size=(MIB,),
        queue_depth=(4, 8),
        io_parallelism=threads,
        overlap_events=(True,),
        single_submit=(False,),
    )
    for speed in (0.1e9, 2e9, 14e9):
        made = make(grid=grid, speed=speed, alignment=alignment)
        assert made.transfer_bytes >= 8 * MIB
        for count in (*threads, 1):
            assert made.transfer_bytes % (count * max(4096, alignment)) == 0


@pytest.mark.parametrize("threads", [(7, 9, 11, 13, 16), (61, 59, 64)])
def test_threads_without_a_common_transfer_are_refused_with_a_reason(threads: tuple[int, ...]) -> None:
    """Their least common multiple of 4 KiB is more than the 256 MiB that a transfer may have."""
    grid = Grid(
        block_size=(MIB,), queue_depth=(8,), io_parallelism=threads, overlap_events=(True,), single_submit=(False,)
    )
    with pytest.raises(AioTunedError, match="io_parallelism"):
        make(grid=grid)


def test_a_write_budget_that_does_not_pay_for_one_pass_is_refused() -> None:
    """192 points of 16 MiB, and the reference after every 16 of them."""
    visits = 192 + 192 // 16 + 1
    with pytest.raises(
        MeasurementError,
        match=r"write budget of .* MiB: too small .*192 settings once with 16 MiB; pass --write-budget",
    ):
        make("write", write_budget=visits * 16 * MIB - 1)
    assert make("write", write_budget=visits * 16 * MIB).transfer_bytes == 16 * MIB


def test_a_write_budget_is_nothing_to_reads() -> None:
    assert make("read", write_budget=0).transfer_bytes == 256 * MIB


COMMON: dict[str, Any] = {
    "chosen": search_grid.settings(DEFAULT_GRID),
    "reference": DEFAULT_SETTING,
    "alignment_bytes": 4096,
    "max_transfer_bytes": 256 * MIB,
    "usual_ns": 100_000_000_000,
    "time_budget_ns": 200_000_000_000,
    "usual_bytes": 0,
    "write_budget_bytes": 0,
    "tolerance": 0.01,
    "seed": 1,
}


def test_the_median_calibration_visit_counts() -> None:
    speeds = [sample(bytes_per_s=speed, purpose="calibrate") for speed in (1e6, 6e9, 6.1e9)]
    assert plan.first_pass("read", calibrated=speeds, **COMMON).transfer_bytes == 256 * MIB


@pytest.mark.parametrize("direction", ["read", "write"])
def test_of_a_fraction_only_so_many_visits_are_paid_for(direction: Direction) -> None:
    """Every point is in the plan; a fifth is visited, so the transfer may be larger."""
    every, few = (make(direction, seconds=20, speed=3e9, fraction=part, write_budget=24 * GIB) for part in (1, 5))
    assert few.transfer_bytes >= 4 * every.transfer_bytes
    assert every.sure_points is None
    assert few.sure_points is not None
    assert 0.15 < few.sure_points / len(few.points) < 0.25
    assert set(few.points[: few.sure_points]) == set(search_grid.designed(few.points, 5))
    assert {alias for point in few.points for alias in point.aliases} == set(search_grid.settings(DEFAULT_GRID))


@pytest.mark.parametrize("fraction", [2, 3, 4, 5, 6, 7])
def test_a_designed_part_has_every_value_of_every_parameter(fraction: int) -> None:
    planned = search_grid.points(search_grid.settings(DEFAULT_GRID), GIB)
    found = search_grid.designed(planned, fraction)
    assert abs(len(found) - len(planned) / fraction) <= 4
    for key in ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit"):
        values = [getattr(point.setting, key) for point in found]
        assert set(values) == set(getattr(DEFAULT_GRID, key))


def test_a_fifth_has_nearly_every_pair_of_values() -> None:
    found = [
        point.setting for point in search_grid.designed(search_grid.points(search_grid.settings(DEFAULT_GRID), GIB), 5)
    ]
    for one, other in itertools.combinations(
        ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit"), 2
    ):
        pairs = {(getattr(which, one), getattr(which, other)) for which in found}
        assert len(pairs) >= 0.9 * len(getattr(DEFAULT_GRID, one)) * len(getattr(DEFAULT_GRID, other))


def test_of_one_in_one_all_are_designed_in_the_plans_order() -> None:
    planned = make().points
    assert search_grid.designed(planned, 1) == list(planned)


def test_a_fraction_needs_so_many_bytes_fewer() -> None:
    chosen = search_grid.settings(DEFAULT_GRID)
    every, few = (plan.min_write_bytes(chosen, 4096, 256 * MIB, fraction) for fraction in (1, 5))
    # 192 points of 16 MiB, or 39 of them; the reference every 16; calibration twice.
    assert every == (192 + 12 + 1 + 8) * 16 * MIB
    assert few == (39 + 3 + 1 + 8) * 16 * MIB
    assert make("write", write_budget=few - 8 * 16 * MIB, fraction=5).transfer_bytes == 16 * MIB


def test_without_a_calibration_visit_there_is_no_plan() -> None:
    with pytest.raises(MeasurementError, match="calibration"):
        plan.first_pass("read", calibrated=[], **COMMON)


def test_a_device_whose_light_settings_are_slow_gets_shorter_transfers() -> None:
    """Limited to 800 requests a second, 1M blocks make 0.8 GB/s and 128K blocks 0.1 GB/s."""
    light = replace(DEFAULT_SETTING, block_size=128 << 10)
    fast = [sample(bytes_per_s=0.8e9, purpose="calibrate")] * 3
    alone = plan.first_pass("read", calibrated=fast, **COMMON)
    with_light = plan.first_pass("read", calibrated=[*fast, sample(light, 0.1e9, purpose="calibrate")], **COMMON)
    assert alone.transfer_bytes == 64 * MIB
    # (1/0.8 + 1/0.1) / 2 is 4.5 times the time of a byte
    assert with_light.transfer_bytes == 16 * MIB


def test_calibration_visits_are_numbered_and_marked() -> None:
    made = plan.calibration("write", search_grid.settings(DEFAULT_GRID), DEFAULT_SETTING, 16 * MIB, 41)
    assert [request.id for request in made] == [41, 42, 43, 44]
    assert [request.setting for request in made[:3]] == [DEFAULT_SETTING] * 3
    assert made[3].setting == Setting(
        block_size=128 << 10, queue_depth=4, io_parallelism=1, overlap_events=False, single_submit=True
    )
    assert {request.purpose for request in made} == {"calibrate"}
    assert {request.direction for request in made} == {"write"}
    assert {request.transfer_bytes for request in made} == {16 * MIB}


# --- the race --------------------------------------------------------------------------------------------

SOME = (DEFAULT_SETTING, *search_grid.settings(DEFAULT_GRID)[::14])


def raced(
    direction: Direction = "read",
    *,
    speed: float = 6e9,
    chosen: tuple[Setting, ...] = SOME,
    seconds: float = 25.0,
    time_budget_s: float = 60.0,
    usual: int = 16 * GIB,
    write_budget: int = 64 * GIB,
    seed: int = 1,
    turn_ms: int | None = None,
    sustain: int = 0,
) -> Phase | None:
    return plan.race(
        direction,
        chosen=chosen,
        reference=DEFAULT_SETTING,
        samples=[sample(which, speed, direction=direction) for which in chosen],
        alignment_bytes=4096,
        max_transfer_bytes=256 * MIB,
        usual_ns=int(seconds * 1e9),
        time_budget_ns=int(time_budget_s * 1e9),
        usual_bytes=usual,
        write_budget_bytes=write_budget,
        tolerance=0.02,
        seed=seed,
        sustain_ns=sustain // 10**9,
        sustain_bytes=sustain,
        max_transfer_ns=turn_ms and turn_ms * 1_000_000,
    )


def planned(*given: Any, **changes: Any) -> Phase:  # noqa: ANN401 - as raced()
    found = raced(*given, **changes)
    assert found is not None
    return found


def test_a_race_measures_the_settings_that_it_is_given() -> None:
    made = planned()
    assert made.stage == "race"
    assert {point.setting for point in made.points} == set(SOME)
    assert made.points[0].setting == DEFAULT_SETTING
    assert made.reference.setting == DEFAULT_SETTING
    assert (made.time_budget_ns, made.tolerance, made.visit_bytes) == (60 * 10**9, 0.02, 0)


def test_its_order_is_the_seeds_with_the_reference_first() -> None:
    orders = [[point.setting for point in planned(seed=seed).points] for seed in range(4)]
    assert planned(seed=1) == planned(seed=1)
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    assert {order[0] for order in orders} == {DEFAULT_SETTING}


@pytest.mark.parametrize(("speed", "mib"), [(6e9, 256), (1e9, 256), (0.7e9, 128), (0.3e9, 64), (0.05e9, 16)])
def test_its_transfer_is_the_largest_that_measures_each_once_in_a_third_of_the_time(speed: float, mib: int) -> None:
    made = planned(speed=speed, time_budget_s=10**6)
    assert made.transfer_bytes == mib * MIB
    visits = len(made.points) * 17 / 16 + 1
    assert mib == 16 or visits * made.transfer_bytes / speed <= 25 / 3 * 1.05


@pytest.mark.parametrize(("usual_gib", "mib"), [(64, 256), (21, 256), (18, 128), (8, 64), (1, 16)])
def test_its_transfer_is_the_largest_that_a_third_of_the_usual_bytes_pays_for(usual_gib: int, mib: int) -> None:
    """Twenty-six measurements of 256 MiB are 6.5 GiB."""
    made = planned("write", usual=usual_gib * GIB, write_budget=64 * GIB)
    assert made.transfer_bytes == mib * MIB
    visits = len(made.points) * 17 / 16 + 1
    assert mib == 16 or visits * made.visit_bytes <= usual_gib * GIB / 3 * 1.05
    assert planned("read", usual=usual_gib * GIB).transfer_bytes == 256 * MIB


def test_it_is_as_considerate_as_a_pass() -> None:
    made = planned(turn_ms=20)
    assert made.transfer_bytes == 64 * MIB
    assert made.visit_ns <= 20_000_000


@pytest.mark.parametrize(
    ("too_little", "enough"),
    [
        # 26 measurements of the least transfer are 416 MiB, which take 0.07 s at 6 GB/s.
        pytest.param({"time_budget_s": 0.06, "seconds": 0.06}, {"time_budget_s": 0.09, "seconds": 0.09}, id="time"),
        pytest.param(
            {"usual": 400 * MIB, "write_budget": 400 * MIB}, {"usual": 0, "write_budget": 432 * MIB}, id="bytes"
        ),
    ],
)
def test_what_the_budgets_do_not_pay_for_is_not_raced(too_little: dict[str, Any], enough: dict[str, Any]) -> None:
    assert raced("write", **too_little) is None
    assert planned("write", **enough).transfer_bytes == 16 * MIB


def test_nothing_left_is_no_race() -> None:
    assert raced(seconds=0, time_budget_s=0) is None
    assert raced("write", usual=0, write_budget=0) is None


def test_the_speed_is_the_mean_of_the_finalists_and_of_all_for_one_without_a_sample() -> None:
    fast, slow, other = SOME[1], SOME[2], setting(depth=99)
    common = {**COMMON, "chosen": (fast, slow), "usual_ns": 3 * 10**9, "time_budget_ns": 10**12}
    taken = [sample(fast, 4e9), sample(slow, 1e9), sample(other, 0.01e9)]
    mean = plan.race("read", samples=taken, **common)
    assert mean is not None
    # Four measurements in a second at 1.6 GB/s, the harmonic mean: 400 MB each.
    assert mean.transfer_bytes == 256 * MIB
    slower = plan.race("read", samples=taken, **{**common, "chosen": (slow, setting(depth=98))})
    assert slower is not None
    assert slower.transfer_bytes == 128 * MIB
    unknown = plan.race("read", samples=taken[2:], **{**common, "chosen": (fast, slow)})
    assert unknown is not None
    assert unknown.transfer_bytes == 16 * MIB


def test_what_is_kept_for_sustained_writes_is_in_the_plan_and_beside_the_budgets() -> None:
    made = planned("write", sustain=4 * GIB)
    assert (made.sustain_bytes, made.sustain_ns) == (4 * GIB, 4)
    assert replace(made, sustain_bytes=0, sustain_ns=0) == planned("write")
