"""Whole sweeps of simulated drives with the experiments after the choice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, get_args

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError, DeferredError, Exit, HelperError
from aio_tuned.helper.process import RequestFailedError
from aio_tuned.model.measurement import Engine
from aio_tuned.profiles import codec
from aio_tuned.search import grid
from aio_tuned.search.taint import AFTER_CHOICE, of_choice
from aio_tuned.sweep import profile_builder
from aio_tuned.sweep.observer import NullObserver
from aio_tuned.sweep.order import Checkpoint, CurveOrder, Order, SweepOutcome
from aio_tuned.sweep.run import run_sweep
from fakes.simulated.drive import Drive
from fakes.simulated.helper import SimulatedHelper
from fakes.simulated.models import NAMED
from unit.support.builders import GIB, MIB, SMALL_GRID, device, scratch_target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Request, Sample, Stage
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.order import Budgets
    from aio_tuned.sweep.progress import SweepProgress

CHOSEN = grid.settings(SMALL_GRID)
SIZES = (4 << 10, 64 << 10, 128 << 10, MIB, 16 * MIB)
ORDER = Order(
    settings={"read": CHOSEN, "write": CHOSEN},
    max_transfer_bytes=128 * MIB,
    time_budget_ns=40 * 10**9,
    write_budget_bytes=16 * GIB,
    usual_write_bytes=6 * GIB,
    tolerance=0.02,
    seed=1,
    curves=CurveOrder(engines=("psync", "io_uring"), sizes=SIZES),
    processes=(1, 2, 4),
    after_ns=10 * 10**9,
    after_bytes=3 * GIB,
)


class Changed(SimulatedHelper):
    """A helper whose hello differs."""

    def __init__(self, name: str, **changes: object) -> None:
        super().__init__(Drive(NAMED[name], 1), fill_bytes=GIB)
        self._changes = changes

    async def hello(self) -> Hello:
        return replace(await super().hello(), **self._changes)  # type: ignore[arg-type]  # fields of Hello


class Failing(SimulatedHelper):
    """A helper that reports an error at a measurement for a purpose, and has ended by then, as aio-sweep has."""

    def __init__(self, purpose: str, error: Exception, *, after: int = 0) -> None:
        super().__init__(Drive(NAMED["980-pro"], 1), fill_bytes=GIB)
        self._purpose, self._error, self._left = purpose, error, after
        self.has_ended = False

    async def measure(self, request: Request) -> Sample:
        assert not self.has_ended, "a request to a helper that has ended"
        if request.purpose == self._purpose:
            self._left -= 1
            if self._left < 0:
                self.has_ended = True
                raise self._error
        return await super().measure(request)

    async def finish(self) -> int:
        assert not self.has_ended, "the end of a helper that has ended"
        return await super().finish()


class Keeping(NullObserver):
    """An observer that keeps the budgets, and gives a sweep the first `count` samples of an earlier one."""

    def __init__(self, earlier: SweepOutcome | None = None, count: int = 0) -> None:
        super().__init__()
        self.budgets: dict[tuple[Direction, Stage], Budgets] = {}
        self.earlier = earlier
        self.count = count

    def planned(self, direction: Direction, stage: Stage, budgets: Budgets) -> None:
        self.budgets[direction, stage] = budgets

    def load_checkpoint(self, hello: Hello, header: Mapping[str, Any]) -> Checkpoint:  # noqa: ARG002 - as SweepObserver
        if self.earlier is None:
            return Checkpoint()
        return Checkpoint(budgets=self.budgets, samples=self.earlier.samples[: self.count], resumed=1)


def sweep(
    order: Order = ORDER, name: str = "980-pro", observer: NullObserver | None = None, **hello: object
) -> tuple[SweepOutcome, list[SweepProgress]]:
    shown: list[SweepProgress] = []
    helper = Changed(name, **hello)
    outcome = asyncio.run(run_sweep(helper.helper, order, shown.append, observer or NullObserver()))
    return outcome, shown


@lru_cache(maxsize=4)
def whole(name: str = "980-pro") -> tuple[SweepOutcome, tuple[SweepProgress, ...]]:
    outcome, shown = sweep(name=name)
    return outcome, tuple(shown)


def built(outcome: SweepOutcome, **config: Any) -> Profile:  # noqa: ANN401 - fields of Config
    return profile_builder.build_profile(
        device(),
        scratch_target(),
        Config(grid=SMALL_GRID, **config),
        outcome,
        profile_builder.Circumstances(
            measured_at="2026-11-24T16:00:00+00:00", seconds=30.0, kernel="6.8.0", tool_version="1", seed=1
        ),
        "auto",
    ).profile


def after(samples: tuple[Sample, ...]) -> list[Sample]:
    return [one for one in samples if one.request.purpose in AFTER_CHOICE]


def test_a_profile_has_all_curves_and_figures() -> None:
    outcome, _ = whole()
    profile = built(outcome)
    assert codec.parse(codec.render(profile)) == profile
    assert {curve.name for curve in profile.curves} == {
        f"curve_{engine}_{op}" for engine in ("psync", "io_uring") for op in ("read", "write", "mixed")
    }
    sizes = {curve.op: curve.sizes for curve in profile.curves}
    assert sizes == {"read": SIZES, "write": SIZES, "mixed": (64 << 10, MIB)}
    assert profile.concurrency is not None
    assert profile.concurrency.processes == (1, 2, 4)
    assert profile.concurrency.read_slowest_share is not None
    assert profile.concurrency.read_slowest_share[0] == 1.0
    evidence = profile.evidence
    assert evidence.thp == outcome.hello.thp_policy
    assert evidence.read_return_us
    assert evidence.write_return_us
    assert evidence.first_write_throughput_bytes_per_s
    for low_high, middle in (
        (evidence.io_uring_read_ratio_ci95, evidence.io_uring_read_ratio),
        (evidence.io_uring_write_ratio_ci95, evidence.io_uring_write_ratio),
    ):
        assert low_high is not None
        assert middle is not None
        assert low_high[0] < middle < low_high[1]


def test_the_experiments_take_no_more_than_is_reserved() -> None:
    outcome, _ = whole()
    own = after(outcome.samples)
    assert own == list(outcome.samples[-len(own) :])
    assert sum(one.wall_ns for one in own) <= ORDER.after_ns + max(one.wall_ns for one in own)
    assert sum(one.written_bytes for one in own) <= ORDER.after_bytes
    assert outcome.written_bytes <= ORDER.usual_write_bytes + ORDER.after_bytes


def test_the_choice_does_not_depend_on_them() -> None:
    outcome, _ = whole()
    without = replace(outcome, samples=tuple(of_choice(outcome.samples)))
    assert built(outcome).read == built(without).read
    assert built(outcome).write == built(without).write
    assert built(outcome).combined == built(without).combined


@pytest.mark.parametrize("part", ["memory", "processes", "curve", "mixed"])
def test_an_interrupted_sweep_continues_where_it_was(part: str) -> None:
    keeping = Keeping()
    first, _ = sweep(observer=keeping)
    number = next(
        place
        for place, one in enumerate(first.samples)
        if one.request.purpose == part or (part == "mixed" and one.request.read_percent)
    )
    keeping.earlier, keeping.count = first, number + 2
    again, _ = sweep(observer=keeping)
    assert again.samples[: number + 2] == first.samples[: number + 2]
    phases = [len(of_choice(one.samples)) for one in (first, again)]
    assert phases[0] == phases[1], "the race goes on after the experiments have begun"
    assert [plan.budget_bytes for plan in again.after.curves[:2]] == [
        plan.budget_bytes for plan in first.after.curves[:2]
    ]
    assert {curve.name for curve in built(again).curves} == {curve.name for curve in built(first).curves}
    assert sum(one.written_bytes for one in after(again.samples)) <= ORDER.after_bytes


def test_a_drive_that_is_only_read_has_curves_of_reads() -> None:
    outcome, _ = sweep(replace(ORDER, settings={"read": CHOSEN}, after_bytes=0))
    assert {plan.op for plan in outcome.after.curves} == {"read"}
    assert {one.request.direction for one in outcome.samples} == {"read"}
    assert outcome.after.new_file is None


def test_a_raw_drive_has_no_new_files() -> None:
    outcome, _ = sweep(replace(ORDER, new_files=False))
    assert not any(one.request.new_file for one in outcome.samples)
    assert built(outcome).evidence.first_write_throughput_bytes_per_s is None


def test_an_engine_that_is_forbidden_is_named_once_and_has_no_curve() -> None:
    forbidden = {**dict.fromkeys(get_args(Engine), ""), "io_uring": "kernel.io_uring_disabled is 2"}
    outcome, _ = sweep(no_engine=forbidden)
    profile = built(outcome)
    assert {curve.engine for curve in profile.curves} == {"psync"}
    said = [each for each in profile.evidence.findings if "io_uring" in each]
    assert len(said) == 1
    assert "kernel.io_uring_disabled is 2" in said[0]
    assert profile.evidence.io_uring_read_ratio is None


def test_an_older_helper_makes_none() -> None:
    older = {engine: "" if engine == "libaio" else "not in this helper" for engine in get_args(Engine)}
    outcome, _ = sweep(no_engine=older)
    assert not after(outcome.samples)
    profile = built(outcome)
    assert (profile.curves, profile.concurrency) == ((), None)


def test_a_drive_that_is_never_idle_gets_few_requests_in_flight() -> None:
    few = tuple(one for one in CHOSEN if one.concurrency <= 8)
    outcome, _ = sweep(replace(ORDER, settings={"read": few, "write": few}, max_concurrency=8))
    assert max(one.request.setting.concurrency * one.request.groups for one in after(outcome.samples)) <= 8
    assert not outcome.after.processes
    assert outcome.after.curves


def test_transfers_are_as_short_as_others_need() -> None:
    outcome, _ = sweep(replace(ORDER, max_transfer_ns=10_000_000))
    long = [
        one
        for one in after(outcome.samples)
        if min(one.transfers_ns) > 30_000_000 and one.request.transfer_bytes > one.request.setting.in_flight_bytes
    ]
    assert not long


def test_every_measurement_ends_early_where_other_processes_begin() -> None:
    outcome, _ = sweep(replace(ORDER, max_foreign_bytes=32768))
    assert after(outcome.samples)
    assert {one.request.max_foreign_bytes for one in outcome.samples} == {32768}


@pytest.mark.parametrize(
    "hello",
    [{"huge_share": 0.9}, {"thp_policy": "never"}, {"page_bytes": 65536, "thp_bytes": 512 * MIB}],
    ids=["huge already", "never given", "larger than the buffer"],
)
def test_huge_pages_are_measured_where_they_could_be_had(hello: dict[str, Any]) -> None:
    assert any(one.request.memory == "huge" for one in whole()[0].samples)
    outcome, _ = sweep(ORDER, "980-pro", None, **hello)
    assert not any(one.request.memory for one in outcome.samples)


def test_a_gain_by_huge_pages_is_a_finding() -> None:
    name = next(name for name, model in NAMED.items() if model.host.segment_cost >= 0.05 and model.noise.visit <= 0.01)
    profile = built(whole(name)[0])
    gain, interval = profile.evidence.read_huge_gain_percent, profile.evidence.read_huge_gain_ci95_percent
    assert gain is not None
    assert interval is not None
    assert interval[0] <= 100 * NAMED[name].host.segment_cost <= interval[1] + 1
    said = [each for each in profile.evidence.findings if each.startswith("memory: ")]
    assert len(said) == (interval[0] > 3)
    assert all("transparent_hugepage/enabled" in each for each in said)


def test_curves_that_are_left_out_are_named() -> None:
    outcome, _ = sweep(replace(ORDER, after_ns=0, after_bytes=0))
    assert not after(outcome.samples)
    quick = built(outcome, effort="quick").evidence.findings
    assert [each for each in quick if each.startswith("curves: not measured in a quick sweep")]
    assert not any("curves" in each for each in built(outcome, effort="quick", curves=False).evidence.findings)


FAILED = RequestFailedError("aio-sweep: threads: Resource temporarily unavailable", Exit.SYSTEM)


@pytest.mark.parametrize(
    ("purpose", "activity"),
    [
        ("new_file", "new file"),
        ("processes", "several processes"),
        ("curve", "psync by request size"),
        ("memory", "memory"),
    ],
)
def test_an_experiment_that_fails_is_left_out_and_the_choice_is_kept(purpose: str, activity: str) -> None:
    helper = Failing(purpose, FAILED)
    outcome = asyncio.run(run_sweep(helper.helper, ORDER))
    profile, usual = built(outcome), built(whole()[0])
    assert (profile.read, profile.write, profile.combined) == (usual.read, usual.write, usual.combined)
    assert outcome.written_bytes == GIB + sum(one.written_bytes for one in outcome.samples)
    said = [each for each in profile.evidence.findings if str(FAILED) in each]
    assert len(said) == 1, profile.evidence.findings
    assert said[0].startswith(f"{activity}: ")
    assert "left out" in said[0]
    before = ("new_file", "processes", "curve", "memory").index(purpose)
    figures = (
        profile.evidence.first_write_throughput_bytes_per_s,
        profile.concurrency,
        profile.curves,
        profile.evidence.read_huge_gain_percent,
    )
    assert [bool(one) for one in figures] == [place < before for place in range(4)]


def test_the_sizes_that_are_known_by_then_are_kept() -> None:
    outcome = asyncio.run(run_sweep(Failing("curve", FAILED, after=120).helper, ORDER))
    profile = built(outcome)
    assert {curve.engine for curve in profile.curves} == {"psync", "io_uring"}
    assert not any("before the budgets ended" in each for each in profile.evidence.findings)


@pytest.mark.parametrize(
    "error",
    [
        HelperError("/dev/nvme0n1: read: No such device", Exit.IO),
        HelperError("aio-sweep: terminated before the sweep was complete; run the sweep again"),
        DeferredError("/mnt: given up", 600.0),
    ],
    ids=["removed", "halted", "no space left"],
)
@pytest.mark.parametrize("purpose", ["memory", "curve"])
def test_a_removed_drive_and_a_halt_end_the_sweep(purpose: str, error: AioTunedError) -> None:
    with pytest.raises(type(error)) as raised:
        asyncio.run(run_sweep(Failing(purpose, error).helper, ORDER))
    assert raised.value is error


def test_an_error_before_the_choice_ends_the_sweep() -> None:
    with pytest.raises(RequestFailedError):
        asyncio.run(run_sweep(Failing("repeat", FAILED).helper, ORDER))


def test_a_p99_of_few_requests_is_left_out() -> None:
    outcome, _ = whole()
    few = tuple(
        replace(one, requests=900 if one.request.direction == "read" else 1000)
        if one.request.purpose == "processes"
        else one
        for one in outcome.samples
    )
    concurrency = built(replace(outcome, samples=few)).concurrency
    assert concurrency is not None
    assert concurrency.read_p99_us == (0.0, 0.0, 0.0)
    assert concurrency.write_p99_us is not None
    assert min(concurrency.write_p99_us) > 0.0


def test_a_slow_spell_covers_no_whole_curve() -> None:
    own = [one for one in after(whole()[0].samples) if one.request.purpose == "curve"]
    reads = [place for place, one in enumerate(own) if one.request.direction == "read"]
    writes = [place for place, one in enumerate(own) if one.request.direction == "write"]
    between = sum(writes[0] < place < writes[-1] for place in reads)
    assert between > 0.8 * len(reads), "reads and writes are measured one after the other"


def test_progress_is_reported_for_each_experiment() -> None:
    _, shown = whole()
    activities = list(dict.fromkeys(one.activity for one in shown))
    assert activities[-7:] == [
        "new file",
        "several processes",
        "psync by request size",
        "io_uring by request size",
        "mixed psync by request size",
        "mixed io_uring by request size",
        "memory",
    ]
    for one in shown:
        assert 0 < one.measured <= one.expected
        assert 0 <= one.points_done <= one.points_planned
