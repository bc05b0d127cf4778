"""The time budget of `aio-tuned tune`, which counts all time by the clock, on a drive with a clock of its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import MeasurementError
from aio_tuned.sweep.run import run_sweep
from unit.sweep.test_run import FULL, SMALL, S, Simulated

if TYPE_CHECKING:
    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.sweep.order import Order, SweepOutcome
    from aio_tuned.sweep.progress import SweepProgress

MS = 10**6


class Clocked(Simulated):
    """A drive whose measurements and pauses move the clock; `gap_ns` passes before each, as on a loaded host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, gap_ns: int, fill_ns: int = 0, **drive: float) -> None:
        super().__init__(noise=0.05, seed=1, **drive)
        self.gap_ns = gap_ns
        self.fill_ns = fill_ns
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now_ns)

    async def hello(self) -> Hello:
        self.now_ns += self.fill_ns
        return await super().hello()

    async def measure(self, asked: Request) -> Sample:
        found = await super().measure(asked)
        self.now_ns += self.gap_ns + found.wall_ns
        return found


def swept(drive: Clocked, order: Order, deadline_ns: int | None) -> tuple[SweepOutcome, list[SweepProgress]]:
    reports: list[SweepProgress] = []
    ordered = replace(order, deadline_ns=deadline_ns)
    return asyncio.run(run_sweep(drive.helper, ordered, reports.append)), reports


@pytest.mark.parametrize("gap_ns", [0, 5 * MS, 50 * MS])
@pytest.mark.parametrize("fill_ns", [0, 3 * S])
@pytest.mark.parametrize("budget_s", [6, 20])
def test_a_sweep_ends_by_its_deadline(
    monkeypatch: pytest.MonkeyPatch, gap_ns: int, fill_ns: int, budget_s: int
) -> None:
    drive = Clocked(monkeypatch, gap_ns=gap_ns, fill_ns=fill_ns)
    order = replace(SMALL, time_budget_ns=budget_s * S)
    outcome, reports = swept(drive, order, budget_s * S)
    assert drive.now_ns <= 1.1 * budget_s * S
    assert [phase.phase.direction for phase in outcome.phases] == ["read", "write"]
    assert all(report.left_ns <= budget_s * S - fill_ns for report in reports)


def test_writes_have_their_share_of_the_time_though_reads_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 50 ms between measurements the pass over 192 settings of a direction takes 10 s."""
    drive = Clocked(monkeypatch, gap_ns=50 * MS)
    outcome, _ = swept(drive, replace(FULL, time_budget_ns=10 * S), 10 * S)
    counts = [sum(one.request.direction == name for one in outcome.samples) for name in ("read", "write")]
    assert min(counts) > 0.4 * sum(counts)
    assert drive.now_ns <= 11 * S


def test_without_a_deadline_only_measurements_count(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Clocked(monkeypatch, gap_ns=50 * MS)
    swept(drive, replace(SMALL, time_budget_ns=6 * S), None)
    assert drive.now_ns > 7 * S


def test_a_deadline_that_is_far_away_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for deadline_ns in (None, 1000 * S):
        outcome, _ = swept(Clocked(monkeypatch, gap_ns=5 * MS), SMALL, deadline_ns)
        counts.append([(one.request.setting, one.request.direction) for one in outcome.samples])
    assert counts[0] == counts[1]


class Slow(Clocked):
    """A drive that takes longer to fill than there is time."""

    async def hello(self) -> Hello:
        await asyncio.sleep(60)
        raise AssertionError


def test_filling_the_target_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasurementError, match="the time budget was spent before the target was filled and ready"):
        swept(Slow(monkeypatch, gap_ns=0), SMALL, S // 10)


# --- the progress ------------------------------------------------------------------------------------------


def test_the_progress_names_the_phases_and_counts_every_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Clocked(monkeypatch, gap_ns=0)
    outcome, reports = swept(drive, SMALL, None)
    phases = list(dict.fromkeys((one.direction, one.step, one.activity) for one in reports))
    finalists = [len(phase.race.points) for phase in outcome.phases if phase.race]
    assert phases == [
        ("read", (1, 2), "every setting once"),
        ("write", (1, 2), "every setting once"),
        ("read", (2, 2), f"comparing {finalists[0]} finalists"),
        ("write", (2, 2), f"comparing {finalists[1]} finalists"),
    ]
    for phase in phases:
        of_phase = [one for one in reports if (one.direction, one.step, one.activity) == phase]
        assert [one.measured for one in of_phase] == list(range(1, len(of_phase) + 1))
        assert all(one.measured <= one.expected for one in of_phase)
        if phase[1] == (1, 2):  # nothing has failed, so the first expectation holds
            assert {one.expected for one in of_phase} == {len(of_phase)}
