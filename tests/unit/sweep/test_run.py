"""Whole sweeps against the stand-in helper, which answers at once in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError, ConfigError, UsageError
from aio_tuned.helper.process import Helper
from aio_tuned.helper.protocol import arguments
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid, Setting
from aio_tuned.search import estimate, plan
from aio_tuned.search import grid as search_grid
from aio_tuned.search.choose import MAX_BELOW_DEFAULT
from aio_tuned.search.finalists import LADDER, MOST
from aio_tuned.search.step import MAX_TRIES
from aio_tuned.search.taint import is_of, taint_reason
from aio_tuned.sweep.decided import decide
from aio_tuned.sweep.order import Order, SweepOutcome
from aio_tuned.sweep.run import run_sweep
from unit.support.builders import (
    FAKE_HELPER,
    GIB,
    HELLO,
    MIB,
    SMALL_GRID,
    Drive,
    scratch_target,
    setting,
    timeless,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.curve import Curve
    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.sweep.order import PhaseOutcome
    from aio_tuned.sweep.progress import SweepProgress

S = 10**9


def both(grid: Grid) -> dict[Direction, tuple[Setting, ...]]:
    return {"read": search_grid.settings(grid), "write": search_grid.settings(grid)}


FULL = Order(
    settings=both(Config().grid),
    max_transfer_bytes=256 * MIB,
    time_budget_ns=150_000_000_000,
    write_budget_bytes=20 * GIB,
    tolerance=0.02,
    seed=1,
)
SMALL = replace(FULL, settings=both(SMALL_GRID), max_transfer_bytes=64 * MIB, time_budget_ns=20_000_000_000)
READS: dict[Direction, tuple[Setting, ...]] = {"read": SMALL.settings["read"]}
ALL_READS: dict[Direction, tuple[Setting, ...]] = {"read": FULL.settings["read"]}


class Simulated:
    """A drive of builders.py in the helper's place, in this process; its scratch file was filled with 1 GiB."""

    def __init__(self, noise: float, seed: int, best_bytes_per_s: float = 6.5e9) -> None:
        self._drive = Drive(noise, seed, best_bytes_per_s)
        self.random = self._drive.random
        self.truth = self._drive.truth
        self.now_ns = 0
        self.written_bytes = GIB

    @property
    def helper(self) -> Helper:
        return cast("Helper", self)

    async def hello(self) -> Hello:
        return HELLO

    def answer(self, asked: Request) -> Sample:
        return self._drive.answer(asked)

    async def measure(self, asked: Request) -> Sample:
        found = self.answer(asked)
        self.written_bytes += found.device_write_bytes
        return found

    async def finish(self) -> int:
        return self.written_bytes


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


def curve_of(outcome: SweepOutcome, one: PhaseOutcome) -> Curve:
    """Return the curve of the phase that decides."""
    return estimate.curve(one.phase, outcome.samples)


def pass_curve(outcome: SweepOutcome, one: PhaseOutcome) -> Curve:
    assert one.first_pass is not None
    return estimate.curve(one.first_pass, outcome.samples)


def steps(outcome: SweepOutcome) -> list[tuple[str, str]]:
    """Return the sweep's course: each direction and stage, in order, without repeats."""
    names = {"calibrate": "calibrate", "reference": "pass", "pass": "pass", "repeat": "race", "sustain": "sustain"}
    course = [(one.request.direction, names[one.request.purpose]) for one in outcome.samples]
    return [step for step, _ in itertools.groupby(course)]


def test_a_full_sweep_of_a_fast_drive_finds_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = swept(monkeypatch, FULL)
    assert [one.phase.direction for one in outcome.phases] == ["read", "write"]
    for one, speed in zip(outcome.phases, (6.5e9, 4.0e9), strict=True):
        screen = pass_curve(outcome, one)
        assert len(screen.points) == screen.planned
        assert one.race is one.phase
        assert one.settled
        choice = decide(outcome, one, FULL.tolerance).choice
        assert choice.stats.bytes_per_s == pytest.approx(speed, rel=0.04)
    assert sum(sample.wall_ns for sample in outcome.samples) <= FULL.time_budget_ns / 2
    assert GIB < outcome.written_bytes <= FULL.write_budget_bytes


