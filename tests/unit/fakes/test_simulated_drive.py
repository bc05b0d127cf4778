"""The simulated drives: their physics, their moods, and the program that speaks for them."""

from __future__ import annotations

import asyncio
import json
import math
import shlex
import signal
import stat
import statistics
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from aio_tuned.errors import Exit, HelperError
from aio_tuned.helper.process import Helper
from aio_tuned.helper.protocol import Tick, arguments, parse_point, request_line
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting
from aio_tuned.search import estimate, grid
from aio_tuned.search.taint import taint_reason
from aio_tuned.sweep.decided import decide
from aio_tuned.sweep.order import Order, SweepOutcome
from aio_tuned.sweep.run import run_sweep
from fakes.simulated.dice import Dice
from fakes.simulated.drive import MAX_TRANSFERS, Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.model import GB, Cliff, Drift, DriveModel, Foreign, Host, Noise, Side, Stalls
from fakes.simulated.models import DEVELOPED_WITH, HELD_BACK, MODELS, NAMED
from fakes.simulated.physics import figures
from fakes.simulated.request_line import BadRequestError, Limits, parse
from fakes.simulated.truth import SETTINGS, truth
from fakes.simulated.weather import Spells
from unit.support.builders import GIB, MIB, PROJECT, request, scratch_target, setting, timeless

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.measurement import Request, Sample

PROGRAM = PROJECT / "tests/fakes/simulated_aio_sweep.py"
QUIET = Noise(visit=0.0, transfer=0.0)
SIDE = Side(bytes_per_s=6 * GB, iops=1e6, latency_s=80e-6, stream_bytes_per_s=2 * GB)
# Nothing in it is lost to threads, crowds or order: what is left is queueing.
PLAIN = DriveModel(
    name="plain", family="enterprise", read=SIDE, write=SIDE, streams=0.0, crowd=0.0, noise=QUIET, merges=False
)
ORDER = Order(
    settings={"read": SETTINGS, "write": SETTINGS},
    max_transfer_bytes=256 * MIB,
    time_budget_ns=60_000_000_000,
    write_budget_bytes=32 * GIB,
    tolerance=0.02,
    seed=1,
)


def speed(model: DriveModel, which: Setting, direction: Direction = "read", size: int = 256 * MIB) -> float:
    return size / float(figures(model, direction, [which], size).transfer_s[0])


def write(which: Setting = DEFAULT_SETTING, size: int = 64 * MIB, **changes: Any) -> Request:  # noqa: ANN401
    return request(which, direction="write", transfer_bytes=size, **changes)


def visits(drive: Drive, asked: Request, count: int) -> list[Sample]:
    return [drive.visit(asked) for _ in range(count)]


# --- the models ------------------------------------------------------------------------------------------


def test_there_are_more_than_thirty_models_of_all_families_with_names_of_their_own() -> None:
    assert len(MODELS) >= 30
    assert len(NAMED) == len(MODELS)
    assert {model.family for model in MODELS} == {"enterprise", "consumer", "qlc", "raid0", "cloud", "virtio", "other"}


def test_a_third_is_held_back_some_of_every_family() -> None:
    assert 0.3 <= len(HELD_BACK) / len(MODELS) <= 0.37
    assert {model.family for model in HELD_BACK} == {model.family for model in DEVELOPED_WITH}
    assert not set(HELD_BACK) & set(DEVELOPED_WITH)


def numbers(part: object) -> list[float]:
    if is_dataclass(part):
        return [number for item in fields(part) for number in numbers(getattr(part, item.name))]
    return [float(part)] if isinstance(part, (int, float)) else []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_has_a_plausible_surface(model: DriveModel) -> None:
    assert min(numbers(model)) >= 0
    for direction in ("read", "write"):
        side, table = model.side(direction), truth(model, direction)
        assert len(table.bytes_per_s) == len(SETTINGS) == 320
        assert table.optimum in SETTINGS
        assert table.of(table.optimum) == table.best_bytes_per_s == max(table.bytes_per_s)
        # The best setting nearly gets what the data sheet says, and the worst much less, but on throttled volumes.
        assert 0.9 * side.bytes_per_s < table.best_bytes_per_s <= side.bytes_per_s
        assert 0.02 < min(table.bytes_per_s) / table.best_bytes_per_s < 0.98
        assert 4 <= len(table.tied()) <= 300
        assert table.optimum in table.tied(0.0)


