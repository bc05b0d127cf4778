from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.model.curve import Cliff
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting
from aio_tuned.search import choose, estimate, race
from aio_tuned.search.finalists import LADDER
from aio_tuned.search.grid import points
from aio_tuned.search.posterior import posterior
from aio_tuned.search.step import PhaseEnd, Round, spent
from unit.support.builders import GIB, MIB, Drive, curve, phase, sample, setting
from unit.support.phases import Run, requests_of, rules

if TYPE_CHECKING:
    from aio_tuned.model.curve import Choice
    from aio_tuned.model.measurement import Phase, Request, Sample
    from aio_tuned.search.posterior import Posterior
    from aio_tuned.search.race import RaceRules

S = 10**9
FINALISTS = (
    DEFAULT_SETTING,
    *LADDER,
    *(setting(block << 10, depth, threads) for block in (256, 1024) for depth in (16, 64) for threads in (2, 4, 8)),
)
RACE = phase(
    stage="race",
    points=points(FINALISTS, 256 * MIB),
    transfer_bytes=256 * MIB,
    visit_bytes=256 * MIB,
    visit_ns=40_000_000,
    tolerance=0.02,
    time_budget_ns=60 * S,
)
CLEAR = PhaseEnd(reason="the choice is clear", settled=True)


def run(
    made: Phase = RACE, model: Drive | None = None, held: RaceRules | None = None, before: tuple[Sample, ...] = ()
) -> Run:
    chosen_rules = held or rules()
    return Run(
        made, lambda samples: race.next_round(made, chosen_rules, samples), model or Drive(noise=0.01, seed=1), before
    )


def known(made: Phase, samples: list[Sample]) -> Posterior:
    found = posterior(made, estimate.curve(made, samples))
    assert found is not None
    return found


def choice(made: Phase, samples: list[Sample], *preferred: Setting) -> Choice:
    return choose.choose(known(made, samples), made.tolerance, preferred)


# --- the first round -------------------------------------------------------------------------------------


def test_each_finalist_is_measured_once_first() -> None:
    asked = requests_of(race.next_round(RACE, rules(), []))
    assert len(asked) == len(RACE.points) + 2
    assert {request.setting for request in asked} == {point.setting for point in RACE.points}
    assert asked[0].setting == DEFAULT_SETTING
    assert {(r.purpose, r.transfer_bytes, r.min_ns) for r in asked} == {("repeat", 256 * MIB, 40_000_000)}


def test_the_passs_samples_measure_no_finalist() -> None:
    before = [sample(point.setting, number=n, wall_ns=1) for n, point in enumerate(RACE.points, start=1)]
    asked = requests_of(race.next_round(RACE, rules(), before))
    assert {request.setting for request in asked} == {point.setting for point in RACE.points}
    assert asked[0].id == len(before) + 1


def test_a_tainted_measurement_is_repeated_before_anything_else() -> None:
    samples = [
        sample(
            point.setting,
            number=n,
            purpose="repeat",
            transfer_bytes=256 * MIB,
            verdict="cache" if n == 3 else "device",
            wall_ns=1,
        )
        for n, point in enumerate(RACE.points)
    ]
    asked = requests_of(race.next_round(RACE, rules(), samples))
    assert [request.setting for request in asked] == [DEFAULT_SETTING, RACE.points[3].setting]


def test_when_everything_is_tainted_it_ends() -> None:
    class Cached(Drive):
        def answer(self, asked: Request) -> Sample:
            return replace(super().answer(asked), cache_verdict="cache")

    found = run(model=Cached(noise=0.01, seed=1))
    assert found.end == PhaseEnd(reason="no setting could be measured")


# --- rounds ----------------------------------------------------------------------------------------------


def test_a_round_grows_with_the_measurements_so_far() -> None:
    found = run(replace(RACE, tolerance=0.0005, time_budget_ns=120 * S), Drive(noise=0.03, seed=5))
    made = 0
    for number, asked in enumerate(found.rounds[:-1]):
        if number:
            assert len(asked) == max(race._MIN_ROUND, int(race._ROUND_SHARE * made))
        made += len(asked)
    assert made > 300


