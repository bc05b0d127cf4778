"""What holds of the search for whatever a drive answers, and how well it does on simulated ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from aio_tuned.errors import HelperError
from aio_tuned.helper.protocol import parse_point
from aio_tuned.model.measurement import Phase, Point, Request, Sample
from aio_tuned.model.setting import DEFAULT_SETTING, Grid
from aio_tuned.search import choose, estimate, first_pass, race
from aio_tuned.search.grid import points
from aio_tuned.search.grid import settings as all_of
from aio_tuned.search.posterior import posterior
from aio_tuned.search.race import RaceRules
from aio_tuned.search.step import PhaseEnd, Round, Spent, cut, exhausted, spent
from aio_tuned.search.taint import clean_samples, is_counted
from bench import trial
from fakes.simulated.models import NAMED
from unit.support.builders import GIB, MIB, SMALL_GRID, phase, request, sample, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Stage
    from aio_tuned.model.setting import Direction, Setting

SINGLE = Grid(block_size=(MIB,), queue_depth=(8,), io_parallelism=(1,), overlap_events=(True,), single_submit=(False,))
PAIR = replace(SINGLE, queue_depth=(8, 32))
MANY = replace(SMALL_GRID, single_submit=(True, False), queue_depth=(4, 8, 32))
TAINTS: tuple[Literal["cache", "foreign"], ...] = ("cache", "foreign")


class Whim:
    """A drive that answers as a list says, again and again: each visit a rate in bytes/s, and how it is tainted.

    Behind `cliff_visits` it gives a fifth of that.
    """

    def __init__(self, answers: list[tuple[float, str]], cliff_visits: int) -> None:
        self.answers = answers
        self.cliff_visits = cliff_visits
        self.made = 0

    def answer(self, asked: Request) -> Sample:
        rate, taint = self.answers[self.made % len(self.answers)]
        if self.made >= self.cliff_visits:
            rate = max(1.0, rate / 5)
        self.made += 1
        size = asked.transfer_bytes
        if asked.max_bytes:
            assert asked.max_bytes >= size
        elapsed = max(1, round(size / rate * 1e9))
        return Sample(
            request=asked,
            transfers_ns=(elapsed,),
            bytes=size,
            elapsed_ns=elapsed,
            wall_ns=elapsed,
            latency_p50_ns=1,
            latency_p99_ns=1,
            cache_verdict="cache" if taint == "cache" else "device",
            cache_dropped=False,
            device_read_bytes=size if asked.direction == "read" else 0,
            device_write_bytes=(size if asked.direction == "write" else 0) + (size if taint == "foreign" else 0),
        )


RATES = st.one_of(
    st.floats(1.0, 1e12),
    st.floats(math.log(1e8), math.log(2e10)).map(math.exp),
    st.just(3e9),
)
ANSWERS = st.lists(
    st.tuples(RATES, st.sampled_from(["", "", "", "", "", *TAINTS])),
    min_size=1,
    max_size=40,
)
WHIMS = st.builds(Whim, ANSWERS, st.sampled_from([10**9, 10**9, 30, 60]))


def planned(grid: Grid, stage: Stage) -> tuple[Point, ...]:
    """Return the points of a pass over the grid, or of a race among all of them and the default."""
    every = all_of(grid)
    return points(every if stage == "pass" else dict.fromkeys((DEFAULT_SETTING, *every)), 64 * MIB)


@st.composite
def phases(draw: st.DrawFn) -> Phase:
    direction: Direction = draw(st.sampled_from(["read", "write"]))
    stage: Stage = draw(st.sampled_from(["pass", "race"]))
    return phase(
        points=planned(draw(st.sampled_from([SINGLE, PAIR, SMALL_GRID, MANY])), stage),
        direction=direction,
        stage=stage,
        visit_bytes=64 * MIB if direction == "write" else 0,
        time_budget_ns=int(draw(st.sampled_from([1e9, 2e10, 2e11]))),
        write_budget_bytes=draw(st.sampled_from([GIB, 8 * GIB + 1])),
        tolerance=draw(st.sampled_from([0.0001, 0.02, 0.2])),
        sure_points=draw(st.sampled_from([None, 3])) if stage == "pass" else None,
        seed=draw(st.integers(0, 9)),
    )


RULES = st.builds(
    RaceRules,
    usual_ns=st.sampled_from([10**9, 10**10, 10**12]),
    usual_bytes=st.sampled_from([GIB, 4 * GIB, 64 * GIB]),
    level_bytes_per_s=st.sampled_from([0.0, 3e9]),
    preferred=st.sampled_from([(), (DEFAULT_SETTING,), (setting(depth=32), setting(128 << 10, depth=4))]),
    spells=st.booleans(),
)


def asked_by(made: Phase, rules: RaceRules, samples: Sequence[Sample]) -> Round | PhaseEnd:
    if made.stage == "pass":
        return first_pass.next_round(made, samples)
    return race.next_round(made, rules, samples)


def ran(
    made: Phase, rules: RaceRules, drive: Whim, most: int = 140, before: Sequence[Sample] = ()
) -> tuple[list[Sample], list[tuple[Request, ...]], PhaseEnd | None]:
    """Return the phase's course to its end, or to so many samples; each round's choice is checked."""
    samples = list(before)
    rounds: list[tuple[Request, ...]] = []
    cost = Spent()
    while len(samples) < most:
        step = asked_by(made, rules, samples)
        check_choice(made, rules, samples)
        if isinstance(step, PhaseEnd):
            return samples, rounds, step
        assert step.requests
        rounds.append(step.requests)
        for asked in step.requests:
            samples.append(drive.answer(cut(made, cost, asked)))
            cost = cost.plus(made, samples[-1])
            if exhausted(made, cost):
                break
    return samples, rounds, None


def check_choice(made: Phase, rules: RaceRules, samples: Sequence[Sample]) -> None:
    """Check that the choice has a clean sample, is not below the default, and that its figures are in order."""
    curve = estimate.curve(made, samples)
    clean = {sample.request.setting for sample in clean_samples(samples) if is_counted(sample, made)}
    known = posterior(made, curve)
    if known is None:
        assert not curve.points
        return
    for point in curve.points:
        assert set(point.point.aliases) & clean or point.point.setting in aliases_of_reference(made, clean)
        assert 0 <= point.low_bytes_per_s <= point.bytes_per_s * (1 + 1e-9)
        assert point.bytes_per_s <= point.high_bytes_per_s * (1 + 1e-9)
        assert point.bytes_per_s > 0
        assert math.isfinite(point.bytes_per_s)
        assert point.error > 0
    assert np.isfinite(known.draws).all()
    if curve.reference is None or known.place(DEFAULT_SETTING) is None:
        return  # test_choose.py
    found = choose.choose(known, made.tolerance, rules.preferred)
    assert found.stats in (*curve.points, curve.reference)
    assert found.stats.bytes_per_s >= curve.reference.bytes_per_s
    assert 1 <= found.ties <= len({*curve.points, curve.reference})
    for share in (found.regret95, found.expected_shortfall, found.probability_within):
        assert 0.0 <= share <= 1.0


def aliases_of_reference(made: Phase, clean: set[Setting]) -> set[Setting]:
    """Return the point that is the reference's program, if the reference has a clean sample."""
    places, at = estimate.places(made)
    return {which for which, place in places.items() if place == at} if DEFAULT_SETTING in clean else set()