def test_optima_differ_between_drives_and_between_directions() -> None:
    optima = {(model.name, way): truth(model, way).optimum for model in MODELS for way in ("read", "write")}
    assert len(set(optima.values())) >= 25
    assert sum(optima[model.name, "read"] != optima[model.name, "write"] for model in MODELS) > len(MODELS) / 2
    assert {which.overlap_events for which in optima.values()} == {True, False}
    assert {which.single_submit for which in optima.values()} == {True, False}
    assert len({which.io_parallelism for which in optima.values()}) == 4
    assert len({which.block_size for which in optima.values()}) == 4
    ties = [len(truth(model, way).tied()) for model in MODELS for way in ("read", "write")]
    assert min(ties) < 10
    assert max(ties) > 160


def test_no_setting_is_best_everywhere() -> None:
    """Else there would be nothing to tune."""
    worst = {
        which: min(truth(model, "read").of(which) / truth(model, "read").best_bytes_per_s for model in MODELS)
        for which in SETTINGS
    }
    assert max(worst.values()) < 0.97


# --- physics ---------------------------------------------------------------------------------------------

BLOCKS = st.sampled_from([128 << 10, 256 << 10, 512 << 10, MIB])
DEPTHS = st.integers(1, 128)
THREADS = st.sampled_from([1, 2, 4, 8])
SIDES = st.builds(
    Side,
    bytes_per_s=st.floats(0.1e9, 15e9),
    iops=st.floats(3e3, 3e6),
    latency_s=st.floats(5e-6, 2e-3),
    stream_bytes_per_s=st.floats(0.2e9, 5e9),
    spread=st.floats(0, 0.2),
    tail=st.floats(0, 1),
)
PLAIN_MODELS = st.builds(
    lambda side, max_sectors, tags, knee, call_ns: replace(
        PLAIN, read=side, max_sectors_kb=max_sectors, tags=tags, knee=knee, host=Host(call_ns=call_ns)
    ),
    SIDES,
    st.sampled_from([128, 256, 512, 1280]),
    st.sampled_from([64, 256, 1023]),
    st.floats(2, 10),
    st.floats(500, 20_000),
)
HALF_A_PER_MILLE = 1.0005


@tries(derandomize=True, deadline=None, max_examples=150)
@given(PLAIN_MODELS, BLOCKS, DEPTHS, DEPTHS, THREADS, st.booleans())
def test_a_deeper_queue_is_no_slower(
    model: DriveModel, block: int, depth: int, more: int, threads: int, single: bool
) -> None:
    shallow, deep = sorted((depth, more))
    slower = speed(model, setting(block, shallow, threads, single=single))
    assert speed(model, setting(block, deep, threads, single=single)) >= slower / HALF_A_PER_MILLE


@tries(derandomize=True, deadline=None, max_examples=150)
@given(PLAIN_MODELS, BLOCKS, BLOCKS, st.integers(1, 32), THREADS)
def test_larger_blocks_are_no_slower_but_for_the_end_of_the_transfer(
    model: DriveModel, block: int, more: int, depth: int, threads: int
) -> None:
    small, large = sorted((block, more))
    before, after = (figures(model, "read", [setting(each, depth, threads)], 256 * MIB) for each in (small, large))
    alone_s = model.read.latency_s + large / model.read.stream_bytes_per_s
    # The last requests of the slowest thread, whose service times spread: up to 2.5 times one alone was seen.
    max_s = float(before.transfer_s[0]) * HALF_A_PER_MILLE + alone_s * 3
    assert float(after.transfer_s[0]) <= max_s


@tries(derandomize=True, deadline=None, max_examples=150)
@given(PLAIN_MODELS, BLOCKS, DEPTHS, THREADS, st.booleans(), st.booleans())
def test_no_ceiling_is_broken(
    model: DriveModel, block: int, depth: int, threads: int, overlap: bool, single: bool
) -> None:
    which, side = setting(block, depth, threads, overlap, single), model.read
    found = speed(model, which)
    piece = min(block, model.max_sectors_kb * 1024)
    assert found <= side.bytes_per_s
    assert found <= side.iops * piece * 1.0001
    assert found <= threads * depth * block / side.latency_s
    assert found <= min(threads, model.host.cores) * block / (model.host.request_ns / 1e9)


@tries(derandomize=True, deadline=None, max_examples=100)
@given(PLAIN_MODELS, BLOCKS, DEPTHS, THREADS)
def test_waiting_for_the_whole_batch_is_no_faster(model: DriveModel, block: int, depth: int, threads: int) -> None:
    batches = speed(replace(model, host=Host(call_ns=0)), setting(block, depth, threads, overlap=False))
    assert batches <= speed(replace(model, host=Host(call_ns=0)), setting(block, depth, threads)) * HALF_A_PER_MILLE


