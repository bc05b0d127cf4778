from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.report import measurement_timeline
from aio_tuned.report.replay import Replay, replays
from unit.support.builders import evidence, sample, setting
from unit.support.sweeps import timed

if TYPE_CHECKING:
    from aio_tuned.model.profile import Evidence

A, B = setting(depth=4), setting(depth=32)


def replay(*visits: tuple[object, float], pause_s: float = 0.0) -> Replay:
    samples = [
        replace(sample(which, rate, number=number, purpose="repeat"), wall_ns=10**9)  # type: ignore[arg-type]
        for number, (which, rate) in enumerate(visits, start=1)
    ]
    (found,) = replays(timed(tuple(samples), pause_s=pause_s), evidence())
    return found


def test_each_visit_is_held_against_its_own_point() -> None:
    found = measurement_timeline.build_timeline(replay((A, 1e9), (B, 5e9), (A, 1.1e9), (B, 5e9)), evidence())
    first, second, third, fourth = (visit.relative for visit in found.visits)
    assert first is not None
    assert third is not None
    assert third / first == pytest.approx(1.1)
    assert second == fourth == pytest.approx(1.0)
    assert [visit.end_s for visit in found.visits] == [1.0, 2.0, 3.0, 4.0]


def test_the_only_visit_to_a_point_says_nothing_of_the_course() -> None:
    found = measurement_timeline.build_timeline(replay((A, 1e9), (B, 5e9), (A, 1e9)), evidence())
    assert [visit.relative is None for visit in found.visits] == [False, True, False]


def test_what_was_thrown_away_is_held_against_nothing() -> None:
    whole = replay((A, 1e9), (A, 1e9), (A, 1e9))
    spoilt = replace(whole.samples[1], cache_verdict="cache")
    found = measurement_timeline.build_timeline(
        replace(whole, samples=(whole.samples[0], spoilt, whole.samples[2])), evidence()
    )
    assert [visit.relative is None for visit in found.visits] == [False, True, False]
    assert len(found.drift) == 2


def test_a_gap_of_the_wall_clock_is_a_pause() -> None:
    visits = [(A, 1e9)] * 8
    paused = evidence(paused_seconds=89.9)
    assert measurement_timeline.build_timeline(replay(*visits), paused).pauses == ()
    (pause,) = measurement_timeline.build_timeline(replay(*visits, pause_s=90.0), paused).pauses
    assert pause.seconds == pytest.approx(90.0)
    assert pause.time_s == 2.0


@pytest.mark.parametrize(
    ("about", "count"),
    [
        (evidence(paused_seconds=3600.0), 1),
        (evidence(paused_seconds=90.0), 0),
        (evidence(paused_seconds=0.0), 0),
        (evidence(paused_seconds=None), 0),
        (evidence(paused_seconds=90.0, resumed=1), 1),
        (evidence(paused_seconds=None, resumed=1), 1),
    ],
)
def test_a_step_of_the_clock_is_no_pause(about: Evidence, count: int) -> None:
    """Nobody paused for longer than the sweep says, unless it was resumed: that has no limit."""
    assert len(measurement_timeline.build_timeline(replay(*[(A, 1e9)] * 8, pause_s=3600.0), about).pauses) == count


def test_samples_of_older_versions_have_no_pauses() -> None:
    whole = replay(*[(A, 1e9)] * 8, pause_s=90.0)
    old = tuple(replace(each, at_s=None, celsius=None) for each in whole.samples)
    assert measurement_timeline.build_timeline(replace(whole, samples=old), evidence(paused_seconds=90.0)).pauses == ()


def test_the_drift_is_what_all_points_have_in_common() -> None:
    slowing = [(which, rate * (1 - 0.01 * number)) for number in range(20) for which, rate in ((A, 1e9), (B, 5e9))]
    drift = measurement_timeline.build_timeline(replay(*slowing), evidence()).drift
    assert drift[0][1] > 1.05
    assert drift[-1][1] < 0.95
    assert [time_s for time_s, _ in drift] == sorted(time_s for time_s, _ in drift)


def test_behind_a_cliff_visits_lie_where_the_drive_fell_to() -> None:
    samples = []
    for number in range(1, 121):
        which, purpose = (DEFAULT_SETTING, "reference") if number % 5 == 0 else ((A, B)[number % 2], "repeat")
        made = sample(which, 5e9 if number <= 80 else 1e9, number=number, purpose=purpose, direction="write")  # type: ignore[arg-type]
        samples.append(replace(made, wall_ns=200_000_000))
    (write,) = replays(samples, evidence())
    assert write.curve.cliff is not None
    found = measurement_timeline.build_timeline(write, evidence())
    assert found.cliff_s == pytest.approx(16.0)
    assert {round(each.relative or 0, 3) for each in found.visits[:80]} == {1.0}
    assert {round(each.relative or 0, 3) for each in found.visits[80:]} == {0.2}
    assert len(found.drift) == 80
