"""Sweeps that are interrupted after whichever of their visits, and go on from what their record says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from aio_tuned.errors import DeferredError, UsageError
from aio_tuned.model.temperature import Heat
from aio_tuned.search import estimate, grid, plan
from aio_tuned.search.step import spent
from aio_tuned.search.taint import is_of, taint_reason
from aio_tuned.sweep import checkpoint
from aio_tuned.sweep.observer import NullObserver
from aio_tuned.sweep.order import Checkpoint, Order, SweepOutcome
from aio_tuned.sweep.run import run_sweep
from unit.support.builders import GIB, HELLO, MIB, SMALL_GRID, Drive, timeless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.helper.process import Helper
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import DropCaches, Phase, Request, Sample, Stage
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.order import Budgets
    from aio_tuned.sweep.progress import SweepProgress

FILL = 512 * MIB
ORDER = Order(
    settings={"read": grid.settings(SMALL_GRID), "write": grid.settings(SMALL_GRID)},
    max_transfer_bytes=64 * MIB,
    time_budget_ns=5_000_000_000,
    write_budget_bytes=12 * GIB,
    tolerance=0.002,
    seed=3,
    resumable=True,
)
TIGHT = replace(ORDER, write_budget_bytes=3 * GIB)
SHORT = replace(ORDER, time_budget_ns=2_000_000_000, tolerance=0.0001, write_budget_bytes=64 * GIB)
LONG = replace(ORDER, time_budget_ns=20_000_000_000, write_budget_bytes=24 * GIB, sustain_share=0.5)


class Stand:
    """In the helper's place: a drive that answers at once; it fills its scratch file before it says hello."""

    def __init__(self, seed: int) -> None:
        self.drive = Drive(noise=0.03, seed=seed)
        self.written_bytes = FILL
        self.has_read = False

    async def hello(self) -> Hello:
        return replace(HELLO, fill_bytes=FILL)

    async def measure(self, request: Request) -> Sample:
        answer = self.drive.answer(request)
        self.written_bytes += answer.device_write_bytes
        dropped = request.drop_caches is None and request.direction == "read" and not self.has_read
        self.has_read = self.has_read or request.direction == "read"
        return replace(answer, cache_dropped=dropped)

    async def finish(self) -> int:
        return self.written_bytes


class Recorder:
    """Keeps the record as a journal would, and ends the sweep before its visit number `visits` + 1."""

    celsius: float | None = 41.5
    peak_celsius: float | None = None
    heat = Heat()
    paused_s: float | None = None

    def __init__(self, lines: list[str], visits: int | None = None) -> None:
        self.lines = lines
        self.visits = visits
        self.made: list[Sample] = []
        self.previous: list[Sample | None] = []
        self.drops_announced = 0

    def _note(self, entry: Mapping[str, object]) -> None:
        self.lines.append(json.dumps(entry))

    def load_checkpoint(self, hello: Hello, header: Mapping[str, Any]) -> Checkpoint:
        assert header["fill_bytes"] == hello.fill_bytes
        found = checkpoint.read([json.loads(line) for line in self.lines], header, now_s=1000.0)
        if not found.resumed:
            self.lines.clear()
        self._note(checkpoint.resumed_entry() if found.resumed else checkpoint.first_entry(header, now_s=1000.0))
        return found

    def reserve(self, write_bytes: int) -> None:
        pass

    def planned(self, direction: Direction, stage: Stage, budgets: Budgets) -> None:
        self._note(checkpoint.phase_entry(direction, stage, budgets))

    async def before(self, request: Request, previous: Sample | None) -> None:
        assert all(request.id > sample.request.id for sample in self.made)
        if len(self.made) == self.visits:
            raise DeferredError("others need the drive", 60)
        self.previous.append(previous)

    async def before_drop(self) -> None:
        self.drops_announced += 1

    def after(self, sample: Sample) -> None:
        self.made.append(sample)
        self._note(checkpoint.sample_entry(sample))


