from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from aio_tuned.errors import MeasurementError
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search import choose
from aio_tuned.search.choose import Pick, allowed, combine, cost, pick, undecided
from aio_tuned.search.finalists import LADDER
from aio_tuned.search.posterior import Posterior, posterior
from unit.support.builders import MIB, curve, phase, setting, stats

if TYPE_CHECKING:
    from aio_tuned.model.curve import Choice, PointStats
    from aio_tuned.model.setting import Direction, Setting

FAST = setting(depth=64, threads=8)
# Settings that are no rungs and not the default.
CHEAP, MIDDLE, DEAR = setting(depth=32, threads=2), setting(depth=32, threads=4), setting(depth=32, threads=8)
CERTAIN = 1e-9


def known(*found: PointStats, default: PointStats | None = None, direction: Direction = "read") -> Posterior:
    """Return the posterior of these points; `default` is the reference's measurement, and a point if it is in them."""
    made = posterior(phase(stage="race"), curve(*found, reference=default, direction=direction))
    assert made is not None
    return made


def certainly(*found: tuple[Setting, float], default: float = 1e9) -> Posterior:
    """Return the posterior of settings whose throughputs in bytes/s are known, the default's too."""
    reference = stats(default, DEFAULT_SETTING, width=CERTAIN)
    return known(*(stats(rate, which, width=CERTAIN) for which, rate in found), reference, default=reference)


def chosen(made: Posterior, tolerance: float = 0.02, *preferred: Setting) -> Choice:
    return choose.choose(made, tolerance, preferred)


