from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.report import measurement_timeline
from aio_tuned.report.replay import Replay, replays
from unit.support.builders import MIB, evidence, sample, setting
from unit.support.sweeps import timed

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Purpose, Sample
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
    assert [len(drift) for drift in found.drifts] == [2]


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
    (drift,) = measurement_timeline.build_timeline(replay(*slowing), evidence()).drifts
    assert drift[0][1] > 1.05
    assert drift[-1][1] < 0.95
    assert [time_s for time_s, _ in drift] == sorted(time_s for time_s, _ in drift)


def direction(rates: dict[str, float], purposes: str, name: str, first: int) -> list[Sample]:
    """Measurements of a second each of A and B by turns: "p" in the pass, "r" in the race, in longer transfers."""
    return [
        replace(
            sample(
                (A, B)[number % 2],
                rates[purpose],
                number=first + number,
                purpose={"p": "pass", "r": "repeat"}[purpose],  # type: ignore[arg-type]
                direction=name,  # type: ignore[arg-type]
                transfer_bytes={"p": 16, "r": 256}[purpose] * MIB,
            ),
            wall_ns=10**9,
        )
        for number, purpose in enumerate(purposes)
    ]


def test_each_phase_has_its_own_level() -> None:
    """Larger transfers are twice as fast here, and neither phase shows that as a change of the drive."""
    rates = {"p": 1e9, "r": 2e9}
    samples = [*direction(rates, "pppp", "read", 1), *direction(rates, "rrrrrr", "read", 5)]
    (found,) = replays(samples, evidence())
    line = measurement_timeline.build_timeline(found, evidence())
    assert [each.relative for each in line.visits] == pytest.approx([1.0] * 10)
    assert [len(drift) for drift in line.drifts] == [4, 6]
    assert line.race_s == 4.0


def test_sustained_writes_are_held_against_the_race() -> None:
    raced = [*direction({"p": 1e9, "r": 2e9}, "pppp", "write", 1), *direction({"r": 2e9}, "rrrr", "write", 5)]
    last = replace(sample(A, 1e9, number=9, purpose="sustain", direction="write", transfer_bytes=256 * MIB))
    (found,) = replays([*raced, last], evidence())
    assert measurement_timeline.build_timeline(found, evidence()).visits[-1].relative == pytest.approx(0.5)


def test_the_clock_stands_still_while_the_other_direction_is_measured() -> None:
    rates = {"p": 1e9, "r": 2e9}
    samples = timed(
        (
            *direction(rates, "pp", "read", 1),
            *direction(rates, "pp", "write", 3),
            *direction(rates, "rrrr", "read", 5),
            *direction(rates, "rrrr", "write", 9),
        ),
        pause_s=60.0,
    )
    read, write = replays(samples, evidence())
    about = evidence(paused_seconds=60.0)
    reads, writes = (measurement_timeline.build_timeline(each, about) for each in (read, write))
    assert [each.end_s for each in reads.visits] == [each.end_s for each in writes.visits] == [1, 2, 3, 4, 5, 6]
    assert [each.number for each in reads.visits] == [1, 2, 5, 6, 7, 8]
    assert (reads.race_s, writes.race_s) == (2.0, 2.0)
    # The pause precedes the fourth measurement, which is a write; the writes before the reads' race are no pause.
    assert reads.pauses == ()
    (pause,) = writes.pauses
    assert (pause.time_s, pause.seconds) == pytest.approx((1.0, 60.0))
    assert writes.visits[-1].moved_bytes == (2 * 16 + 4 * 256) * MIB


def test_the_drift_goes_by_the_time_of_the_whole_sweep() -> None:
    """Halfway the writes take as long as all reads: the reads' drift is the one that their curve has, by that clock."""
    slowing = [
        replace(sample((A, B)[number % 2], 1e9 * 0.99**number, number=number + 1, purpose="repeat"), wall_ns=10**9)
        for number in range(20)
    ]
    between = [replace(each, wall_ns=20 * 10**9) for each in direction({"p": 1e9}, "p", "write", 100)]
    read, _ = replays([*slowing[:5], *between, *slowing[5:]], evidence())
    line = measurement_timeline.build_timeline(read, evidence())
    (drift,) = line.drifts
    assert drift[-1][1] / drift[0][1] - 1 == pytest.approx(read.curve.drift, rel=1e-9)
    assert [time_s for time_s, _ in drift] == [visit.time_s for visit in line.visits]


@pytest.mark.parametrize(
    ("purpose", "reference_purpose"), [("pass", "reference"), ("repeat", "repeat")], ids=["pass", "race"]
)
def test_behind_a_cliff_visits_lie_where_the_drive_fell_to(purpose: Purpose, reference_purpose: Purpose) -> None:
    samples = []
    for number in range(1, 121):
        is_reference = number % 5 == 0
        which = DEFAULT_SETTING if is_reference else (A, B)[number % 2]
        made = sample(
            which,
            5e9 if number <= 80 else 1e9,
            number=number,
            purpose=reference_purpose if is_reference else purpose,
            direction="write",
        )
        samples.append(replace(made, wall_ns=200_000_000))
    # Reads in between neither delay the writes nor count as bytes written before the fall.
    (other,) = direction({"p": 1e9}, "p", "read", 500)
    _, write = replays([*samples[:40], other, *samples[40:]], evidence())
    assert write.curve.cliff is not None
    found = measurement_timeline.build_timeline(write, evidence())
    assert found.cliffs_s == pytest.approx((16.0,))
    assert {round(each.relative or 0, 3) for each in found.visits[:80]} == {1.0}
    assert {round(each.relative or 0, 3) for each in found.visits[80:]} == {0.2}
    assert [len(drift) for drift in found.drifts] == [80]


def test_of_a_curve_behind_a_cliff_the_drift_begins_behind_it() -> None:
    """What was measured before the first reference behind the fall may lie on either side, and is not in the curve."""
    points = [setting(depth=depth) for depth in (2, 4, 16, 32, 64, 128, 256)]
    order = [DEFAULT_SETTING, *points[:3], DEFAULT_SETTING]
    for point in points[3:]:
        order += [point, DEFAULT_SETTING]
    samples = [
        replace(
            sample(
                which,
                5e9 if number <= 3 else 1e9,
                number=number,
                purpose="reference" if which == DEFAULT_SETTING else "pass",
                direction="write",
            ),
            wall_ns=10**9,
        )
        for number, which in enumerate(order, start=1)
    ]
    (write,) = replays(samples, evidence())
    assert write.curve.cliff is not None
    assert not write.curve.cliff.before_counts
    found = measurement_timeline.build_timeline(write, evidence())
    assert found.cliffs_s == (1.0,)
    (drift,) = found.drifts
    assert [time_s for time_s, _ in drift] == [visit.time_s for visit in found.visits[4:]]
