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
from unit.support.builders import GIB, MIB, SMALL_GRID, sample, setting

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


# --- the phase -------------------------------------------------------------------------------------------


def make(
    direction: Direction = "read",
    *,
    speed: float = 6e9,
    grid: Grid = DEFAULT_GRID,
    most: int = 256 * MIB,
    seconds: float = 75.0,
    write_budget: int = 8 * GIB,
    seed: int = 1,
    alignment: int = 4096,
    fraction: int = 1,
    sustain: int = 0,
    turn_ms: int | None = None,
) -> Phase:
    return plan.phase(
        direction,
        chosen=search_grid.settings(grid),
        reference=DEFAULT_SETTING,
        calibrated=[sample(bytes_per_s=speed, direction=direction, purpose="calibrate")],
        alignment_bytes=alignment,
        max_transfer_bytes=most,
        time_budget_ns=int(seconds * 1e9),
        write_budget_bytes=write_budget,
        tolerance=0.01,
        seed=seed,
        fraction=fraction,
        sustain_bytes=sustain,
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
@pytest.mark.parametrize("seconds", [20, 75, 600])
@pytest.mark.parametrize("write_budget", [8 * GIB, 64 * GIB])
def test_one_visit_to_every_point_fits_the_budgets(
    direction: Direction, speed: float, seconds: float, write_budget: int
) -> None:
    made = make(direction, speed=speed, seconds=seconds, write_budget=write_budget)
    visits = len(made.points) * 17 / 16
    assert 16 * MIB <= made.transfer_bytes <= 256 * MIB
    if made.transfer_bytes > 16 * MIB:
        assert visits * made.transfer_bytes / speed <= seconds / 2
        assert direction == "read" or visits * made.transfer_bytes <= 0.75 * write_budget
    assert made.visit_ns * visits <= seconds / 2 * 1e9
    if direction == "write":
        assert made.transfer_bytes <= made.visit_bytes
        assert visits * made.visit_bytes <= max(0.75 * write_budget, visits * made.transfer_bytes)
    else:
        assert made.visit_bytes == 0


@pytest.mark.parametrize(
    ("speed", "seconds", "mib"),
    [(14e9, 75, 256), (6e9, 75, 256), (2e9, 75, 128), (1e9, 75, 64), (0.5e9, 75, 32), (0.1e9, 75, 16)],
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


def test_the_smallest_transfer_is_the_smallest_for_others_too() -> None:
    assert make(speed=0.1e9, seconds=600, turn_ms=50).transfer_bytes == plan.MIN_TRANSFER_BYTES


@pytest.mark.parametrize(("gib", "mib"), [(256, 256), (120, 128), (64, 64), (17, 16), (6, 16)])
def test_the_transfer_is_the_largest_that_the_write_budget_pays_for(gib: int, mib: int) -> None:
    assert make("write", speed=14e9, write_budget=gib * GIB).transfer_bytes == mib * MIB


@pytest.mark.parametrize("threads", [(3,), (6,), (1, 3, 8), (5, 6, 7)])
@pytest.mark.parametrize("alignment", [512, 4096, 16384])
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
    with pytest.raises(MeasurementError, match=r"write budget.*192 points of 16 MiB.*--write-budget"):
        make("write", write_budget=visits * 16 * MIB - 1)
    assert make("write", write_budget=visits * 16 * MIB).transfer_bytes == 16 * MIB


def test_a_write_budget_is_nothing_to_reads() -> None:
    assert make("read", write_budget=0).transfer_bytes == 256 * MIB


def test_the_median_calibration_visit_counts() -> None:
    made = plan.phase(
        "read",
        chosen=search_grid.settings(SMALL_GRID),
        reference=DEFAULT_SETTING,
        calibrated=[sample(bytes_per_s=speed, purpose="calibrate") for speed in (1e6, 6e9, 6.1e9)],
        alignment_bytes=512,
        max_transfer_bytes=256 * MIB,
        time_budget_ns=10_000_000_000,
        write_budget_bytes=0,
        tolerance=0.01,
        seed=1,
    )
    assert made.transfer_bytes == 256 * MIB


@pytest.mark.parametrize("direction", ["read", "write"])
def test_of_a_fraction_only_so_many_visits_are_paid_for(direction: Direction) -> None:
    """Every point is in the plan; a fifth is visited, so the transfer may be larger."""
    every, few = (make(direction, seconds=20, speed=3e9, fraction=part, write_budget=16 * GIB) for part in (1, 5))
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


def test_what_is_kept_for_writing_on_is_not_planned_with() -> None:
    kept = make("write", speed=14e9, write_budget=128 * GIB, sustain=64 * GIB)
    assert kept.transfer_bytes == make("write", speed=14e9, write_budget=64 * GIB).transfer_bytes
    assert (kept.write_budget_bytes, kept.sustain_bytes) == (128 * GIB, 64 * GIB)
    visits = 192 + 192 // 16 + 1
    with pytest.raises(MeasurementError, match="write budget"):
        make("write", write_budget=GIB + visits * 16 * MIB - 1, sustain=GIB)
    assert make("write", write_budget=GIB + visits * 16 * MIB, sustain=GIB).transfer_bytes == 16 * MIB


def test_reads_do_not_write_on() -> None:
    assert make("read", sustain=GIB).sustain_bytes == 0


def test_without_a_calibration_visit_there_is_no_plan() -> None:
    with pytest.raises(MeasurementError, match="calibration"):
        plan.phase(
            "read",
            chosen=search_grid.settings(SMALL_GRID),
            reference=DEFAULT_SETTING,
            calibrated=[],
            alignment_bytes=512,
            max_transfer_bytes=256 * MIB,
            time_budget_ns=1,
            write_budget_bytes=0,
            tolerance=0.01,
            seed=1,
        )


def test_a_device_whose_light_settings_are_slow_gets_shorter_transfers() -> None:
    """Limited to 800 requests a second, 1M blocks make 0.8 GB/s and 128K blocks 0.1 GB/s."""
    light = replace(DEFAULT_SETTING, block_size=128 << 10)
    fast = [sample(bytes_per_s=0.8e9, purpose="calibrate")] * 3
    common: dict[str, Any] = {
        "chosen": search_grid.settings(DEFAULT_GRID),
        "reference": DEFAULT_SETTING,
        "alignment_bytes": 4096,
        "max_transfer_bytes": 256 * MIB,
        "time_budget_ns": 200_000_000_000,
        "write_budget_bytes": 0,
        "tolerance": 0.01,
        "seed": 1,
    }
    alone = plan.phase("read", calibrated=fast, **common)
    with_light = plan.phase("read", calibrated=[*fast, sample(light, 0.1e9, purpose="calibrate")], **common)
    assert alone.transfer_bytes == 128 * MIB
    # (1/0.8 + 1/0.1) / 2 is 4.5 times the time of a byte
    assert with_light.transfer_bytes == 32 * MIB


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
