"""Whole sweeps against the stand-in helper, which answers at once in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError, ConfigError, UsageError
from aio_tuned.helper.process import Helper
from aio_tuned.helper.protocol import arguments
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid, Setting
from aio_tuned.search import choose, estimate, plan, race
from aio_tuned.search import grid as search_grid
from aio_tuned.search.taint import taint_reason
from aio_tuned.sweep.order import Order, SweepOutcome
from aio_tuned.sweep.run import run_sweep
from unit.support.builders import FAKE_HELPER, GIB, MIB, SMALL_GRID, scratch_target, timeless

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.sweep.progress import SweepProgress


def both(grid: Grid) -> dict[Direction, tuple[Setting, ...]]:
    return {"read": search_grid.settings(grid), "write": search_grid.settings(grid)}


FULL = Order(
    settings=both(Config().grid),
    max_transfer_bytes=256 * MIB,
    time_budget_ns=150_000_000_000,
    write_budget_bytes=8 * GIB,
    tolerance=0.01,
    seed=1,
)
SMALL = replace(FULL, settings=both(SMALL_GRID), max_transfer_bytes=64 * MIB, time_budget_ns=20_000_000_000)
READS: dict[Direction, tuple[Setting, ...]] = {"read": SMALL.settings["read"]}
ALL_READS: dict[Direction, tuple[Setting, ...]] = {"read": FULL.settings["read"]}


def swept(
    monkeypatch: pytest.MonkeyPatch,
    order: Order,
    helper: Path = FAKE_HELPER,
    **model: Any,  # noqa: ANN401
) -> tuple[SweepOutcome, list[SweepProgress]]:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps(model))
    reports: list[SweepProgress] = []
    words = arguments(
        scratch_target(),
        allow_write=True,
        max_transfer_bytes=order.max_transfer_bytes,
        drop_caches="auto",
        counters=(),
        expect_devices=("259:1",),
        expect_diskseq=9,
    )

    async def run() -> SweepOutcome:
        async with await Helper.start(helper, words) as started:
            return await run_sweep(started, order, reports.append)

    return asyncio.run(run()), reports


# A shell finds the interpreter: a path with a blank in it cannot stand in the first line.
RECORDER = """#!/bin/sh
'''exec' "{python}" "$0" "$@" #'''
import runpy, sys

def lines(source=sys.stdin):
    with open({record!r}, "w") as record:
        for line in source:
            record.write(line)
            record.flush()
            yield line

