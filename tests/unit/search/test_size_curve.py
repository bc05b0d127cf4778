"""The experiment by request size, on drives whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.search import size_curve
from aio_tuned.search.curve_plan import CurvePlan
from aio_tuned.search.size_model import Guess
from aio_tuned.search.taint import taint_reason
from unit.support.builders import MIB
from unit.support.size_drive import SizeDrive, run

if TYPE_CHECKING:
    from aio_tuned.model.size_curve import CurveOp, SizeCurve

SIZES = tuple(kib << 10 for kib in (4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384))
PLAN = CurvePlan(
    engine="io_uring",
    op="read",
    sizes=SIZES,
    guess=Guess(latency_s=100e-6, bytes_per_s=6e9),
    max_transfer_bytes=256 * MIB,
    budget_ns=8 * 10**9,
    budget_bytes=0,
    seed=1,
    split_bytes=SizeDrive().piece_bytes,
)
WRITES = replace(PLAN, op="write", budget_ns=4 * 10**9, budget_bytes=1200 * MIB)
DRIVES = {
    "usual": SizeDrive(),
    "sharp": SizeDrive(latency_s=12e-6, bend=6.0, bytes_per_s=3e9),
    "soft": SizeDrive(bend=1.0, crowd=0.002),
    "crowded": SizeDrive(bend=3.0, crowd=0.01),
    "few requests": SizeDrive(iops=16_000, latency_s=600e-6, bytes_per_s=1e9, stream_bytes_per_s=1e9),
    "slow": SizeDrive(bytes_per_s=250e6, stream_bytes_per_s=300e6, latency_s=500e-6, iops=3000),
}


def found(drive: SizeDrive, plan: CurvePlan) -> SizeCurve:
    curve = size_curve.curve(plan, run(drive, plan))
    assert curve is not None
    return curve


def misses(drive: SizeDrive, plan: CurvePlan) -> list[str]:
    """Return the sizes whose number in flight is more than a doubling off, or whose throughput is 3 % off."""
    curve, wrong = found(drive, plan), []
    for size in plan.sizes:
        point = curve.saturated(size)
        least, _ = drive.least(plan, size)
        error = point.throughput_bytes_per_s / drive.truth(size, point.in_flight) - 1
        if abs(math.log2(point.in_flight / least)) > 1 or abs(error) > 0.03:
            wrong.append(f"{size >> 10}K: {point.in_flight}, not {least}, {100 * error:+.1f} %")
    return wrong


@pytest.mark.parametrize("name", DRIVES)
@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, engine="psync")], ids=["io_uring", "psync"])
def test_the_least_in_flight_and_its_throughput_are_those_of_the_drive(name: str, plan: CurvePlan) -> None:
    wrong = [each for seed in range(2) for each in misses(replace(DRIVES[name], seed=seed, asked=[]), plan)]
    assert len(wrong) <= 0.1 * 2 * len(SIZES), wrong


@pytest.mark.parametrize("name", ["usual", "sharp", "crowded", "few requests"])
def test_writes_need_few_bytes(name: str) -> None:
    wrong = [each for seed in range(2) for each in misses(replace(DRIVES[name], seed=seed, asked=[]), WRITES)]
    assert len(wrong) <= 0.1 * 2 * len(SIZES), wrong


def test_the_start_of_short_writes_is_no_loss_of_the_drive() -> None:
    far = SizeDrive(
        latency_s=350e-6, stream_bytes_per_s=700e6, bytes_per_s=10e9, iops=400_000, noise=0.01, piece_bytes=512 << 10
    )
    sizes, guess = tuple(size for size in SIZES if size <= 4 * MIB), Guess(latency_s=500e-6, bytes_per_s=9e9)
    plan = replace(WRITES, sizes=sizes, guess=guess, split_bytes=far.piece_bytes)
    wrong = [each for seed in range(4) for each in misses(replace(far, seed=seed, asked=[]), plan)]
    assert len(wrong) <= 0.1 * 4 * len(sizes), wrong


@pytest.mark.parametrize("op", ["read", "write", "mixed"])
@pytest.mark.parametrize("name", DRIVES)
def test_the_budgets_are_kept(name: str, op: CurveOp) -> None:
    plan = replace(WRITES, op=op, budget_ns=10**9, budget_bytes=400 * MIB)
    drive = replace(DRIVES[name], asked=[])
    spent = plan.spent(run(drive, plan))
    longest_ns = max(drive.answer(one).wall_ns for one in list(drive.asked))
    assert spent.ns <= plan.budget_ns + longest_ns
    assert spent.written_bytes <= plan.budget_bytes


def test_what_is_in_flight_fits_into_the_buffer() -> None:
    drive = SizeDrive()
    plan = replace(PLAN, max_transfer_bytes=32 * MIB, max_in_flight=64)
    run(drive, plan)
    assert drive.asked
    for one in drive.asked:
        assert one.setting.in_flight_bytes <= one.transfer_bytes <= 32 * MIB
        assert one.setting.concurrency <= 64
        assert one.transfer_bytes % one.setting.block_size == 0


def test_a_size_that_exceeds_the_buffer_is_left_out() -> None:
    assert set(found(SizeDrive(), replace(PLAN, max_transfer_bytes=4 * MIB)).sizes) == {
        size for size in SIZES if size <= 4 * MIB
    }


def test_equal_samples_give_equal_rounds_so_that_a_sweep_can_be_resumed() -> None:
    samples = run(SizeDrive(), PLAN)
    for cut in (0, 5, 17, len(samples) - 1):
        first = size_curve.next_round(PLAN, samples[:cut], cut + 1)
        assert first == size_curve.next_round(PLAN, list(samples[:cut]), cut + 1)
    resumed = run(SizeDrive(seed=2), PLAN, samples[:17])
    assert resumed[:17] == samples[:17]
    assert not size_curve.next_round(PLAN, resumed, len(resumed) + 1, later=True)


def test_other_measurements_do_not_count() -> None:
    samples = run(SizeDrive(), PLAN)
    others = [replace(one, request=replace(one.request, purpose="repeat")) for one in samples]
    assert size_curve.next_round(PLAN, others, 1) == size_curve.next_round(PLAN, [], 1)
    assert size_curve.curve(PLAN, others) is None
    assert size_curve.curve(replace(PLAN, engine="psync"), samples) is None


def test_a_tainted_point_is_measured_once_more_and_then_left_out() -> None:
    drive = SizeDrive(tainted=frozenset(range(1, 1000)))
    samples = run(drive, PLAN)
    assert all(taint_reason(one) for one in samples)
    tried = [one.request.setting for one in samples]
    assert max(map(tried.count, tried)) == 2
    assert size_curve.curve(PLAN, samples) is None
    assert set(found(SizeDrive(tainted=frozenset({1, 2, 3, 9})), PLAN).sizes) == set(SIZES)


def test_a_p99_has_a_thousand_requests() -> None:
    samples = run(SizeDrive(), PLAN)
    curve = size_curve.curve(PLAN, samples)
    assert curve is not None
    for point in curve.points:
        most = max(
            one.requests
            for one in samples
            if (one.request.setting.block_size, one.request.setting.concurrency)
            == (point.request_bytes, point.in_flight)
        )
        assert (point.p99_us is not None) == (most >= 1000)
    known = [curve.saturated(size).p99_us for size in SIZES if size <= MIB]
    assert None not in known


def test_each_size_has_a_share_of_one() -> None:
    curve = found(SizeDrive(), PLAN)
    for size in curve.sizes:
        assert max(point.share for point in curve.of_size(size)) == 1.0


def test_the_ratio_of_two_engines_has_its_interval() -> None:
    slow, fast = replace(PLAN, engine="psync"), PLAN
    for seed in range(5):
        samples = run(SizeDrive(bytes_per_s=6e9, seed=seed), slow)
        samples = run(SizeDrive(bytes_per_s=6.6e9, seed=seed + 10), fast, samples)
        ratio = size_curve.ratio(fast, slow, samples, 128 << 10)
        assert ratio is not None
        assert ratio.low < ratio.ratio < ratio.high
        assert ratio.low - 0.01 < 1.1 < ratio.high + 0.01
        assert ratio.high - ratio.low < 0.06
    assert size_curve.ratio(fast, slow, [], 128 << 10) is None
    assert size_curve.ratio(fast, slow, samples, 3 << 10) is None