@tries(derandomize=True, deadline=None, max_examples=100)
@given(PLAIN_MODELS, st.sampled_from(SETTINGS), st.integers(4, 8))
def test_longer_transfers_fill_the_queues_better(model: DriveModel, which: Setting, power: int) -> None:
    assert speed(model, which, size=2 << power << 20) >= speed(model, which, size=1 << power << 20) / HALF_A_PER_MILLE


@pytest.mark.parametrize("size", [16 * MIB, 64 * MIB, 256 * MIB])
def test_settings_that_are_the_same_program_are_the_same_here(size: int) -> None:
    seen: dict[object, float] = {}
    for which in SETTINGS:
        found = speed(NAMED["990-pro"], which, size=size)
        assert seen.setdefault(grid.program(which, size), found) == found
    assert len(seen) < len(SETTINGS)


def test_single_submit_costs_the_submitting_thread() -> None:
    """The more, the more threads share the queue; and nothing where the drive is the bottleneck."""
    busy = replace(PLAIN, host=Host(call_ns=20_000, contention=0.1), read=replace(SIDE, bytes_per_s=60 * GB))

    def loss(model: DriveModel, threads: int) -> float:
        block, depth = 128 << 10, 64
        return 1 - speed(model, setting(block, depth, threads, single=True)) / speed(
            model, setting(block, depth, threads)
        )

    assert 0.1 < loss(busy, 1) < loss(busy, 8) < 0.4
    assert loss(replace(PLAIN, read=replace(SIDE, bytes_per_s=1 * GB)), 1) < 0.001


def test_threads_help_until_there_are_as_many_as_cores() -> None:
    busy = replace(PLAIN, host=Host(call_ns=30_000, cores=4, contention=0), read=replace(SIDE, bytes_per_s=90 * GB))
    one, two, four, eight = (speed(busy, setting(128 << 10, 64, threads)) for threads in (1, 2, 4, 8))
    assert two / one == pytest.approx(2, rel=0.05)
    assert four / two == pytest.approx(2, rel=0.1)
    assert eight <= four


def busy_share(model: DriveModel, which: Setting) -> float:
    """The share of the time in which its threads have work, as a visit tells it."""
    visit = Drive(model, seed=1).visit(request(which, transfer_bytes=256 * MIB))
    return visit.cpu_ns / (visit.elapsed_ns * which.io_parallelism)


def test_threads_that_wait_for_the_drive_do_not_burn_the_processor() -> None:
    waiting = replace(PLAIN, read=replace(SIDE, bytes_per_s=1 * GB))
    one, four = (busy_share(waiting, setting(MIB, 16, threads)) for threads in (1, 4))
    assert 0 < four < one < 0.05
    assert one == pytest.approx(4 * four, rel=0.1)


def test_threads_that_are_the_limit_are_busy_all_the_time() -> None:
    limit = replace(PLAIN, host=Host(call_ns=60_000), read=replace(SIDE, bytes_per_s=60 * GB, latency_s=5e-6))
    for threads in (1, 2):
        assert 0.95 < busy_share(limit, setting(128 << 10, 64, threads)) <= 1.001


def test_requests_above_max_sectors_are_split() -> None:
    """Where requests per second are the limit, a split block gains nothing over a small one."""
    limited = replace(PLAIN, max_sectors_kb=128, read=replace(SIDE, iops=5000))
    split, small = speed(limited, setting(MIB, 16)), speed(limited, setting(128 << 10, 128))
    assert split == pytest.approx(small, rel=0.02)
    assert speed(replace(limited, max_sectors_kb=1024), setting(MIB, 16)) > 4 * split


def test_a_batch_waits_for_its_preparation() -> None:
    dear, cheap = (replace(PLAIN, host=Host(request_ns=each)) for each in (10_000, 0))
    batches, overlapped = setting(128 << 10, 32, overlap=False), setting(128 << 10, 32)
    assert speed(dear, batches) < 0.93 * speed(cheap, batches)
    assert speed(dear, overlapped) > 0.97 * speed(cheap, overlapped)


def test_splitting_costs_the_submitting_thread() -> None:
    slow = replace(PLAIN, max_sectors_kb=128, host=Host(piece_ns=40_000, page_ns=0), read=replace(SIDE, latency_s=1e-6))
    free = replace(slow, host=Host(piece_ns=0, page_ns=0))
    assert speed(slow, setting(MIB, 64)) < 0.95 * speed(free, setting(MIB, 64))
    assert speed(slow, setting(128 << 10, 64)) == speed(free, setting(128 << 10, 64))