def test_most_measurements_are_of_the_choice_and_of_what_may_beat_it() -> None:
    found = run(replace(RACE, tolerance=0.002, time_budget_ns=30 * S), Drive(noise=0.02, seed=3))
    first = len(found.rounds[0])
    model = Drive(noise=0.0, seed=0)
    best = max(model.truth(point.setting) for point in RACE.points)
    repeated = found.settings[first:]
    assert len(repeated) > 100
    poor = [which for which in repeated if model.truth(which) < 0.9 * best and which != DEFAULT_SETTING]
    assert len(poor) < 0.02 * len(repeated)
    # Which one is the choice may change, but those that were are measured most.
    often = sorted((repeated.count(which) for which in set(repeated) - {DEFAULT_SETTING}), reverse=True)
    assert sum(often[:5]) > 0.6 * len(repeated)


def test_the_choice_and_its_rivals_are_measured_often_enough() -> None:
    """No lucky mode of the drive stands for them: at least eight times the choice, three times a rival."""
    for seed in range(6):
        found = run(model=Drive(noise=0.015, seed=seed))
        assert found.end == CLEAR
        after = known(RACE, found.samples)
        picked = choose.pick(after, RACE.tolerance)
        visits = [point.visits for point in after.points]
        assert visits[picked.column] >= 8
        chances = after.best_chances()
        assert all(count >= 3 for count, chance in zip(visits, chances.tolist(), strict=True) if chance > 0.005)


def test_a_rung_in_doubt_is_measured_until_it_is_decided() -> None:
    """Whether the first rung that may do is good enough is what makes two sweeps agree."""
    for seed in range(6):
        found = run(model=Drive(noise=0.015, seed=seed))
        after = known(RACE, found.samples)
        assert choose.undecided(after, RACE.tolerance, choose.pick(after, RACE.tolerance)) == []


def test_repeats_of_one_point_are_spread_evenly_over_the_round() -> None:
    found = run(replace(RACE, tolerance=0.0005, time_budget_ns=300 * S), Drive(noise=0.05, seed=5))
    several = 0
    for asked in found.rounds[1:-1]:
        settings_ = [request.setting for request in asked]
        middle = len(settings_) // 2
        for which in set(settings_):
            first, second = settings_[:middle].count(which), settings_[middle:].count(which)
            assert abs(first - second) <= 4 + (first + second) // 6
            several += first + second > 12
    assert several > 10


def test_the_reference_is_measured_in_every_round_but_one_of_a_single_point() -> None:
    found = run(replace(RACE, tolerance=0.0005), Drive(noise=0.03, seed=5))
    assert len(found.rounds) > 4
    for asked in found.rounds[:-1]:
        assert asked[0].setting == DEFAULT_SETTING
    single = replace(RACE, points=RACE.points[:1])
    found = run(single, held=rules(spells=True))
    assert set(found.settings) == {RACE.points[0].setting, DEFAULT_SETTING}


def test_rounds_are_in_no_order_of_promise() -> None:
    found = run(replace(RACE, tolerance=0.0005, time_budget_ns=120 * S), Drive(noise=0.03, seed=5))
    orders = [tuple(request.setting for request in asked[1:5]) for asked in found.rounds[1:]]
    assert len(orders) > 8
    assert len(set(orders)) > 0.8 * len(orders)


# --- settled ---------------------------------------------------------------------------------------------


def test_it_is_settled_when_the_choice_is_within_the_tolerance_with_95_percent() -> None:
    for tolerance in (0.01, 0.02, 0.05):
        made = replace(RACE, tolerance=tolerance)
        found = run(made)
        assert found.end == CLEAR
        assert choice(made, found.samples).regret95 <= tolerance


def took_ns(found: Run, before: int = 0) -> int:
    return sum(taken.wall_ns for taken in found.samples[before:])


def test_it_lasts_three_seconds_from_the_directions_first_measurement() -> None:
    """The pass and the other direction's time count: what matters is that no spell covers all of it."""
    still = Drive(noise=0.001, seed=1)
    assert 3 * S <= took_ns(run(model=still)) < 4.5 * S
    before = (sample(number=1, wall_ns=1), sample(number=2, direction="write", wall_ns=3 * S))
    after_a_pass = run(model=still, before=before)
    assert after_a_pass.end == CLEAR
    assert took_ns(after_a_pass, 2) < 3 * S
    # What lies before the direction's first measurement does not count.
    assert took_ns(run(model=still, before=before[1:]), 1) >= 3 * S