def test_the_passes_of_both_directions_come_before_the_races(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass after its calibration: what the pass of one direction leaves is a finalist of the other's race."""
    outcome, _ = swept(monkeypatch, SMALL)
    assert steps(outcome) == [
        ("read", "calibrate"),
        ("read", "pass"),
        ("write", "calibrate"),
        ("write", "pass"),
        ("read", "race"),
        ("write", "race"),
    ]
    purposes = [sample.request.purpose for sample in outcome.samples]
    assert purposes.count("calibrate") == 2 * plan.CALIBRATION_VISITS
    assert outcome.samples[0].request.setting == DEFAULT_SETTING
    assert [sample.request.id for sample in outcome.samples] == list(range(1, len(outcome.samples) + 1))
    assert all(one.ended for one in outcome.phases)


def test_a_race_measures_the_finalists_in_longer_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = swept(monkeypatch, FULL)
    for one in outcome.phases:
        assert one.first_pass is not None
        assert one.phase.transfer_bytes >= 128 * MIB > 2 * one.first_pass.transfer_bytes
        assert 10 < len(one.phase.points) <= MOST < len(one.first_pass.points)
        assert {sample.request.setting for sample in outcome.samples if is_of(sample, one.phase)} == {
            point.setting for point in one.phase.points
        }


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
    """Within a pass or a race; at the beginning of a race it is that of the race."""
    outcome, reports = swept(monkeypatch, SMALL)
    assert len(reports) == len(outcome.samples) - 2 * plan.CALIBRATION_VISITS
    turns = [list(each) for _, each in itertools.groupby(reports, key=lambda report: report.direction)]
    assert [turn[0].direction for turn in turns] == ["read", "write", "read", "write"]
    for turn in turns:
        for earlier, later in itertools.pairwise(turn):
            assert later.left_ns <= earlier.left_ns
            assert later.written_bytes >= earlier.written_bytes
            assert later.measured == earlier.measured + 1
            assert later.points_done >= earlier.points_done
            assert later.best_bytes_per_s >= earlier.best_bytes_per_s
            assert later.repeating >= earlier.repeating
        assert turn[-1].points_done == turn[0].points_planned
    for report in reports:
        assert 0 <= report.points_done <= report.points_planned
        assert (report.best_bytes_per_s > 0) is (report.points_done > 0)
    assert reports[0].written_bytes == GIB


def test_what_one_phase_leaves_the_next_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that is left is shared among the phases of that kind which have not begun."""
    outcome, _ = swept(monkeypatch, SMALL)
    read, write = outcome.phases
    assert read.first_pass is not None
    assert write.first_pass is not None
    first = [sample.request.purpose for sample in outcome.samples].index("repeat")
    left_ns = SMALL.time_budget_ns - sum(sample.wall_ns for sample in outcome.samples[:first])
    assert read.first_pass.time_budget_ns < SMALL.time_budget_ns / 2
    assert SMALL.time_budget_ns / 2 < write.first_pass.time_budget_ns < SMALL.time_budget_ns
    assert read.phase.time_budget_ns == left_ns // 2


# --- a drive with spells -----------------------------------------------------------------------------------


class Spelling(Simulated):
    """A drive that is at 70 % of its speed for two seconds of every ten."""

    def answer(self, asked: Request) -> Sample:
        found = super().answer(asked)
        slow = self.now_ns % (10 * S) < 2 * S
        longer = found.elapsed_ns * 10 // 7 if slow else found.elapsed_ns
        self.now_ns += longer + 1000
        return replace(found, elapsed_ns=longer, transfers_ns=(longer,), wall_ns=longer + 1000)


def test_where_the_drive_has_spells_the_races_take_turns_and_last_longer() -> None:
    order = replace(FULL, time_budget_ns=150 * S, write_budget_bytes=64 * GIB)
    spelled = asyncio.run(run_sweep(Spelling(noise=0.005, seed=1).helper, order))
    calm = asyncio.run(run_sweep(Simulated(noise=0.005, seed=1).helper, order))
    assert len(steps(calm)) == 6
    races = steps(spelled)[4:]
    assert len(races) > 4
    assert all(a != b for a, b in itertools.pairwise(races))
    assert {direction for direction, _ in races} == {"read", "write"}
    for one in spelled.phases:
        ids = [number for number, sample in enumerate(spelled.samples) if is_of(sample, one.phase)]
        assert sum(sample.wall_ns for sample in spelled.samples[ids[0] : ids[-1] + 1]) >= 12 * S or not one.settled


# --- more than usual ---------------------------------------------------------------------------------------


class Bimodal(Simulated):
    """A drive whose measurements take up to three times as long, at random."""

    def answer(self, asked: Request) -> Sample:
        found = super().answer(asked)
        longer = found.elapsed_ns * self.random.choice([1, 2, 3])
        return replace(found, elapsed_ns=longer, transfers_ns=(longer,), wall_ns=longer + 1000)


@pytest.mark.parametrize("noisy", [False, True])
def test_only_a_noisy_drive_is_measured_for_longer_than_usual(*, noisy: bool) -> None:
    order = replace(FULL, settings=ALL_READS, race_ns=4 * S, pass_ns=8 * S, time_budget_ns=60 * S, tolerance=0.0001)
    drive = Bimodal(noise=0.05, seed=1) if noisy else Simulated(noise=0.01, seed=1)
    outcome = asyncio.run(run_sweep(drive.helper, order))
    (read,) = outcome.phases
    raced_ns = sum(sample.wall_ns for sample in outcome.samples if is_of(sample, read.phase))
    assert read.race is not None
    assert (raced_ns > 5 * S) is noisy
    assert read.ended in ("the usual measuring time ran out", "the time budget ran out")


def test_both_races_together_do_not_exceed_the_time_budget() -> None:
    """Where both directions are noisy and nothing settles, each escalates to its whole budget."""
    order = replace(
        FULL, settings=both(SMALL_GRID), time_budget_ns=30 * S, tolerance=0.0001, write_budget_bytes=GIB << 9
    )
    outcome = asyncio.run(run_sweep(Bimodal(noise=0.5, seed=1).helper, order))
    longest_ns = max(sample.wall_ns for sample in outcome.samples)
    assert sum(sample.wall_ns for sample in outcome.samples) <= order.time_budget_ns + 4 * longest_ns


def test_usual_writes_are_a_part_of_the_budget() -> None:
    order = replace(FULL, write_budget_bytes=64 * GIB, usual_write_bytes=12 * GIB, tolerance=0.0001)
    outcome = asyncio.run(run_sweep(Simulated(noise=0.03, seed=1).helper, order))
    assert outcome.phases[1].ended == "the usual write volume ran out"
    assert 11 * GIB < outcome.written_bytes <= 12 * GIB


# --- a check -----------------------------------------------------------------------------------------------

CHOSEN, DEEP, WIDE = LADDER[2], setting(depth=32, threads=4), setting(128 << 10, depth=64, threads=8)
OTHERS: tuple[Setting, ...] = (CHOSEN, DEEP, WIDE, DEFAULT_SETTING)
CHECK = replace(
    FULL,
    settings={"read": OTHERS, "write": OTHERS},
    check=True,
    preferred={"read": (CHOSEN,), "write": (CHOSEN,)},
    write_budget_bytes=64 * GIB,
    usual_write_bytes=64 * GIB,
)


def share(which: Setting) -> float:
    model = Simulated(noise=0.0, seed=0)
    return model.truth(which) / model.truth(CHOSEN)


@pytest.mark.parametrize(("gain", "confirmed"), [(1.0, True), (1.06, False)])
def test_a_check_is_confirmed_unless_another_class_has_gained(gain: float, *, confirmed: bool) -> None:
    """The other drive's figure for the deep setting was as high as here, or 6 % lower."""
    shares = {DEEP: share(DEEP) / gain, WIDE: share(WIDE)}
    order = replace(CHECK, shares={"read": shares, "write": shares})
    outcome = asyncio.run(run_sweep(Simulated(noise=0.005, seed=1).helper, order))
    assert steps(outcome) == [
        ("read", "calibrate"),
        ("write", "calibrate"),
        ("read", "race"),
        ("write", "race"),
    ]
    for one in outcome.phases:
        assert (one.first_pass, one.settled) == (None, confirmed)
        choice = decide(outcome, one, order.tolerance).choice
        assert choice.setting == CHOSEN
        assert choice.kept
        rounds = sum(is_of(sample, one.phase) for sample in outcome.samples) / len(OTHERS)
        assert rounds == (6 if confirmed else 24)
        assert confirmed or one.ended.startswith("4 threads with 1024 KiB blocks are ")


def test_a_check_that_the_budgets_do_not_pay_for_fails() -> None:
    with pytest.raises(AioTunedError, match="read: budgets too small to check the settings"):
        asyncio.run(run_sweep(Simulated(noise=0.0, seed=1).helper, replace(CHECK, time_budget_ns=90_000_000)))


# --- the settings to keep ----------------------------------------------------------------------------------


def test_a_setting_to_keep_is_raced_and_kept_though_the_grid_lacks_it() -> None:
    kept = setting(768 << 10, depth=24, threads=2)
    order = replace(FULL, settings=ALL_READS, preferred={"read": (kept,)})
    outcome = asyncio.run(run_sweep(Simulated(noise=0.005, seed=1).helper, order))
    choice = decide(outcome, outcome.phases[0], order.tolerance).choice
    assert (choice.setting, choice.kept) == (kept, True)


# --- taints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cache", "foreign"])
def test_a_tainted_visit_is_made_again(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    outcome, reports = swept(monkeypatch, SMALL, misbehave={"at": 8, "do": how, "once": True})
    spoiled = outcome.samples[7]
    assert taint_reason(spoiled)
    assert [sample for sample in outcome.samples if taint_reason(sample)] == [spoiled]
    again = [
        s
        for s in outcome.samples[8:]
        if s.request.setting == spoiled.request.setting and (s.request.direction, s.request.purpose) == ("read", "pass")
    ]
    assert [sample.request.drop_caches for sample in again] == [None]
    screen = pass_curve(outcome, outcome.phases[0])
    assert len(screen.points) == screen.planned
    assert reports[7 - plan.CALIBRATION_VISITS].points_done == reports[6 - plan.CALIBRATION_VISITS].points_done


def test_points_that_stay_tainted_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the 10th visit on everything is served from a cache: what was measured before stays, and is no race's."""
    order = replace(SMALL, settings=READS)
    outcome, _ = swept(monkeypatch, order, misbehave={"at": 10, "do": "cache"})
    (read,) = outcome.phases
    screen = pass_curve(outcome, read)
    assert 0 < len(screen.points) < screen.planned
    assert read.phase == read.first_pass
    assert not read.settled
    tries: dict[object, int] = {}
    for sample in outcome.samples:
        if taint_reason(sample) and sample.request.purpose == "pass":
            tries[sample.request.setting] = tries.get(sample.request.setting, 0) + 1
    assert max(tries.values()) <= MAX_TRIES


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


GRID = replace(SMALL_GRID, queue_depth=(4, 8, 32), single_submit=(True, False))
DEPTHS = replace(SMALL_GRID, block_size=(MIB,), queue_depth=(4, 8, 16), overlap_events=(True,))


@tries(derandomize=True, max_examples=40)
@given(
    st.floats(2, 60),
    st.integers(700, 20_000),
    st.sampled_from([0.002, 0.03, 0.3]),
    st.sampled_from([0.3e9, 3e9, 12e9]),
    st.sampled_from([GRID, DEPTHS]),
    st.sampled_from([1, 5]),
    st.integers(0, 10**6),
)
def test_whatever_the_budgets_they_hold_and_nothing_below_the_default_is_chosen(
    seconds: float, write_mib: int, noise: float, speed: float, grid: Grid, fraction: int, seed: int
) -> None:
    """From 2 s and a write budget that hardly pays for a pass: the choice was measured no slower than the default."""
    order = replace(
        FULL,
        settings=both(grid),
        time_budget_ns=int(seconds * S),
        write_budget_bytes=GIB + write_mib * MIB,
        usual_write_bytes=min(FULL.usual_write_bytes, GIB + write_mib * MIB),
        fraction=fraction,
        seed=seed,
    )
    drive = Simulated(noise, seed, speed)
    try:
        outcome = asyncio.run(run_sweep(drive.helper, order))
    except AioTunedError:
        assert drive.written_bytes <= order.write_budget_bytes
        return
    assert outcome.written_bytes == drive.written_bytes <= order.write_budget_bytes
    for one in outcome.phases:
        found = decide(outcome, one, order.tolerance)
        default = found.curve.reference
        assert default is not None
        assert found.choice.stats.bytes_per_s >= default.bytes_per_s
        gain = found.known.draws[:, found.known.place(found.choice.setting)] - found.known.draws[:, found.known.default]
        assert found.choice.setting == DEFAULT_SETTING or float((gain < 0).mean()) <= MAX_BELOW_DEFAULT
        assert one.settled is one.ended.startswith("the choice is clear")
        assert not one.settled or found.choice.regret95 <= order.tolerance


def test_a_slow_drive_ends_at_the_time_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    order = replace(FULL, settings=ALL_READS, time_budget_ns=4_000_000_000)
    outcome, reports = swept(monkeypatch, order, read_bytes_per_s=0.1e9)
    (read,) = outcome.phases
    assert (read.race, read.settled) == (None, False)
    assert read.ended in (
        "the time budget ran out",
        "the time or write budget was too small to compare the finalists",
    )
    longest = max(sample.wall_ns for sample in outcome.samples)
    assert sum(sample.wall_ns for sample in outcome.samples) <= order.time_budget_ns + longest
    assert 0 < reports[-1].points_done <= reports[-1].points_planned


def test_calibration_is_paid_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is taken from the sweep's budget before the phase gets the rest; the phase must not take it again."""
    order = replace(FULL, settings=ALL_READS, time_budget_ns=4_000_000_000)
    _, reports = swept(monkeypatch, order, read_bytes_per_s=0.1e9)
    assert reports[-1].left_ns == 0


# --- grids that cannot be --------------------------------------------------------------------------------


def test_a_block_that_the_target_cannot_take_is_refused_before_any_visit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program, record = recorder(tmp_path)
    with pytest.raises(ConfigError, match="block_size 512: direct I/O on this target needs multiples of 4096"):
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
    for one in outcome.phases:
        assert one.first_pass is not None
        assert len(one.first_pass.points) == 1
        # The default is raced beside it, below which nothing may be published.
        assert {point.setting for point in one.phase.points} == {setting(depth=1), DEFAULT_SETTING}