sys.stdin = lines()
runpy.run_path({fake!r}, run_name="__main__")
"""


def recorder(tmp_path: Path) -> tuple[Path, Path]:
    """(the stand-in with a copy of its standard input, where that is)."""
    program, record = tmp_path / "recorder", tmp_path / "requests"
    program.write_text(RECORDER.format(python=sys.executable, record=str(record), fake=str(FAKE_HELPER)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    record.touch()
    return program, record


def test_a_full_sweep_of_a_fast_drive_finds_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = swept(monkeypatch, FULL)
    assert [one.phase.direction for one in outcome.phases] == ["read", "write"]
    for one, speed in zip(outcome.phases, (6.5e9, 4.0e9), strict=True):
        curve = estimate.curve(one.phase, one.samples)
        assert len(curve.points) == curve.planned
        assert choose.choose(curve, 0.01).stats.bytes_per_s == pytest.approx(speed, rel=0.04)
        assert sum(sample.wall_ns for sample in one.samples) <= FULL.time_budget_ns
    assert sum(sample.wall_ns for sample in outcome.samples) <= FULL.time_budget_ns * 1.01
    assert GIB < outcome.written_bytes <= FULL.write_budget_bytes


def test_phases_begin_with_calibration_and_ids_go_up_through_all(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = swept(monkeypatch, SMALL)
    assert [sample.request.id for sample in outcome.samples] == list(range(1, len(outcome.samples) + 1))
    for one in outcome.phases:
        purposes = [sample.request.purpose for sample in one.samples]
        assert purposes[: plan.CALIBRATION_VISITS] == ["calibrate"] * plan.CALIBRATION_VISITS
        assert "calibrate" not in purposes[plan.CALIBRATION_VISITS :]
        assert {sample.request.direction for sample in one.samples} == {one.phase.direction}
        assert one.samples[0].request.setting == DEFAULT_SETTING
        assert one.ended


@pytest.mark.parametrize("directions", [("read",), ("write",), ("read", "write")])
def test_only_the_directions_that_were_ordered_are_swept(
    monkeypatch: pytest.MonkeyPatch, directions: tuple[Any, ...]
) -> None:
    outcome, reports = swept(
        monkeypatch, replace(SMALL, settings={direction: SMALL.settings[direction] for direction in directions})
    )
    assert tuple(one.phase.direction for one in outcome.phases) == directions
    assert {report.direction for report in reports} == set(directions)


def test_the_same_seed_asks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = (swept(monkeypatch, replace(SMALL, seed=seed))[0] for seed in (1, 1, 2))
    assert timeless(first.samples) == timeless(again.samples)
    assert [one.request.setting for one in first.samples] != [one.request.setting for one in other.samples]


def test_progress_only_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, reports = swept(monkeypatch, SMALL)
    assert len(reports) == len(outcome.samples) - 2 * plan.CALIBRATION_VISITS
    for earlier, later in itertools.pairwise(reports):
        assert later.left_ns <= earlier.left_ns
        assert later.written_bytes >= earlier.written_bytes
        if earlier.direction == later.direction:
            assert later.visits == earlier.visits + 1
            assert later.points_done >= earlier.points_done
            assert later.best_bytes_per_s >= earlier.best_bytes_per_s
            assert later.repeating >= earlier.repeating
        else:
            assert (earlier.direction, later.direction, later.visits) == ("read", "write", 1)
    for report in reports:
        assert 0 <= report.points_done <= report.points_planned
        assert (report.best_bytes_per_s > 0) is (report.points_done > 0)
    assert [report.points_done for report in reports if report.direction == "read"][-1] == reports[0].points_planned
    assert reports[0].written_bytes == GIB


def test_what_one_phase_leaves_the_next_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = swept(monkeypatch, SMALL)
    read, write = outcome.phases
    before = [*read.samples, *write.samples[: plan.CALIBRATION_VISITS]]
    assert write.phase.time_budget_ns == SMALL.time_budget_ns - sum(sample.wall_ns for sample in before)
    assert read.phase.time_budget_ns < SMALL.time_budget_ns / 2


# --- taints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cache", "foreign"])
def test_a_tainted_visit_is_made_again(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    outcome, reports = swept(monkeypatch, SMALL, misbehave={"at": 8, "do": how, "once": True})
    read = outcome.phases[0]
    spoiled = read.samples[7]
    assert taint_reason(spoiled)
    assert [sample for sample in outcome.samples if taint_reason(sample)] == [spoiled]
    again = [
        s for s in read.samples[8:] if s.request.setting == spoiled.request.setting and s.request.purpose == "pass"
    ]
    assert [sample.request.drop_caches for sample in again] == [None]
    assert len(estimate.curve(read.phase, read.samples).points) == len(read.phase.points)
    assert reports[7 - plan.CALIBRATION_VISITS].points_done == reports[6 - plan.CALIBRATION_VISITS].points_done


def test_points_that_stay_tainted_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the 10th visit on everything is served from a cache: what was measured before stays."""
    order = replace(SMALL, settings=READS)
    outcome, _ = swept(monkeypatch, order, misbehave={"at": 10, "do": "cache"})
    (read,) = outcome.phases
    curve = estimate.curve(read.phase, read.samples)
    assert 0 < len(curve.points) < curve.planned
    tries: dict[object, int] = {}
    for sample in read.samples:
        if taint_reason(sample) and sample.request.purpose == "pass":
            tries[sample.request.setting] = tries.get(sample.request.setting, 0) + 1
    assert max(tries.values()) <= race.MAX_TRIES