# --- the cost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        # threads before memory
        (setting(depth=64, threads=1), setting(depth=1, threads=2)),
        # memory by steps: up to 1, 8, 64, 512 MiB
        (setting(depth=1), setting(depth=2)),
        (setting(depth=8), setting(depth=9)),
        (setting(depth=64), setting(depth=65)),
        (setting(256 << 10, depth=4), setting(MIB, depth=2)),
        # within a step the larger block
        (setting(MIB, depth=4), setting(MIB // 2, depth=8)),
        (setting(MIB, depth=2), setting(MIB // 4, depth=32)),
        (setting(MIB // 2, depth=2), setting(256 << 10, depth=4)),
        # then the deeper queue
        (setting(depth=8), setting(depth=2)),
        (setting(depth=64, overlap=False, single=True), setting(depth=16)),
        # then a queue that is refilled, then batches
        (setting(overlap=True, single=True), setting(overlap=False, single=False)),
        (setting(single=False), setting(single=True)),
    ],
)
def test_ties_go_to_the_cheapest(cheaper: Setting, dearer: Setting) -> None:
    assert cost(cheaper) < cost(dearer)
    for found in ((cheaper, dearer), (dearer, cheaper)):
        choice = chosen(known(*(stats(1e9, which, width=CERTAIN) for which in found), default=stats(5e8, FAST)))
        assert choice.setting == cheaper
        assert choice.ties == 2


def test_latency_is_no_cost() -> None:
    slow = stats(1e9, setting(depth=8), p99_us=9e9, width=CERTAIN)
    quick = stats(1e9, setting(depth=4), p99_us=1, width=CERTAIN)
    assert chosen(known(quick, slow, default=stats(5e8, FAST))).stats == slow


@pytest.mark.parametrize(("mib", "step"), [(1, 0), (2, 1), (8, 1), (9, 2), (64, 2), (65, 3), (512, 3), (513, 4)])
def test_memory_costs_by_steps_of_eight(mib: int, step: int) -> None:
    assert cost(setting(depth=mib))[1] == step
    assert cost(setting(4096, depth=1))[1] == 0


# --- the least expected shortfall ------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "alike"), [(0.9985, True), (0.9975, False)])
def test_expected_shortfalls_within_a_fifth_of_a_percent_are_alike(share: float, alike: bool) -> None:
    """What is 0.25 % below the best is within the tolerance, and still not chosen for being cheaper."""
    choice = chosen(certainly((CHEAP, 10e9 * share), (DEAR, 10e9)))
    assert choice.setting == (CHEAP if alike else DEAR)
    assert choice.ties == 2


# --- what is kept ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "kept"), [(0.981, True), (0.979, False)])
def test_an_earlier_setting_is_kept_while_it_is_within_the_tolerance(share: float, kept: bool) -> None:
    choice = chosen(certainly((DEAR, 10e9 * share), (CHEAP, 10e9), (LADDER[0], 9.99e9)), 0.02, DEAR)
    assert choice.kept is kept
    assert (choice.setting == DEAR) is kept


@pytest.mark.parametrize(("middle", "kept"), [(0.984, True), (0.976, False)])
def test_as_likely_as_not_is_enough_to_be_kept(middle: float, kept: bool) -> None:
    """The half width of 1 % is two standard errors: the chance is 0.79 at 0.984 and 0.21 at 0.976."""
    made = known(stats(10e9 * middle, DEAR, width=0.01), stats(10e9, CHEAP, width=CERTAIN))
    chance = made.within(0.02)[0]
    assert 0.1 < chance < 0.9
    assert pick(made, 0.02, [DEAR]).kept is kept
    assert (chance >= choose.KEEP) == kept


def test_the_first_of_the_preferred_that_is_good_enough_is_kept() -> None:
    made = certainly((DEAR, 9.9e9), (MIDDLE, 9.95e9), (CHEAP, 10e9), (FAST, 9e9))
    assert chosen(made, 0.02, DEAR, MIDDLE).setting == DEAR
    assert chosen(made, 0.02, FAST, MIDDLE, DEAR).setting == MIDDLE
    assert chosen(made, 0.02, setting(depth=99), MIDDLE).setting == MIDDLE
    assert not chosen(made, 0.02).kept


def test_a_check_keeps_its_setting_however_unlikely() -> None:
    made = certainly((DEAR, 9e9), (CHEAP, 10e9))
    assert choose.choose(made, 0.02, [DEAR], keep=0.0).setting == DEAR
    assert choose.choose(made, 0.02, [DEAR]).setting == CHEAP


def test_what_is_published_is_the_kept_setting_and_not_a_cheaper_alias() -> None:
    deep = setting(depth=64, threads=8)
    point = stats(10e9, setting(depth=32, threads=8), deep, width=CERTAIN)
    made = known(point, stats(5e9, CHEAP), default=stats(5e9, CHEAP))
    assert chosen(made, 0.02, deep).setting == deep
    assert chosen(made, 0.02).setting == min(point.point.aliases, key=cost)


# --- the ladder ------------------------------------------------------------------------------------------


def test_the_first_rung_that_is_surely_within_the_tolerance_is_taken() -> None:
    """Though another is better, and a cheaper one that is no rung is as good."""
    made = certainly(
        (setting(depth=9), 10e9), (LADDER[1], 9.7e9), (LADDER[4], 9.9e9), (LADDER[3], 9.85e9), (FAST, 1e10)
    )
    assert chosen(made).setting == LADDER[3]
    assert chosen(made, 0.05).setting == LADDER[1]
    assert chosen(made, 0.0001).setting == setting(depth=9)


def test_a_rung_in_doubt_is_not_taken() -> None:
    """At 0.9855 with a half width of 1 % it is within 2 % with 87 %, and ACCEPT is 90 %."""
    rung = stats(9.855e9, LADDER[0], width=0.01)
    made = known(rung, stats(10e9, DEAR, width=CERTAIN), default=stats(1e9, DEFAULT_SETTING))
    assert 0.8 < made.within(0.02)[0] < choose.ACCEPT
    assert chosen(made).setting == DEAR
    assert undecided(made, 0.02, pick(made, 0.02)) == [0]


def test_only_rungs_before_the_choice_are_undecided_and_only_while_seldom_measured() -> None:
    rung = stats(9.86e9, LADDER[2], width=0.01)
    sure = stats(10e9, LADDER[1], width=CERTAIN)
    assert undecided(known(rung, sure), 0.02, pick(known(rung, sure), 0.02)) == []
    later = stats(10e9, LADDER[3], width=CERTAIN)
    for visits, found in ((3, [0]), (15, [0]), (choose.MAX_RUNG_VISITS, [])):
        made = known(replace(rung, visits=visits), later)
        assert undecided(made, 0.02, pick(made, 0.02)) == found
    # A kept setting is kept whatever the rungs are.
    made = known(rung, later)
    assert undecided(made, 0.02, pick(made, 0.02, [LADDER[3]])) == []


@pytest.mark.parametrize("share", [0.9, 0.9999])
def test_a_rung_that_is_decided_is_not_undecided(share: float) -> None:
    made = certainly((LADDER[0], 10e9 * share), (DEAR, 10e9))
    assert undecided(made, 0.02, Pick(1)) == []


# --- never below the default -----------------------------------------------------------------------------


def test_a_setting_measured_below_the_default_is_never_chosen() -> None:
    """Neither kept, nor as a rung, nor for its low cost, though each is within the tolerance."""
    made = certainly((LADDER[0], 9.9e9), (DEAR, 9.95e9), default=10e9)
    for preferred in ((), (DEAR,), (LADDER[0],)):
        choice = chosen(made, 0.02, *preferred)
        assert choice.setting == DEFAULT_SETTING
        assert not choice.floored
        assert (choice.versus_default, choice.versus_default_ci95) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize(("width", "floored"), [(0.002, False), (0.08, True)])
def test_a_setting_that_may_be_below_the_default_is_not_chosen(width: float, floored: bool) -> None:
    """3 % above it: with a standard error of 0.1 % surely above, with 4 % below with a quarter."""
    default = stats(10e9, DEFAULT_SETTING, width=CERTAIN)
    made = known(stats(10.3e9, DEAR, width=width), default, default=default)
    choice = chosen(made)
    assert choice.floored is floored
    assert choice.setting == (DEFAULT_SETTING if floored else DEAR)
    below = float((made.draws[:, 0] < made.draws[:, 1]).mean())
    assert (below > choose.MAX_BELOW_DEFAULT) is floored


@pytest.mark.parametrize(("visits", "floored"), [(1, True), (2, False)])
def test_a_setting_that_was_measured_once_is_not_chosen(visits: int, *, floored: bool) -> None:
    """One figure may be the drive's best moment, however far above the default it is."""
    default = stats(10e9, DEFAULT_SETTING, width=CERTAIN)
    made = known(stats(12e9, DEAR, width=0.01, visits=visits), default, default=default)
    choice = chosen(made)
    assert (choice.floored, choice.setting) == (floored, DEFAULT_SETTING if floored else DEAR)
    assert choose.pick(made, 0.02).column == made.place(DEAR)
    assert chosen(made, 0.02, DEAR).kept


@pytest.mark.parametrize(("width", "visits", "floored"), [(0.02, 7, False), (0.032, 7, True), (0.032, 8, False)])
def test_what_was_measured_seldom_must_be_surer(width: float, visits: int, *, floored: bool) -> None:
    """3 % above the default, with errors of 1.0 and 1.6 %: chances of 0.1 and 3 % to be below."""
    default = stats(10e9, DEFAULT_SETTING, width=CERTAIN)
    made = known(stats(10.3e9, DEAR, width=width, visits=visits), default, default=default)
    assert chosen(made).floored is floored


def test_the_default_is_not_floored_where_it_is_chosen_among_others() -> None:
    made = certainly((DEAR, 10.001e9), default=10e9)
    choice = chosen(made)
    assert choice.setting == DEFAULT_SETTING
    assert not choice.floored


@pytest.mark.parametrize(("gain", "stays"), [(0.8, True), (1.2, False)])
def test_what_gains_next_to_nothing_is_not_worth_leaving_the_default(gain: float, stays: bool) -> None:
    share = 1 + gain * choose.NOTHING
    choice = chosen(certainly((LADDER[0], 10e9 * share), (DEAR, 10e9 * share), default=10e9))
    assert choice.setting == (DEFAULT_SETTING if stays else LADDER[0])
    assert not choice.floored


@pytest.mark.parametrize(("share", "kept"), [(1.001, True), (0.999, False)])
def test_an_earlier_setting_is_not_left_for_the_default_unless_it_was_measured_below_it(
    share: float, *, kept: bool
) -> None:
    """Its chance of being below by more than the tolerance is what counts: else each sweep might change the setting."""
    default = stats(10e9, DEFAULT_SETTING, width=CERTAIN)
    made = known(stats(10e9 * share, DEAR, width=0.004), default, default=default)
    assert (made.draws[:, 0] < made.draws[:, 1]).mean() > choose.MAX_BELOW_DEFAULT
    assert chosen(made, 0.02, DEAR).kept is kept
    vague = known(stats(10e9 * share, DEAR, width=0.06), default, default=default)
    assert not chosen(vague, 0.02, DEAR).kept


def test_without_a_measured_default_all_may_be_chosen() -> None:
    assert allowed(known(stats(1e9, CHEAP), stats(2e9, DEAR))).tolist() == [True, True]


def test_the_default_may_be_kept() -> None:
    choice = chosen(certainly((DEAR, 10.1e9), default=10e9), 0.02, DEFAULT_SETTING)
    assert (choice.setting, choice.kept, choice.floored) == (DEFAULT_SETTING, True, False)


@tries(derandomize=True, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0005, 0.005, 0.05, 0.3]),
    st.integers(1, 9),
    st.sampled_from([0.001, 0.02, 0.2]),
)
def test_whatever_is_measured_the_choice_is_not_below_the_default(
    seed: int, noise: float, others: int, tolerance: float
) -> None:
    dice = random.Random(seed)
    found = [
        stats(
            5e9 * math.exp(dice.gauss(0, noise)),
            which,
            width=noise * dice.choice([0.1, 1, 2]),
            visits=dice.choice([1, 9]),
        )
        for which in [DEFAULT_SETTING, *LADDER, CHEAP, MIDDLE, DEAR][: others + 1]
    ]
    default = found[0]
    made = known(*found, default=default)
    preferred = [dice.choice(found).point.setting for _ in range(2)]
    choice = choose.choose(made, tolerance, preferred, keep=dice.choice([0.0, choose.KEEP]))
    margin = math.log1p(-choose.NOTHING) if choice.kept else 0.0
    seldom = choice.stats.visits < choose.SELDOM_VISITS and not choice.kept
    most = choose.MAX_BELOW_IF_SELDOM if seldom else choose.MAX_BELOW_DEFAULT
    assert choice.stats.bytes_per_s >= default.bytes_per_s
    column = made.place(choice.setting)
    assert column is not None
    own = made.place(DEFAULT_SETTING)
    if choice.setting != DEFAULT_SETTING:
        assert own is not None
        assert (made.draws[:, column] < made.draws[:, own] + margin).mean() <= most
        assert choice.stats.visits >= choose.MIN_VISITS or choice.kept
        assert choice.versus_default_ci95[0] <= choice.versus_default <= choice.versus_default_ci95[1]
    assert 0 <= choice.expected_shortfall <= 1
    assert 0 <= choice.regret95 <= 1
    assert 0 <= choice.probability_within <= 1
    assert 1 <= choice.ties <= len(made.points)


def test_where_all_of_a_grid_without_the_default_is_below_it_the_default_is_chosen() -> None:
    """It is measured as the reference, though it is no point of the grid."""
    default = stats(5e9, DEFAULT_SETTING, width=0.002)
    made = known(stats(4e9, CHEAP, width=0.002), stats(3e9, DEAR, width=0.002), default=default)
    choice = chosen(made)
    assert choice.setting == DEFAULT_SETTING
    assert choice.stats == default


def test_where_the_default_is_published_it_is_the_default_itself() -> None:
    """In a transfer of 8 MiB the third rung is the default's program, and in a longer one it is another."""
    default = stats(10e9, DEFAULT_SETTING, LADDER[2], width=CERTAIN)
    for other in (stats(9.9e9, DEAR, width=CERTAIN), stats(10.3e9, DEAR, width=0.08)):
        assert chosen(known(default, other, default=default)).setting == DEFAULT_SETTING


def test_without_a_measured_default_there_is_no_gain_over_it() -> None:
    choice = chosen(known(stats(1e9, CHEAP), stats(2e9, DEAR)))
    assert choice.setting == DEAR
    assert not math.isnan(choice.versus_default)


# --- what is said of the choice --------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "tied"), [(0.9801, True), (0.9799, False), (0.5, False)])
def test_points_as_likely_as_not_within_the_tolerance_tie(share: float, tied: bool) -> None:
    choice = chosen(certainly((DEAR, 10e9 * share), (CHEAP, 10e9)))
    assert choice.ties == 1 + tied


def test_the_figures_are_those_of_the_draws() -> None:
    found = [stats(10e9 + 2e7 * n, setting(depth=n + 1, threads=2), width=0.02) for n in range(12)]
    default = stats(8e9, DEFAULT_SETTING, width=0.02)
    made = known(*found, default=default)
    choice = chosen(made)
    column = made.place(choice.setting)
    assert column is not None
    short = -np.expm1(-made.shortfall[:, column])
    assert choice.stats == made.points[column]
    assert choice.regret95 == pytest.approx(np.quantile(short, 0.95), rel=1e-3)
    assert choice.expected_shortfall == pytest.approx(short.mean())
    assert choice.probability_within == pytest.approx((short <= 0.02).mean())
    low, high = choice.versus_default_ci95
    assert 0.2 < low < choice.versus_default < high < 0.35
    assert choice.versus_default == pytest.approx(choice.stats.bytes_per_s / 8e9 - 1, abs=0.02)


def test_what_is_better_known_is_known_to_be_nearer() -> None:
    regrets = [
        chosen(
            known(stats(9.95e9, LADDER[0], width=width), stats(10e9, FAST, width=width), default=stats(1e9, CHEAP))
        ).regret95
        for width in (0.0001, 0.002, 0.02)
    ]
    assert regrets == sorted(regrets)
    assert regrets[0] == pytest.approx(0.005, abs=0.001)


def test_what_is_surely_the_best_is_not_short() -> None:
    choice = chosen(certainly((CHEAP, 10e9), (DEAR, 5e9)))
    assert (choice.regret95, choice.expected_shortfall, choice.probability_within) == (0.0, 0.0, 1.0)


def test_the_saturating_concurrency_is_the_least_of_the_ties() -> None:
    found = [
        (setting(depth=32, threads=1), 9.995e9),
        (setting(depth=2, threads=8), 9.99e9),
        (setting(depth=1), 5e9),
        (setting(block=4 * MIB, depth=2, threads=2), 9.99e9),  # fewer, but of more bytes each
        (FAST, 10e9),
    ]
    choice = chosen(certainly(*found))
    assert choice.setting == LADDER[2] == setting(depth=32, threads=1)
    assert choice.saturating_concurrency == 16


def test_the_challengers_are_the_best_of_three_other_classes() -> None:
    made = certainly(
        (setting(depth=32), 10e9),
        (setting(depth=64), 9.99e9),  # the chosen one's own class
        (setting(512 << 10, depth=64), 9.9e9),
        (setting(512 << 10, depth=16, overlap=False), 9.8e9),  # a class that is named already
        (setting(depth=32, threads=4), 9.7e9),
        (setting(128 << 10, depth=64, threads=8), 9.5e9),
        (setting(256 << 10, depth=64, threads=8), 9.4e9),
    )
    choice = chosen(made)
    assert choice.setting == setting(depth=32)
    assert [which for which, _ in choice.challengers] == [
        setting(512 << 10, depth=64),
        setting(depth=32, threads=4),
        setting(128 << 10, depth=64, threads=8),
    ]
    assert [share for _, share in choice.challengers] == pytest.approx([0.99, 0.97, 0.95], rel=1e-4)


def test_a_single_point_has_no_challengers() -> None:
    made = known(stats(10e9, DEFAULT_SETTING), default=stats(10e9, DEFAULT_SETTING))
    choice = chosen(made)
    assert (choice.challengers, choice.ties, choice.floored) == ((), 1, False)


# --- combined --------------------------------------------------------------------------------------------

READER, WRITER, BETWEEN = setting(depth=64, threads=2), setting(depth=4, threads=2), setting(depth=9, threads=2)


def side(*found: tuple[Setting, float], direction: Direction = "read", default: float = 1e9) -> Posterior:
    reference = stats(default, DEFAULT_SETTING, width=CERTAIN)
    points = [stats(rate, which, width=CERTAIN) for which, rate in found]
    return known(*points, reference, default=reference, direction=direction)


def both(read_weight: float) -> Setting:
    read = side((READER, 10e9), (WRITER, 5e9), (BETWEEN, 8e9))
    write = side((READER, 2e9), (WRITER, 4e9), (BETWEEN, 3.6e9), direction="write")
    choice = combine(read, write, read_weight, 0.02)
    assert choice.read_share == pytest.approx(choice.read.bytes_per_s / 10e9)
    assert choice.write_share == pytest.approx(choice.write.bytes_per_s / 4e9)
    assert choice.ties == 1
    return choice.setting


@pytest.mark.parametrize(("weight", "which"), [(1, READER), (0, WRITER), (0.5, BETWEEN)])
def test_the_weight_decides_between_reads_and_writes(weight: float, which: Setting) -> None:
    assert both(weight) == which


def test_combined_ties_go_to_a_preferred_setting_then_to_a_rung_then_to_the_cheapest() -> None:
    found = ((READER, 10e9), (WRITER, 9.95e9), (LADDER[4], 9.9e9), (LADDER[3], 9.9e9))
    read, write = side(*found), side(*found, direction="write")
    assert combine(read, write, 0.5, 0.02).setting == LADDER[3]
    assert combine(read, write, 0.5, 0.02, [READER]).setting == READER
    assert combine(read, write, 0.5, 0.02, [setting(depth=99), LADDER[4]]).setting == LADDER[4]
    assert combine(read, write, 0.5, 0.007).setting == WRITER
    assert combine(read, write, 0.5, 0.02).ties == 4


def test_the_combined_setting_is_not_below_the_default() -> None:
    """In neither direction, whatever is preferred or weighs."""
    read = side((READER, 10.05e9), (WRITER, 9.9e9), default=10e9)
    write = side((READER, 9.9e9), (WRITER, 10.05e9), default=10e9, direction="write")
    for preferred in ([], [READER], [WRITER]):
        assert combine(read, write, 0.5, 0.02, preferred).setting == DEFAULT_SETTING
    assert combine(read, write, 1.0, 0.02, [READER]).setting == DEFAULT_SETTING


def test_only_settings_measured_in_both_directions_take_part() -> None:
    read = known(stats(10e9, READER, width=CERTAIN), stats(6e9, BETWEEN, width=CERTAIN))
    write = known(stats(4e9, WRITER, width=CERTAIN), stats(1e9, BETWEEN, width=CERTAIN), direction="write")
    choice = combine(read, write, 0.5, 0.02)
    assert choice.setting == BETWEEN
    assert choice.read_share == pytest.approx(0.6)
    assert choice.write_share == pytest.approx(0.25)


def test_settings_meet_by_their_aliases() -> None:
    """The same setting may be the same program as others at one direction's transfer size and not at the other's."""
    deep, deeper = setting(depth=33), setting(depth=64)
    read = known(stats(10e9, deep, deeper, width=CERTAIN))
    write = known(stats(3e9, deep, width=CERTAIN), stats(4e9, deeper, width=CERTAIN), direction="write")
    assert combine(read, write, 0.5, 0.02).setting == deeper


def test_without_a_common_setting_there_is_no_combined_one() -> None:
    with pytest.raises(MeasurementError, match="both directions"):
        combine(known(stats(1e9, READER)), known(stats(1e9, WRITER), direction="write"), 0.5, 0.02)


def test_combined_ties_are_points_not_settings() -> None:
    """Aliases that are one program in both directions are one tie."""
    deep, deeper = setting(depth=33), setting(depth=64)
    read = known(stats(10e9, deep, deeper))
    assert combine(read, known(stats(4e9, deep, deeper), direction="write"), 0.5, 0.02).ties == 1


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_shares_are_never_above_one(weight: float) -> None:
    read, write = side((READER, 12e9), (WRITER, 10e9)), side((READER, 12e9), (WRITER, 10e9), direction="write")
    for which in (READER, WRITER):
        choice = combine(read, write, weight, 0.5, [which])
        assert choice.setting == which
        assert 0.8 < choice.read_share == choice.write_share <= 1.0


def test_a_setting_that_is_as_good_ties_though_it_may_not_be_chosen() -> None:
    """It was measured a hair slower than the default, which is no reason to call it worse."""
    both = [side((setting(depth=9), 9.99e9), direction=direction, default=10e9) for direction in ("read", "write")]
    found = combine(both[0], both[1], 0.5, 0.02)
    assert (found.setting, found.ties) == (DEFAULT_SETTING, 2)