def test_the_drive_sees_no_more_requests_than_it_has_tags() -> None:
    few = replace(PLAIN, tags=8, read=replace(SIDE, latency_s=1e-3, bytes_per_s=60 * GB))
    eight = speed(few, setting(128 << 10, 8))
    assert speed(few, setting(128 << 10, 64, 8)) == pytest.approx(eight, rel=0.02)
    assert speed(replace(few, tags=1023), setting(128 << 10, 64, 8)) > 8 * eight


def test_the_requests_of_a_batch_are_merged_unless_they_are_submitted_one_by_one() -> None:
    limited = replace(PLAIN, merges=True, read=replace(SIDE, iops=5000))
    batch, single = (speed(limited, setting(128 << 10, 64, overlap=False, single=single)) for single in (False, True))
    assert batch > 2 * single
    assert speed(replace(limited, merges=False), setting(128 << 10, 64, overlap=False)) < 1.1 * single


def test_crowds_threads_and_disorder_cost_what_they_are_said_to() -> None:
    deep = setting(MIB, 64, 8)
    whole = speed(PLAIN, deep)
    assert speed(replace(PLAIN, streams=0.01), deep) == pytest.approx(whole / 1.03, rel=0.002)
    assert speed(replace(PLAIN, crowd=0.01, crowd_from=64), deep) == pytest.approx(whole / 1.02, rel=0.002)
    windowed = replace(PLAIN, read=replace(SIDE, window_bytes=64 * MIB, crowd=0.01))
    assert speed(windowed, deep) == pytest.approx(whole / 1.02, rel=0.002)
    assert speed(replace(PLAIN, read=replace(SIDE, disorder=0.05)), deep) == pytest.approx(whole / 1.05, rel=0.002)


# --- visits ----------------------------------------------------------------------------------------------


@tries(derandomize=True, deadline=None, max_examples=150)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(SETTINGS),
    st.sampled_from(["read", "write"]),
    st.sampled_from([16 * MIB, 64 * MIB, 256 * MIB]),
    st.integers(0, 10**9),
    st.integers(1, 20),
    st.integers(0, 8 * GIB),
    st.integers(0, 99),
)
def test_a_visit_keeps_to_the_protocol(
    model: DriveModel, which: Setting, direction: Direction, size: int, min_ns: int, least: int, most: int, seed: int
) -> None:
    asked = request(which, direction=direction, transfer_bytes=size, min_ns=min_ns, min_transfers=least, max_bytes=most)
    drive = Drive(model, seed)
    for _ in range(3):
        before_s = drive.now_s
        found = drive.visit(asked)
        assert drive.now_s - before_s == pytest.approx(found.wall_ns / 1e9)
        assert found.request is asked
        assert sum(found.transfers_ns) == found.elapsed_ns <= found.wall_ns
        assert min(found.transfers_ns) > 0
        assert found.bytes == size * len(found.transfers_ns)
        assert len(found.transfers_ns) == 1 or not most or found.bytes <= most
        enough = found.elapsed_ns >= min_ns and len(found.transfers_ns) >= least
        assert enough or (most and found.bytes + size > most)
        assert 0 < found.latency_p50_ns <= found.latency_p99_ns
        moved = found.device_read_bytes if direction == "read" else found.device_write_bytes
        assert moved >= found.bytes or not model.counters
        assert found.cache_verdict == ("device" if model.counters else "unknown")


def test_a_visit_ends_after_the_most_transfers() -> None:
    assert len(Drive(PLAIN, 1).visit(request(transfer_bytes=4096, min_ns=10**12)).transfers_ns) == MAX_TRANSFERS


@pytest.mark.parametrize("name", ["virtio-shared", "sn570", "kioxia-cd8", "intel-p4500"])
def test_equal_seeds_give_equal_answers(name: str) -> None:
    requests = [request(which, min_ns=50_000_000) for which in SETTINGS[:100]]
    first, again, other = (
        [drive.visit(each) for each in requests] for drive in (Drive(NAMED[name], s) for s in (1, 1, 2))
    )
    assert first == again
    assert first != other


def test_without_noise_a_visit_is_the_truth() -> None:
    drive = Drive(PLAIN, 1)
    for which in SETTINGS[::7]:
        found = drive.visit(request(which, transfer_bytes=256 * MIB))
        assert found.bytes_per_s == pytest.approx(drive.true_bytes_per_s("read", which, 256 * MIB), rel=1e-6)
        assert found.bytes_per_s == pytest.approx(truth(PLAIN, "read").of(which), rel=1e-6)


def test_a_setting_off_the_grid_has_a_truth_too() -> None:
    odd = setting(64 << 10, 3, 6)
    assert Drive(PLAIN, 1).true_bytes_per_s("write", odd, 96 * MIB) == pytest.approx(
        speed(PLAIN, odd, "write", 96 * MIB), rel=1e-9
    )