def test_where_the_drive_has_spells_the_race_lasts_twelve_seconds_by_itself() -> None:
    still, held = Drive(noise=0.001, seed=1), rules(spells=True)
    before = (sample(number=1, wall_ns=20 * S), sample(number=2, direction="write", wall_ns=20 * S))
    found = run(model=still, held=held, before=before)
    assert found.end == CLEAR
    assert 12 * S <= took_ns(found, 2) < 14.5 * S


@pytest.mark.parametrize(("share", "least_s"), [(0.93, 0), (0.85, 12)])
def test_a_race_far_below_the_passs_level_lasts_as_long_as_with_spells(share: float, least_s: int) -> None:
    """It may lie whole in a slow spell, or its longer transfers are slower: only time tells."""
    still = Drive(noise=0.001, seed=1)
    level = max(still.truth(point.setting) for point in RACE.points)
    before = (sample(number=1, wall_ns=20 * S),)
    found = run(model=still, held=rules(level_bytes_per_s=level / share), before=before)
    assert found.end == CLEAR
    assert least_s * S <= took_ns(found, 1) < (least_s + 3) * S
    short = replace(RACE, time_budget_ns=10 * S)
    ended = run(short, still, rules(level_bytes_per_s=level / share), before).end
    assert ended.settled is (least_s == 0)


def test_a_setting_to_keep_is_not_given_up_for_an_unlucky_visit() -> None:
    """It is measured as often as the choice before the race ends, unless it is hopeless."""
    poor, near = setting(256 << 10, 16, 2), setting(1024 << 10, 16, 4)
    model = Drive(noise=0.0, seed=0)
    best = max(model.truth(point.setting) for point in RACE.points)
    assert model.truth(poor) < 0.95 * best
    for kept, few in ((near, 8), (poor, 1)):
        held = rules(preferred=(kept,))
        counts = []
        for seed in range(5):
            found = run(model=Drive(noise=0.01, seed=seed), held=held)
            counts.append(found.settings.count(kept))
        assert min(counts) >= few
        assert few == 8 or max(counts) < 8


def test_the_kept_setting_ends_the_race_early() -> None:
    """It need only be as likely as not within the tolerance, and no rung is in doubt then."""
    model = Drive(noise=0.0, seed=0)
    dear = setting(1024 << 10, 64, 2)
    assert dear in [point.setting for point in RACE.points]
    found = run(held=rules(preferred=(dear,)))
    assert found.end == CLEAR
    assert choice(RACE, found.samples, dear).setting == dear
    assert model.truth(dear) > 0.98 * max(model.truth(point.setting) for point in RACE.points)
    assert choice(RACE, found.samples).setting != dear


def test_a_single_finalist_is_settled() -> None:
    single = replace(RACE, points=RACE.points[:1])
    assert run(single).end == CLEAR


# --- the usual budget, and more --------------------------------------------------------------------------


def test_the_usual_time_ends_a_quiet_race() -> None:
    made = replace(RACE, tolerance=0.0001)
    found = run(made, held=rules(usual_ns=10 * S))
    assert found.end == PhaseEnd(reason="the usual measuring time ran out")
    cost = spent(made, found.samples)
    assert 10 * S <= cost.ns < 11 * S


def test_the_usual_bytes_end_a_race_of_writes() -> None:
    made = replace(RACE, tolerance=0.0001, direction="write", write_budget_bytes=256 * GIB)
    found = run(made, held=rules(usual_bytes=16 * GIB + 1))
    assert found.end == PhaseEnd(reason="the usual write volume ran out")
    assert spent(made, found.samples).written_bytes == 16 * GIB


class Bimodal(Drive):
    """A drive that is at half its speed at random for a measurement."""

    def answer(self, asked: Request) -> Sample:
        found = super().answer(asked)
        slower = found.elapsed_ns * self.random.choice([1, 2])
        return replace(found, elapsed_ns=slower, transfers_ns=(slower,), wall_ns=slower + 1000)