@tries(derandomize=True, deadline=None, max_examples=40)
@given(phases(), RULES, WHIMS)
def test_whatever_the_drive_answers_a_phase_ends_within_its_budgets(made: Phase, rules: RaceRules, drive: Whim) -> None:
    samples, rounds, done = ran(made, rules, drive)
    longest_ns = max((sample.wall_ns for sample in samples), default=0)
    assert sum(sample.wall_ns for sample in samples) < made.time_budget_ns + longest_ns
    if made.direction == "write":
        assert sum(sample.bytes for sample in samples) <= made.write_budget_bytes
        # 8 GiB are 128 measurements of 64 MiB.
        assert done is not None
    ids = [asked.id for asked_together in rounds for asked in asked_together]
    assert len(samples) <= len(ids)
    assert [sample.request.id for sample in samples] == sorted({sample.request.id for sample in samples})
    if done is not None:
        assert asked_by(made, rules, samples) == done
        assert done.reason


@tries(derandomize=True, deadline=None, max_examples=12)
@given(phases(), RULES, ANSWERS)
def test_the_same_answers_lead_to_the_same_requests(
    made: Phase, rules: RaceRules, answers: list[tuple[float, str]]
) -> None:
    first, again = (ran(made, rules, Whim(answers, 10**9), most=100) for _ in range(2))
    assert first == again