# --- budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.3e9, 4e9, 12e9])
@pytest.mark.parametrize("budget", [4 * GIB, 20 * GIB])
def test_the_write_budget_is_never_exceeded_the_fill_included(
    monkeypatch: pytest.MonkeyPatch, speed: float, budget: int
) -> None:
    order = replace(SMALL, write_budget_bytes=budget, tolerance=0.001, time_budget_ns=60_000_000_000)
    outcome, reports = swept(monkeypatch, order, write_bytes_per_s=speed, noise=0.05)
    written = GIB + sum(sample.bytes for sample in outcome.samples if sample.request.direction == "write")
    assert outcome.written_bytes == reports[-1].written_bytes == written
    assert written <= budget


def test_a_write_budget_that_the_fill_has_spent_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program, record = recorder(tmp_path)
    with pytest.raises(UsageError, match="write budget"):
        swept(monkeypatch, replace(SMALL, write_budget_bytes=GIB), program)
    assert "op=write" not in record.read_text()


def test_a_write_budget_that_cannot_pay_is_refused_before_the_reads_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sixteen points of the least transfer, 16 MiB, are known to cost more: no read need be made to find that out."""
    program, record = recorder(tmp_path)
    with pytest.raises(AioTunedError, match="write budget"):
        swept(monkeypatch, replace(SMALL, write_budget_bytes=GIB + 64 * MIB), program)
    assert record.read_text().count("op=read") <= plan.CALIBRATION_VISITS


def test_a_slow_drive_ends_at_the_time_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    order = replace(FULL, settings=ALL_READS, time_budget_ns=5_000_000_000)
    outcome, reports = swept(monkeypatch, order, read_bytes_per_s=0.3e9)
    (read,) = outcome.phases
    assert read.ended == "the time budget is spent"
    longest = max(sample.wall_ns for sample in outcome.samples)
    assert sum(sample.wall_ns for sample in outcome.samples) <= order.time_budget_ns + longest
    assert 0 < reports[-1].points_done < reports[-1].points_planned


def test_calibration_is_paid_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is taken from the sweep's budget before the phase gets the rest; the phase must not take it again."""
    order = replace(FULL, settings=ALL_READS, time_budget_ns=5_000_000_000)
    _, reports = swept(monkeypatch, order, read_bytes_per_s=0.3e9)
    assert reports[-1].left_ns == 0


# --- grids that cannot be --------------------------------------------------------------------------------


def test_a_block_that_the_target_cannot_take_is_refused_before_any_visit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program, record = recorder(tmp_path)
    with pytest.raises(ConfigError, match="block_size 512: this target needs multiples of 4096"):
        swept(monkeypatch, replace(SMALL, settings=both(replace(SMALL_GRID, block_size=(512,)))), program)
    assert record.read_text() == ""


@pytest.mark.parametrize("threads", [(3,), (1, 6), (5, 7)])
def test_odd_thread_counts_are_swept(monkeypatch: pytest.MonkeyPatch, threads: tuple[int, ...]) -> None:
    outcome, _ = swept(monkeypatch, replace(SMALL, settings=both(replace(SMALL_GRID, io_parallelism=threads))))
    for sample in outcome.samples:
        asked = sample.request
        assert asked.transfer_bytes % (asked.setting.io_parallelism * 4096) == 0


def test_thread_counts_without_a_common_transfer_are_refused_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AioTunedError, match="io_parallelism"):
        swept(monkeypatch, replace(FULL, settings=both(replace(SMALL_GRID, io_parallelism=(7, 9, 11, 13, 16)))))


def test_a_grid_of_one_point_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(
        block_size=(MIB,),
        queue_depth=(1,),
        io_parallelism=(1,),
        overlap_events=(True,),
        single_submit=(False,),
    )
    outcome, _ = swept(monkeypatch, replace(SMALL, settings=both(grid)))
    assert [len(one.phase.points) for one in outcome.phases] == [1, 1]