@pytest.mark.parametrize("name", ["pm9a3", "optane-p5800x", "micron-9400", "qemu-throttled", "ebs-gp3"])
def test_the_median_visit_of_a_steady_drive_is_the_truth(name: str) -> None:
    drive = Drive(NAMED[name], 3)
    found = [sample.bytes_per_s for sample in visits(drive, request(min_ns=100_000_000), 400)]
    expected = drive.true_bytes_per_s("read", DEFAULT_SETTING, 64 * MIB)
    assert statistics.median(found) == pytest.approx(expected, rel=0.005)


def logs(drive: Drive, count: int = 2000) -> list[float]:
    expected = drive.true_bytes_per_s("read", DEFAULT_SETTING, 64 * MIB)
    return [math.log(expected / sample.bytes_per_s) for sample in visits(drive, request(), count)]


def test_the_noise_is_as_wide_as_the_model_says() -> None:
    assert statistics.pstdev(logs(Drive(replace(PLAIN, noise=Noise(visit=0.03, transfer=0)), 1))) == pytest.approx(
        0.03, rel=0.1
    )
    both = Drive(replace(PLAIN, noise=Noise(visit=0.03, transfer=0.04)), 1)
    assert statistics.pstdev(logs(both)) == pytest.approx(0.05, rel=0.1)


def test_the_noise_between_transfers_averages_out_within_a_visit() -> None:
    drive = Drive(replace(PLAIN, noise=Noise(visit=0, transfer=0.1)), 1)
    short, long = (
        statistics.pstdev([sample.bytes_per_s for sample in visits(drive, request(min_transfers=count), 300)])
        for count in (1, 100)
    )
    assert short / long == pytest.approx(10, rel=0.25)


def test_a_heavy_tail_is_one_sided_and_heavy() -> None:
    found = logs(Drive(replace(PLAIN, noise=replace(QUIET, tail_share=0.1, tail_scale=0.05)), 1), 4000)
    late = [log for log in found if log > 1e-6]
    assert len(late) / len(found) == pytest.approx(0.1, abs=0.02)
    assert min(found) > -1e-6
    assert max(found) > 5 * statistics.median(late)


def test_spells_are_the_same_in_whatever_slices_they_are_seen() -> None:
    whole, slices = (Spells(Dice(seed=1, name="x"), length_s=1, pause_s=3) for _ in range(2))
    cut = [slices.share(number / 10, (number + 1) / 10) for number in range(50_000)]
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in cut)
    assert statistics.fmean(cut) == pytest.approx(whole.share(0, 5000)) == pytest.approx(0.25, abs=0.03)


def test_a_drive_with_two_modes_is_mostly_in_either() -> None:
    """Two spells of a second each, visits of a hundredth: nearly all of a visit lies in one of them."""
    noise = replace(QUIET, slow_factor=1.3, slow_s=1.0, fast_s=3.0)
    ratios = [math.exp(log) for log in logs(Drive(replace(PLAIN, noise=noise), 1), 6000)]
    full = max(ratios)
    fast = sum(ratio < 1.02 for ratio in ratios) / len(ratios)
    slow = sum(ratio > full - 0.02 for ratio in ratios) / len(ratios)
    assert full == pytest.approx(1.3, abs=0.03)
    assert 0.6 < fast < 0.85
    assert 0.15 < slow < 0.4
    assert fast + slow > 0.95


# --- cliffs, drift, stalls, others -----------------------------------------------------------------------

CLIFF = replace(
    PLAIN, write=replace(SIDE, cliff=Cliff(bytes=4 * GIB, bytes_per_s=0.5 * GB, recovery_bytes_per_s=0.1 * GIB))
)


def test_behind_the_cliff_writes_are_slow_and_reads_are_not() -> None:
    drive = Drive(CLIFF, 1)
    fresh = drive.visit(write(size=256 * MIB)).bytes_per_s
    before = visits(drive, write(size=256 * MIB), 15)
    after = visits(drive, write(size=256 * MIB), 5)
    assert {sample.bytes_per_s for sample in before} == {fresh}
    assert fresh == pytest.approx(drive.true_bytes_per_s("write", DEFAULT_SETTING, 256 * MIB), rel=1e-6)
    assert max(sample.bytes_per_s for sample in after) < 0.51 * GB
    assert drive.visit(request()).bytes_per_s > 3 * GB


def test_one_visit_may_go_over_the_cliff() -> None:
    found = Drive(CLIFF, 1).visit(write(size=256 * MIB, min_transfers=20, min_ns=0))
    fast, slow = found.transfers_ns[:16], found.transfers_ns[16:]
    assert len(found.transfers_ns) == 20
    assert min(slow) > 5 * max(fast)