class Sweeping:
    """The processes of one sweep; what all of them wrote is summed up."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.lines: list[str] = []
        self.written_bytes = 0
        self.processes = 0

    def go(self, visits: int | None = None) -> tuple[SweepOutcome | None, Recorder, list[SweepProgress]]:
        self.processes += 1
        stand, recorder = Stand(self.processes), Recorder(self.lines, visits)
        reports: list[SweepProgress] = []
        outcome = None
        try:
            outcome = asyncio.run(run_sweep(cast("Helper", stand), self.order, reports.append, recorder))
        except DeferredError:
            assert visits is not None
        self.written_bytes += stand.written_bytes
        return outcome, recorder, reports


def whole(order: Order) -> tuple[SweepOutcome, Recorder]:
    outcome, recorder, _ = Sweeping(order).go()
    assert outcome is not None
    return outcome, recorder


def visits_of(order: Order) -> list[int]:
    """After how many visits the sweep is interrupted: about the phases' beginnings, and one in so many."""
    made = whole(order)[1].made
    steps = [(sample.request.direction, sample.request.purpose) for sample in made]
    begun = {
        steps.index((direction, purpose)) for direction in ("read", "write") for purpose in ("calibrate", "repeat")
    }
    near = {place for each in begun for place in (each - 1, each, each + 1, each + plan.CALIBRATION_VISITS)}
    every = {*near, *range(0, len(made), max(1, len(made) // 4)), len(made) - 1, len(made)}
    return sorted(place for place in every if place >= 0)


def plans(outcome: SweepOutcome) -> list[Phase]:
    """The plans without what a second filling of the scratch file takes from them."""
    found = [phase for one in outcome.phases for phase in (one.first_pass, one.race) if phase is not None]
    return [replace(phase, write_budget_bytes=0) for phase in found]


def check_sound(order: Order, outcome: SweepOutcome, written_bytes: int) -> None:
    assert [one.phase.direction for one in outcome.phases] == ["read", "write"]
    for one in outcome.phases:
        assert one.first_pass is not None
        for phase in {one.first_pass.stage: one.first_pass, one.phase.stage: one.phase}.values():
            curve = estimate.curve(phase, outcome.samples)
            assert len(curve.points) == curve.planned
        assert one.ended
    ids = [sample.request.id for sample in outcome.samples]
    assert ids == sorted(set(ids))
    longest_ns = max(sample.wall_ns for sample in outcome.samples)
    assert sum(sample.wall_ns for sample in outcome.samples) <= order.time_budget_ns + 4 * longest_ns
    assert outcome.written_bytes == written_bytes <= order.write_budget_bytes


@pytest.mark.parametrize("order", [ORDER, TIGHT, SHORT], ids=["plenty", "tight", "short"])
def test_a_sweep_that_is_interrupted_anywhere_is_as_sound_as_one_that_is_not(order: Order) -> None:
    undisturbed, recorder = whole(order)
    for visits in visits_of(order):
        sweeping = Sweeping(order)
        outcome, before, _ = sweeping.go(visits)
        if outcome is not None:  # it had come to its end
            check_sound(order, outcome, sweeping.written_bytes)
            continue
        outcome, after, reports = sweeping.go()
        assert outcome is not None
        assert outcome.resumed == 1
        assert outcome.samples == (*before.made, *after.made)
        assert after.previous[:1] in ([None], [])
        check_sound(order, outcome, sweeping.written_bytes)
        # What was planned before the interruption is planned so again.
        kinds = [json.loads(line)["kind"] for line in recorder.lines]
        planned = sum(kinds[:place].count("phase") for place in [nth(kinds, "sample", visits)])
        assert plans_in_order(outcome)[:planned] == plans_in_order(undisturbed)[:planned]
        check_progress(outcome, before, reports)


def nth(kinds: list[str], kind: str, count: int) -> int:
    """Return the place behind the entry of that kind with that number."""
    places = [place for place, each in enumerate(kinds) if each == kind]
    return places[count - 1] + 1 if count else 0


def plans_in_order(outcome: SweepOutcome) -> list[Phase]:
    """Return the plans in the order in which they are made: all passes, then all races."""
    return sorted(plans(outcome), key=lambda phase: phase.stage)


def check_progress(outcome: SweepOutcome, before: Recorder, reports: list[SweepProgress]) -> None:
    """The first report after a resuming counts what was measured before, each later one a visit more."""
    for one in outcome.phases:
        assert one.first_pass is not None
        mine = [report for report in reports if report.direction == one.phase.direction]
        for step, phase in enumerate((one.first_pass, one.race), 1):
            known = sum(is_of(sample, phase) for sample in before.made) if phase else 0
            measured = [report.measured for report in mine if report.step[0] == step]
            assert measured == list(range(known + 1, known + 1 + len(measured)))
        done = [report.points_done for report in mine]
        assert done == sorted(done)
        assert done[-1:] in ([len(one.first_pass.points)], [])
    assert all(report.written_bytes >= 2 * FILL for report in reports)


@pytest.mark.parametrize("order", [TIGHT, LONG], ids=["tight", "thorough"])
def test_the_plan_of_a_resumed_phase_is_the_one_that_was_made(order: Order) -> None:
    """Not one that the time and the bytes which are left would lead to, nor the speed of what was raced."""
    undisturbed, recorder = whole(order)
    raced = [number for number, sample in enumerate(recorder.made) if sample.request.purpose in ("repeat", "sustain")]
    for visits in raced[:: max(1, len(raced) // 6)]:
        sweeping = Sweeping(order)
        sweeping.go(visits)
        outcome, _, _ = sweeping.go()
        assert outcome is not None
        assert plans(outcome) == plans(undisturbed)


def test_every_visit_is_attended() -> None:
    outcome, recorder = whole(ORDER)
    assert tuple(recorder.made) == outcome.samples
    assert recorder.previous == [None, *outcome.samples[:-1]]
    kinds = [json.loads(line)["kind"] for line in recorder.lines]
    assert kinds[:6] == ["sweep", *["sample"] * plan.CALIBRATION_VISITS, "phase"]
    assert kinds.count("phase") == 4


def test_the_hosts_cache_is_dropped_once_by_all_processes_of_a_sweep() -> None:
    for visits in visits_of(ORDER):
        sweeping, announced = Sweeping(ORDER), 0
        for limit in (visits, visits, None):
            outcome, recorder, _ = sweeping.go(limit)
            announced += recorder.drops_announced
            if outcome is not None:
                break
        assert outcome is not None
        assert [sample.cache_dropped for sample in outcome.samples] == [True] + [False] * (len(outcome.samples) - 1)
        assert announced == 1


@pytest.mark.parametrize(("policy", "announced"), [("auto", 1), ("always", 1), ("file", 0), ("never", 0)])
def test_a_drop_is_announced_before_the_first_measurement(policy: DropCaches, announced: int) -> None:
    _, recorder = whole(replace(ORDER, drop_caches=policy))
    assert recorder.drops_announced == announced


def test_a_second_interruption_is_survived_too() -> None:
    sweeping = Sweeping(ORDER)
    assert sweeping.go(9)[0] is None
    assert sweeping.go(30)[0] is None
    outcome, _, _ = sweeping.go()
    assert outcome is not None
    assert outcome.resumed == 2
    check_sound(ORDER, outcome, sweeping.written_bytes)


def test_a_resumable_sweep_keeps_back_what_filling_the_file_again_will_take() -> None:
    for resumable in (True, False):
        order = replace(TIGHT, tolerance=0.0001, resumable=resumable, time_budget_ns=30_000_000_000)
        sweeping = Sweeping(order)
        outcome, _, _ = sweeping.go()
        assert outcome is not None
        left = order.write_budget_bytes - sweeping.written_bytes
        assert outcome.phases[1].ended.endswith("budget ran out")
        assert (left >= FILL) is resumable


def test_what_a_second_filling_takes_is_taken_from_the_phase_that_writes() -> None:
    order = replace(TIGHT, tolerance=0.0001, resumable=False, time_budget_ns=30_000_000_000)
    undisturbed, recorder = whole(order)
    planned = undisturbed.phases[1].phase
    assert planned.stage == "race"
    sweeping = Sweeping(order)
    first = next(number for number, sample in enumerate(recorder.made) if is_of(sample, planned))
    sweeping.go(first + 1)
    outcome, _, _ = sweeping.go()
    assert outcome is not None
    now = outcome.phases[1].phase
    assert now == replace(planned, write_budget_bytes=planned.write_budget_bytes - FILL)
    assert spent(now, outcome.samples).written_bytes <= now.write_budget_bytes
    assert sweeping.written_bytes <= order.write_budget_bytes


def test_a_process_writes_no_more_than_its_own_cap() -> None:
    order = replace(ORDER, tolerance=0.0001, time_budget_ns=30_000_000_000)
    sweeping = Sweeping(order)
    _, first, _ = sweeping.go()
    writes = [number for number, sample in enumerate(first.made) if sample.request.direction == "write"]
    sweeping = Sweeping(order)
    sweeping.go(writes[20])
    before = sweeping.written_bytes
    sweeping.order = replace(order, write_cap_bytes=2 * GIB)
    outcome, _, _ = sweeping.go()
    assert outcome is not None
    assert outcome.resumed == 1
    assert outcome.phases[1].ended.endswith("budget ran out")
    assert sweeping.written_bytes - before <= 2 * GIB < order.write_budget_bytes - before
    with pytest.raises(UsageError, match="write budget of 1 GiB"):
        Sweeping(replace(order, write_cap_bytes=GIB)).go()


def test_another_sweeps_record_is_not_gone_on_from() -> None:
    sweeping = Sweeping(ORDER)
    sweeping.go(20)
    sweeping.order = replace(ORDER, seed=4)
    outcome, recorder, _ = sweeping.go()
    assert outcome is not None
    assert outcome.resumed == 0
    assert tuple(recorder.made) == outcome.samples


def test_alone_a_sweep_begins_anew() -> None:
    observer = NullObserver()
    assert observer.load_checkpoint(HELLO, {}) == Checkpoint()
    outcome = asyncio.run(run_sweep(cast("Helper", Stand(1)), ORDER))
    assert outcome.samples == timeless(whole(ORDER)[0].samples)
    assert outcome.resumed == 0


def test_directions_may_have_settings_of_their_own() -> None:
    """Each has its transfer by its own thread counts."""
    few = grid.settings(replace(SMALL_GRID, io_parallelism=(3,)))[:2]
    order = replace(ORDER, settings={"read": ORDER.settings["read"], "write": few}, time_budget_ns=20_000_000_000)
    outcome, _ = whole(order)
    read, write = (one.first_pass for one in outcome.phases)
    assert read is not None
    assert write is not None
    assert (len(read.points), len(write.points)) == (16, 2)
    assert write.transfer_bytes % (3 * 4096) == 0
    assert {setting for point in write.points for setting in point.aliases} == set(few)


def test_a_visit_during_which_another_namespace_was_busy_is_made_again() -> None:
    moved, asked = 0, 0

    def neighbours() -> int:
        """Each visit asks twice; during the ninth the other namespace moves as much as a sweep does."""
        nonlocal moved, asked
        asked += 1
        moved += GIB if asked == 18 else 4096
        return moved

    order = replace(SHORT, settings={"read": ORDER.settings["read"]})
    outcome = asyncio.run(run_sweep(cast("Helper", Stand(1)), order, neighbours=neighbours))
    tainted = [sample for sample in outcome.samples if taint_reason(sample)]
    assert [taint_reason(sample) for sample in tainted] == ["other processes used another namespace of the drive"]
    assert outcome.samples[8] is tainted[0]
    assert tainted[0].neighbour_bytes == GIB
    settings = [sample.request.setting for sample in outcome.samples[9:]]
    assert tainted[0].request.setting in settings