@tries(derandomize=True, deadline=None, max_examples=12)
@given(phases(), ANSWERS, st.integers(2, 50))
def test_a_larger_budget_asks_the_same_until_the_smaller_one_cannot_pay(
    small: Phase, answers: list[tuple[float, str]], times: int
) -> None:
    """Round by round on the same samples: a round that the smaller budget can pay for is that of the larger."""
    rules = RaceRules(usual_ns=10**18, usual_bytes=10**18)
    large = replace(
        small, time_budget_ns=small.time_budget_ns * times, write_budget_bytes=small.write_budget_bytes * times
    )
    samples, rounds, _ = ran(small, rules, Whim(answers, 10**9), most=100)
    known = 0
    for asked in rounds:
        seen = samples[:known]
        cost = spent(small, seen)
        planned = asked_by(large, rules, seen)
        assert isinstance(planned, Round)
        pays_ns = (small.time_budget_ns - cost.ns) // small.visit_ns
        pays_bytes = (small.write_budget_bytes - cost.written_bytes) // small.transfer_bytes
        if min(pays_ns, pays_bytes if small.direction == "write" else pays_ns) >= max(16, len(seen)):
            assert planned.requests == asked
        else:
            assert len(asked) <= len(planned.requests) or asked[-1].purpose == "pass"
        known = min(known + len(asked), len(samples))
    assert sum(map(len, rounds)) >= len(samples)


@pytest.mark.parametrize("rate", [1.0, 3e9, 1e12])
@pytest.mark.parametrize("grid", [SINGLE, PAIR, SMALL_GRID])
@pytest.mark.parametrize("direction", ["read", "write"])
def test_the_race_of_a_drive_without_any_noise_is_settled(rate: float, grid: Grid, direction: Direction) -> None:
    made = phase(
        points=planned(grid, "race"),
        direction=direction,
        stage="race",
        visit_bytes=64 * MIB,
        time_budget_ns=10**20,
        write_budget_bytes=10**15,
        visit_ns=1,
    )
    rules = RaceRules(usual_ns=10**20, usual_bytes=10**15)
    calibrated = sample(direction=direction, purpose="calibrate", wall_ns=4 * 10**9)
    samples, _, done = ran(made, rules, Whim([(rate, "")], 10**9), most=2000, before=[calibrated])
    assert done is not None
    assert done.settled
    found = estimate.curve(made, samples).points
    assert len(found) == len(made.points)
    assert all(point.bytes_per_s == pytest.approx(rate, rel=0.01) for point in found)


# --- what cannot come in ---------------------------------------------------------------------------------

ASKED = request()