def test_an_idle_drive_recovers_by_and_by() -> None:
    drive = Drive(CLIFF, 1)
    drive.fill(4 * GIB)
    slow = drive.visit(write(size=256 * MIB)).bytes_per_s
    drive.idle(2.6)
    fast = drive.visit(write(size=256 * MIB)).bytes_per_s
    slow_again = drive.visit(write(size=256 * MIB)).bytes_per_s
    drive.idle(1000)
    rested = visits(drive, write(size=256 * MIB), 17)
    assert slow == pytest.approx(slow_again, rel=0.05)
    assert fast > 5 * slow
    assert [sample.bytes_per_s > 5 * slow for sample in rested] == [True] * 16 + [False]


def test_reading_lets_the_write_cache_recover() -> None:
    drive = Drive(CLIFF, 1)
    drive.fill(4 * GIB)
    drive.visit(request(min_ns=20_000_000_000))
    assert drive.stores["write"].used_bytes < 2.2 * GIB


def test_filling_takes_the_time_that_writing_does() -> None:
    drive = Drive(CLIFF, 1)
    assert drive.fill(8 * GIB) == pytest.approx(4 * GIB / (6 * GB) + 4 * GIB / (0.5 * GB))


def test_heat_slows_a_busy_drive_and_only_where_it_is_the_bottleneck() -> None:
    model = replace(PLAIN, drift=Drift(heat_loss=0.2, heat_s=10))
    quick, lazy = setting(MIB, 64), setting(128 << 10, 1)
    drive = Drive(model, 1)
    cool = [drive.visit(request(which)).bytes_per_s for which in (quick, lazy)]
    visits(drive, request(quick, min_ns=1_000_000_000), 60)
    hot = [drive.visit(request(which)).bytes_per_s for which in (quick, lazy)]
    assert hot[0] == pytest.approx(0.8 * cool[0], rel=0.01)
    assert hot[1] > 0.94 * cool[1]
    drive.idle(100)
    assert drive.visit(request(quick)).bytes_per_s == pytest.approx(cool[0], rel=0.01)


def test_the_sweep_sees_the_drift() -> None:
    outcome = swept(replace(NAMED["t705"], noise=QUIET, drift=Drift(heat_loss=0.1, heat_s=20)))
    (read,) = outcome.phases
    assert read.first_pass is not None
    assert -0.12 < estimate.curve(read.first_pass, outcome.samples).drift < -0.005


def test_neighbours_come_and_go() -> None:
    drive = Drive(replace(PLAIN, drift=Drift(swing=0.1, swing_s=20)), 1)
    found = [sample.bytes_per_s for sample in visits(drive, request(setting(MIB, 64), min_ns=10**9), 60)]
    assert min(found) / max(found) == pytest.approx(0.8, abs=0.03)


def test_a_stall_lengthens_one_transfer() -> None:
    drive = Drive(replace(PLAIN, stalls=Stalls(every_s=5, length_s=0.5)), 1)
    found = visits(drive, request(min_transfers=10), 1000)
    usual = statistics.median(sample.elapsed_ns for sample in found)
    stalled = [sample for sample in found if sample.elapsed_ns > usual + 0.2e9]
    passed_s = sum(sample.elapsed_ns for sample in found if sample not in stalled) / 1e9
    assert len(stalled) == pytest.approx(passed_s / 5, rel=0.5)
    for sample in stalled:
        long = [ns for ns in sample.transfers_ns if ns > 0.2e9]
        assert len(long) == 1
        assert sample.latency_p99_ns > 0.2e9


def test_foreign_io_is_seen_and_taints() -> None:
    model = replace(PLAIN, foreign=Foreign(share=0.4, burst_s=1.0, quiet_s=3.0))
    found = visits(Drive(model, 1), request(setting(MIB, 64), min_ns=100_000_000), 1000)
    tainted = [sample for sample in found if taint_reason(sample)]
    assert 0.1 < len(tainted) / len(found) < 0.45
    assert {taint_reason(sample) for sample in tainted} == {"other processes used the drive"}
    clean = statistics.median(sample.bytes_per_s for sample in found if sample not in tainted)
    assert min(sample.bytes_per_s for sample in tainted) == pytest.approx(0.6 * clean, rel=0.05)
    assert all(sample.bytes_per_s > 0.9 * clean for sample in found if sample not in tainted)