def test_a_noisy_race_goes_on_beyond_the_usual_time_while_it_knows_little() -> None:
    """Above 10 % of regret and 3 % of noise, and no longer than that: then the usual time ran out."""
    made = replace(RACE, tolerance=0.001, time_budget_ns=120 * S)
    noisy = run(made, Bimodal(noise=0.05, seed=2), rules(usual_ns=5 * S))
    assert noisy.end == PhaseEnd(reason="the usual measuring time ran out")
    cost = spent(made, noisy.samples)
    assert 5 * S < cost.ns < 120 * S
    before = noisy.samples[: -len(noisy.rounds[-1])]
    assert choice(made, before).regret95 > 0.1 >= choice(made, noisy.samples).regret95
    quiet = run(made, Drive(noise=0.02, seed=2), rules(usual_ns=5 * S))
    assert spent(made, quiet.samples).ns < 6 * S


@pytest.mark.parametrize(
    ("regret95", "noise", "cliff", "spells", "goes_on"),
    [
        (0.11, 0.031, False, False, True),
        (0.09, 0.031, False, False, False),
        (0.11, 0.029, False, False, False),
        (0.11, 0.029, True, False, True),
        (0.11, 0.029, False, True, True),
        (0.09, 0.5, True, True, False),
    ],
)
def test_more_than_usual_helps_only_where_little_is_known_for_a_reason(
    regret95: float, noise: float, *, cliff: bool, spells: bool, goes_on: bool
) -> None:
    fell = Cliff(before_counts=False, after_bytes=1, before_bytes_per_s=2.0, behind_bytes_per_s=1.0)
    made = curve(noise=noise, cliff=fell if cliff else None)
    assert race._may_go_on(rules(spells=spells), made, regret95) is goes_on


# --- budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [1, 2, 5])
def test_a_round_is_no_longer_than_the_time_that_is_left(left: int) -> None:
    made = replace(RACE, tolerance=0.0001)
    model = Drive(noise=0.01, seed=1)
    samples = [model.answer(request) for request in requests_of(race.next_round(made, rules(), []))]
    now_ns = spent(made, samples).ns
    usual = rules(usual_ns=now_ns + left * made.visit_ns + 1000)
    assert len(requests_of(race.next_round(made, usual, samples))) == left
    tight = replace(made, time_budget_ns=now_ns + left * made.visit_ns + 1000)
    assert len(requests_of(race.next_round(tight, rules(), samples))) == left


def test_a_round_is_no_longer_than_the_bytes_that_are_left() -> None:
    made = replace(RACE, direction="write", tolerance=0.0001, write_budget_bytes=256 * GIB)
    model = Drive(noise=0.01, seed=1)
    samples = [model.answer(request) for request in requests_of(race.next_round(made, rules(), []))]
    written = spent(made, samples).written_bytes
    tight = replace(made, write_budget_bytes=written + 9 * 256 * MIB - 1)
    assert len(requests_of(race.next_round(tight, rules(), samples))) == 8
    usual = rules(usual_bytes=written + 9 * 256 * MIB - 1)
    assert len(requests_of(race.next_round(made, usual, samples))) == 8


@pytest.mark.parametrize("visit_transfers", [1, 3])
def test_writes_never_exceed_the_budget(visit_transfers: int) -> None:
    made = replace(
        RACE,
        direction="write",
        visit_ns=200_000_000,
        visit_bytes=visit_transfers * 256 * MIB,
        write_budget_bytes=40 * GIB + 32 * MIB,
        tolerance=0.0001,
    )
    found = run(made, Drive(noise=0.05, seed=2))
    assert found.end == PhaseEnd(reason="the write budget ran out")
    assert 40 * GIB - 256 * MIB < spent(made, found.samples).written_bytes <= 40 * GIB