def message(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any key
    return {
        "id": ASKED.id,
        "op": "read",
        "transfer_bytes": 64 * MIB,
        "transfers_ns": [5],
        "bytes": 64 * MIB,
        "elapsed_ns": 5,
        "wall_ns": 5,
        "latency_ns": {"p50": 1, "p99": 2},
        "cache": {"verdict": "device", "dropped": False},
        "counters": {"read_bytes": 64 * MIB, "write_bytes": 0},
        **changes,
    }


def test_a_plain_answer_comes_in() -> None:
    assert parse_point(message(), ASKED).bytes_per_s == pytest.approx(64 * MIB / 5e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {"elapsed_ns": 0, "transfers_ns": [0]},
        {"elapsed_ns": 0, "transfers_ns": []},
        {"elapsed_ns": -5, "transfers_ns": [-5]},
        {"elapsed_ns": math.inf, "transfers_ns": [math.inf]},
        {"elapsed_ns": math.nan, "transfers_ns": [math.nan]},
        {"bytes": 0, "transfers_ns": []},
        {"bytes": 0},
        {"bytes": math.inf},
        {"wall_ns": 4},
        {"wall_ns": math.inf},
    ],
)
def test_neither_zero_nor_infinite_speeds_come_in(changes: dict[str, Any]) -> None:
    """The adapter refuses them, so that the search may take logarithms."""
    with pytest.raises(HelperError):
        parse_point(message(**changes), ASKED)


# --- on simulated drives ---------------------------------------------------------------------------------

# Enterprise, consumer with a small cache, network volume, stripes, virtual, and a drive with two modes.
DRIVES = ("pm9a3", "sn570", "azure-ultra", "raid0-8xmicron-7450", "virtio-network", "optane-p5800x")
SEEDS = (1, 2)
MAX_REGRET = 0.03
MIN_COVERED = 0.75


@pytest.fixture(scope="module")
def trials() -> list[trial.Trial]:
    """Return default sweeps of drives of 1 TB."""
    found = [trial.run(name, trial.order(seed))[0] for name in DRIVES for seed in SEEDS]
    assert [each.error for each in found] == [""] * len(found)
    return found


def test_every_sweep_ends_with_a_choice_of_all_points(trials: list[trial.Trial]) -> None:
    for each in trials:
        assert [found.direction for found in each.found] == ["read", "write"]
        for found in each.found:
            assert found.points == found.planned or found.behind_cliff or found.tainted


def test_the_chosen_setting_is_nearly_the_best_and_not_below_the_default(trials: list[trial.Trial]) -> None:
    """By the truth of a fresh drive; behind a cliff the truth is another."""
    regrets = {
        (each.model, each.seed, f.direction): (
            f.regret,
            trial.regret(NAMED[each.model], f.direction, DEFAULT_SETTING, f.transfer_bytes),
        )
        for each in trials
        for f in each.found
        if not f.behind_cliff
    }
    assert len(regrets) >= 20
    assert {key: each for key, each in regrets.items() if each[0] > min(MAX_REGRET, each[1] + 0.01)} == {}


def test_the_regret_is_what_the_quantile_says_in_nearly_all(trials: list[trial.Trial]) -> None:
    found = [f for each in trials for f in each.found if not f.behind_cliff]
    held = [1 - f.share <= f.regret95 for f in found]
    assert sum(held) >= 0.9 * len(held)
    assert sorted(f.regret95 for f in found)[len(found) // 2] < 0.025
    assert sum(f.settled for f in found) > len(found) / 2
    assert all(1 - f.share <= 0.02 for f in found if f.settled)


def test_the_published_interval_covers_the_truth_at_level_in_most(trials: list[trial.Trial]) -> None:
    found = [f for each in trials for f in each.found if not f.behind_cliff]
    covered = [f.low_bytes_per_s <= f.level_bytes_per_s <= f.high_bytes_per_s for f in found]
    assert sum(covered) >= MIN_COVERED * len(covered)
    # And not by being wide: half of it is a few percent.
    halves = sorted((f.high_bytes_per_s - f.low_bytes_per_s) / 2 / f.bytes_per_s for f in found)
    assert halves[len(halves) // 2] < 0.05