def test_a_trickle_of_foreign_io_does_not_taint() -> None:
    model = replace(PLAIN, foreign=Foreign(trickle_bytes_per_s=20e6))
    found = Drive(model, 1).visit(request(min_ns=10**9))
    assert found.device_read_bytes - found.bytes == pytest.approx(20e6, rel=0.1)
    assert not taint_reason(found)


def test_caches_are_dropped_before_the_first_read_and_when_asked() -> None:
    drive = Drive(PLAIN, 1)
    asked = [write(), request(), request(), write(), request(drop_caches=True), request(drop_caches=False)]
    assert [drive.visit(each).cache_dropped for each in asked] == [False, True, False, False, True, False]
    assert not Drive(PLAIN, 1).visit(request(drop_caches=False)).cache_dropped


# --- sweeps in this process ------------------------------------------------------------------------------


def swept(model: DriveModel, seed: int = 1, **changes: Any) -> SweepOutcome:  # noqa: ANN401 - of the order
    order = replace(ORDER, **{"settings": {"read": SETTINGS}, **changes})
    return asyncio.run(run_sweep(SimulatedHelper(Drive(model, seed)).helper, order))


@pytest.mark.parametrize("name", ["pm9a3", "sn570", "raid0-8xmicron-7450", "azure-ultra"])
def test_a_sweep_finds_a_setting_that_is_nearly_the_best(name: str) -> None:
    outcome = swept(NAMED[name])
    (read,) = outcome.phases
    chosen = decide(outcome, read, 0.02).choice.setting
    table = truth(NAMED[name], "read", read.phase.transfer_bytes)
    assert table.of(chosen) > 0.97 * table.best_bytes_per_s


def test_what_is_written_is_counted_with_the_fill() -> None:
    helper = SimulatedHelper(Drive(PLAIN, 1), fill_bytes=GIB)
    outcome = asyncio.run(run_sweep(helper.helper, ORDER))
    written = sum(sample.bytes for sample in outcome.samples if sample.request.direction == "write")
    assert outcome.written_bytes == helper.written_bytes == GIB + written
    assert outcome.hello.fill_bytes == GIB


def test_a_fill_uses_up_the_slc_cache() -> None:
    drive = Drive(CLIFF, 1)
    asyncio.run(SimulatedHelper(drive, fill_bytes=GIB).hello())
    assert drive.stores["write"].used_bytes == GIB


# --- request lines ---------------------------------------------------------------------------------------

LIMITS = Limits(alignment_bytes=512, max_transfer_bytes=64 * MIB, allow_write=True)
LINE = request_line(request())


@tries(derandomize=True, deadline=None, max_examples=100)
@given(st.sampled_from(SETTINGS), st.integers(0, 2**63 - 1), st.sampled_from([None, True, False]), st.booleans())
def test_what_the_tuner_writes_is_read_as_it_was_meant(
    which: Setting, number: int, drop: bool | None, writes: bool
) -> None:
    asked = request(which, id=number, drop_caches=drop, direction="write" if writes else "read", max_bytes=number)
    assert parse(request_line(asked), LIMITS) == asked


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("point", "pointer", "not a verb"),
        (" ", "  ", "not a key"),
        ("queue_depth=8", "queue_depth=8 queue_depth=8", "given twice"),
        ("queue_depth=8 ", "", "queue_depth: missing"),
        ("queue_depth=8", "queue_depth=4097", "from 1 to 4096"),
        ("queue_depth=8", "queue_depth=+8", "not a decimal integer"),
        ("queue_depth=8", "queue_depth=8 colour=red", "not a key"),
        ("op=read", "op=trim", "neither read nor write"),
        ("block_size=1048576", "block_size=1000", "I/O alignment, 512"),
        ("transfer_bytes=67108864", "transfer_bytes=134217728", "--max-transfer-bytes"),
        ("io_parallelism=1", "io_parallelism=3", "not a multiple of io_parallelism"),
        ("op=read", "op=read drop_caches=2", "from 0 to 1"),
        ("op=read", "op=read" + " " * 1000, "longer than 1023"),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused(old: str, new: str, said: str) -> None:
    assert old in LINE
    with pytest.raises(BadRequestError, match=said):
        parse(LINE.replace(old, new), LIMITS)


def test_a_write_needs_leave() -> None:
    line = request_line(write())
    assert parse(line, LIMITS).direction == "write"
    with pytest.raises(BadRequestError, match="allow-write"):
        parse(line, replace(LIMITS, allow_write=False))


# --- the program -----------------------------------------------------------------------------------------