def test_a_race_that_cannot_measure_each_finalist_ends_unsettled() -> None:
    made = replace(RACE, time_budget_ns=S // 2)
    found = run(made)
    assert found.end == PhaseEnd(reason="the time budget ran out")
    assert len(estimate.curve(made, found.samples).points) < len(made.points)


def test_a_cliff_ends_it() -> None:
    class Falling(Drive):
        """Behind 12 GiB of writes it is at a quarter."""

        written_bytes = 0

        def answer(self, asked: Request) -> Sample:
            found = super().answer(asked)
            slower = found.elapsed_ns * (4 if self.written_bytes > 12 * GIB else 1)
            self.written_bytes += found.bytes
            return replace(found, elapsed_ns=slower, transfers_ns=(slower,), wall_ns=slower + 10_000_000)

    made = replace(
        RACE, direction="write", tolerance=0.0001, write_budget_bytes=10**14, visit_ns=1, time_budget_ns=1000 * S
    )
    found = run(made, Falling(noise=0.02, seed=1))
    cliff = estimate.curve(made, found.samples).cliff
    assert cliff is not None
    assert cliff.before_counts
    assert 10 * GIB <= cliff.after_bytes <= 13 * GIB
    assert found.end == PhaseEnd(reason=f"throughput fell after {cliff.after_bytes >> 20} MiB and stayed low")
    assert spent(made, found.samples).ns < 250 * S


# --- determinism, quality --------------------------------------------------------------------------------


def test_the_same_seed_races_the_same_race_and_another_another() -> None:
    first, again = (run(model=Drive(noise=0.03, seed=4)).rounds for _ in range(2))
    assert first == again
    other = run(replace(RACE, seed=2), Drive(noise=0.03, seed=4)).rounds
    assert [r.setting for r in other[1]] != [r.setting for r in first[1]]


@settings(derandomize=True, deadline=None, max_examples=10)
@given(
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.003, 0.03, 0.3]),
    st.sampled_from(get_args(Direction)),
    st.sampled_from([0.5, 6, 15]),
    st.sampled_from([0.2, 5, 10**6]),
)
def test_numbers_are_unique_and_increasing_and_it_ends_for_good(
    seed: int, noise: float, direction: Direction, budget_s: float, usual_s: float
) -> None:
    made = replace(RACE, direction=direction, time_budget_ns=int(budget_s * S), seed=seed)
    held = rules(usual_ns=int(usual_s * S))
    found = run(made, Drive(noise=noise, seed=seed), held)
    ids = [taken.request.id for taken in found.samples]
    assert ids == sorted(set(ids))
    assert all(later[0].id > earlier[-1].id for earlier, later in itertools.pairwise(found.rounds))
    assert race.next_round(made, held, found.samples) == found.end


def test_samples_of_the_other_direction_change_nothing() -> None:
    """By turns with the other direction's race it asks the same as alone; only their time counts, 1 ns here."""
    alone = run(model=Drive(noise=0.01, seed=6))
    mixed: list[Sample] = []
    model = Drive(noise=0.01, seed=6)
    asked: list[list[Setting]] = []
    while isinstance(step := race.next_round(RACE, rules(), mixed), Round):
        asked.append([request.setting for request in step.requests])
        mixed += [model.answer(request) for request in step.requests]
        number = mixed[-1].request.id
        mixed.append(sample(direction="write", purpose="repeat", transfer_bytes=256 * MIB, number=number, wall_ns=1))
    assert asked == [[request.setting for request in each] for each in alone.rounds]
    assert step == alone.end


def test_where_it_is_settled_the_choice_is_within_the_tolerance() -> None:
    """Of 20 races one may fail, by its own probability; and most of such quiet races are settled."""
    model = Drive(noise=0.0, seed=0)
    best = max(model.truth(point.setting) for point in RACE.points)
    failed = settled = 0
    for seed in range(20):
        made = replace(RACE, seed=seed, points=tuple(random.Random(seed).sample(RACE.points, len(RACE.points))))
        found = run(made, Drive(noise=0.02, seed=seed), rules(usual_ns=25 * S))
        settled += found.end.settled
        chosen = choice(made, found.samples)
        failed += found.end.settled and model.truth(chosen.setting) < (1 - made.tolerance) * best
        assert model.truth(chosen.setting) > 0.96 * best
        assert model.truth(chosen.setting) >= 0.99 * model.truth(DEFAULT_SETTING)
    assert settled > 13
    assert failed <= 1