WORDS = arguments(
    scratch_target(),
    allow_write=True,
    max_transfer_bytes=256 * MIB,
    drop_caches="auto",
    counters=(),
    expect_devices=("259:1",),
    expect_diskseq=9,
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program under this interpreter: the first on the PATH may lack numpy."""
    path = tmp_path / "helper"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(PROGRAM))} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def said(program: Path, lines: str, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run([program, *words], input=lines, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_program_may_be_run_as_it_is() -> None:
    assert PROGRAM.stat().st_mode & stat.S_IXUSR
    assert PROGRAM.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.parametrize("name", ["pm9a3", "virtio-network"])
def test_a_whole_sweep_through_the_real_adapter_is_that_of_the_drive(
    monkeypatch: pytest.MonkeyPatch, program: Path, name: str
) -> None:
    """The same requests, and the same answers, as in this process."""
    monkeypatch.setenv("AIO_SWEEP_DRIVE", name)
    monkeypatch.setenv("AIO_SWEEP_SEED", "5")
    ticks: list[Tick] = []

    async def run() -> SweepOutcome:
        async with await Helper.start(program, WORDS, ticks.append) as helper:
            return await run_sweep(helper, ORDER)

    outcome = asyncio.run(run())
    inside = SimulatedHelper(Drive(NAMED[name], 5), fill_bytes=GIB)
    assert timeless(outcome.samples) == asyncio.run(run_sweep(inside.helper, ORDER)).samples
    assert outcome.written_bytes == inside.written_bytes
    assert outcome.hello.version == f"simulated {name}"
    assert ticks[0] == Tick(phase="fill", bytes=GIB, total_bytes=GIB)


def test_the_programs_life_is_that_of_the_protocol(program: Path) -> None:
    lines = request_line(request(id=7)) + "\n" + request_line(write(id=8)) + "\n" + request_line(request(id=9))
    code, messages = said(program, lines, *WORDS, "--drive=pm9a3", "--seed", "3")
    assert code == 0
    # The last line has no end of line, hence was no request.
    assert [message["type"] for message in messages] == ["tick", "hello", "point", "point", "end"]
    hello, read, written, end = messages[1:]
    assert hello["protocol"] == 2
    assert hello["target"]["span_bytes"] == hello["fill_bytes"] == GIB
    assert parse_point(read, request(id=7)).bytes == read["bytes"]
    assert parse_point(read, request(id=7)).cache_dropped
    assert not parse_point(written, write(id=8)).cache_dropped
    assert (end["reason"], end["points"]) == ("eof", 2)
    assert (end["bytes_read"], end["bytes_written"]) == (read["bytes"], GIB + written["bytes"])


def test_a_long_visit_ticks(program: Path) -> None:
    asked = request(id=1, min_ns=5_500_000_000)
    _, messages = said(program, request_line(asked) + "\n", *WORDS, "--drive=optane-p5800x")
    ticks = [message for message in messages if message["type"] == "tick" and message["phase"] == "point"]
    assert len(ticks) == 5
    assert [tick["bytes"] for tick in ticks] == sorted({tick["bytes"] for tick in ticks})


def test_a_bad_line_ends_the_program_with_65(program: Path) -> None:
    line = LINE.replace("block_size=1048576", "block_size=1000")
    code, messages = said(program, line + "\n", *WORDS)
    assert code == messages[-1]["code"] == 65
    assert (messages[-1]["type"], messages[-1]["id"], messages[-1]["line"]) == ("error", 1, line)


@pytest.mark.parametrize(
    "words",
    [
        ["--span-bytes=1", "--max-transfer-bytes=1"],
        ["--scratch=/x", "--device=/y", "--span-bytes=1", "--max-transfer-bytes=1"],
        ["--scratch=/x", "--span-bytes=1", "--max-transfer-bytes=2"],
        ["--scratch=/x", "--span-bytes=1", "--max-transfer-bytes=1", "--drive=floppy"],
    ],
)
def test_a_bad_command_line_ends_the_program_with_64(program: Path, words: list[str]) -> None:
    code, messages = said(program, "", *words)
    assert code == messages[-1]["code"] == 64


def test_an_unknown_drive_is_named(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setenv("AIO_SWEEP_DRIVE", "floppy")

    async def run() -> None:
        async with await Helper.start(program, WORDS) as helper:
            await helper.hello()

    with pytest.raises(HelperError, match="floppy: no such drive") as caught:
        asyncio.run(run())
    assert caught.value.exit_code == Exit.HELPER


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_taken_as_leave(program: Path, how: signal.Signals) -> None:
    with subprocess.Popen([program, *WORDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        heard = [process.stdout.readline() for _ in range(2)]
        process.send_signal(how)
        heard += process.stdout.readlines()
        assert process.wait(30) == 0
    assert json.loads(heard[-1])["reason"] == "signal"
