"""The consensus of a class: what its sweeps agree on, what they may not decide, and which of them do not count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.fleet import agreement, votes
from aio_tuned.fleet.consensus import VOTES_LAST_S, ClassResult, Refused
from aio_tuned.fleet.odd_drives import odd_drives
from aio_tuned.fleet.report import DriveReport, Rate, Share
from unit.support.builders import setting
from unit.support.fleet import NOW_S, POINTS, class_result, direction_report, rate_of, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.setting import Setting


def _sweep(node: str, speed: float = 6e9, best: tuple[Setting, ...] = POINTS[:6], step: int = 100) -> DriveReport:
    return sweep_report(node, direction_report(speed, best, step))


def _shares(node: str, **shares: int) -> DriveReport:
    """Return a sweep by the shares of the points a, b, c and d."""
    best = sorted((Share(POINTS["abcd".index(name)], share) for name, share in shares.items()), key=lambda x: -x.share)
    return sweep_report(node, replace(direction_report(best=(best[0].setting,)), best=tuple(best)))


def agree(reports: Iterable[DriveReport], previous: ClassResult | None, now_s: int) -> ClassResult | None:
    return agreement.agree(votes.count(reports, now_s), previous, now_s)


def _agreed(*reports: DriveReport, previous: ClassResult | None = None, now_s: int = NOW_S) -> ClassResult:
    found = agree(reports, previous, now_s)
    assert found
    return found


def _setting(result: ClassResult) -> Setting:
    assert result.read
    return result.read.setting


def test_two_sweeps_make_no_result_and_three_do() -> None:
    reports = [_sweep(f"n{number}") for number in range(3)]
    assert agree(reports[:2], None, NOW_S) is None
    found = _agreed(*reports)
    assert (found.generation, found.disagreement, found.rejected) == (1, "", ())
    assert [each.node for each in found.contributors] == ["n0", "n1", "n2"]


def test_three_drives_of_one_node_have_one_vote() -> None:
    reports = [replace(_sweep("n1"), drive=f"d{number}") for number in range(3)]
    assert agree(reports, None, NOW_S) is None


def test_the_point_with_the_largest_least_share_wins() -> None:
    # a is the best of two drives, and 4 % below the best of the third; b loses 2 % at most on each.
    found = _agreed(
        _shares("n1", a=10_000, b=9_800), _shares("n2", a=10_000, b=9_850), _shares("n3", c=10_000, b=9_900, a=9_600)
    )
    assert _setting(found) == POINTS[1]
    assert found.read
    assert found.read.share == 9_800


def test_the_figures_are_those_of_the_chosen_point_on_each_drive() -> None:
    found = _agreed(
        _shares("n1", a=10_000, b=9_800), _shares("n2", a=10_000, b=9_850), _shares("n3", c=10_000, b=9_900, a=9_600)
    )
    assert found.read
    assert found.read.rate == (5_910_000_000, round(6e9 * 0.995 * 0.98), round(6e9 * 1.005 * 0.99))


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 3.0])
def test_of_four_sweeps_the_odd_one_is_rejected_on_both_sides_and_named(factor: float) -> None:
    speeds = {"n1": 6e9, "n2": 6.05e9, "n3": 5.97e9, "odd": 6e9 * factor}
    found = _agreed(*(_sweep(node, speed) for node, speed in speeds.items()))
    assert [each.node for each in found.rejected] == ["odd"]
    assert ("slower" if factor < 1 else "faster") in found.rejected[0].why
    assert found.disagreement == ""


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_of_three_sweeps_none_is_rejected_but_their_disagreement_is_told(factor: float) -> None:
    found = _agreed(_sweep("n1"), _sweep("n2"), _sweep("odd", 6e9 * factor))
    assert found.rejected == ()
    assert found.disagreement.startswith("odd: read: ")


def test_two_against_two_disagree_until_a_fifth_settles_it() -> None:
    four = [_sweep("n1"), _sweep("n2"), _sweep("slow1", 3e9), _sweep("slow2", 3.02e9)]
    assert _agreed(*four).disagreement
    found = _agreed(*four, _sweep("n3"))
    assert (found.disagreement, [each.node for each in found.rejected]) == ("", ["slow1", "slow2"])


def test_a_spread_that_all_drives_have_rejects_none() -> None:
    found = _agreed(*(_sweep(f"n{number}", 6e9 * (1 + 0.02 * number)) for number in range(5)))
    assert (found.rejected, found.disagreement) == ((), "")


@pytest.mark.parametrize("others", [2, 3])
def test_a_drive_that_praises_slow_points_does_not_choose(others: int) -> None:
    liar = _sweep("liar", best=POINTS[10:16], step=1)
    found = _agreed(*(_sweep(f"n{number}", step=40) for number in range(others)), liar)
    assert _setting(found) in POINTS[:6]


def test_a_drive_that_contradicts_the_others_is_rejected_from_four_on() -> None:
    liar = _sweep("liar", best=(*POINTS[10:13], *POINTS[:3]), step=200)
    found = _agreed(*(_sweep(f"n{number}") for number in range(3)), liar)
    assert [each.node for each in found.rejected] == ["liar"]
    assert "best points" in found.rejected[0].why


@pytest.mark.parametrize("writers", [1, 2])
def test_fewer_than_three_sweeps_decide_no_direction(writers: int) -> None:
    """Where most drives may not be written, one node would choose how all others write."""
    sweeps = [_sweep(f"n{number}") for number in range(5)]
    written = [replace(each, write=direction_report(9e9, POINTS[8:11])) for each in sweeps[:writers]]
    found = _agreed(*written, *sweeps[writers:])
    assert (found.write, found.combined) == (None, None)
    assert _setting(found) == POINTS[0]
    known = class_result(3, POINTS[0], write=class_result().read)
    assert _agreed(*written, *sweeps[writers:], previous=known).write == known.write
    three = [replace(each, write=direction_report(2e9, POINTS[:3])) for each in sweeps[:3]]
    assert _agreed(*three, *sweeps[3:]).write


def test_a_sweep_that_is_sure_of_nothing_does_not_widen_the_class() -> None:
    """Each drive would be within the range of the class."""
    vague = sweep_report("n9", replace(direction_report(), rate=Rate(6_000_000_000, 1, 10**12)))
    usual = [_sweep(f"n{number}") for number in range(4)]
    found = _agreed(*usual, vague)
    assert [(each.node, each.why) for each in found.rejected] == [
        ("n9", "read: its interval, 0 MB/s to 1000.00 GB/s, is too wide to tell anything")
    ]
    assert found.read
    assert found.read.rate == rate_of(6e9)
    assert "too wide" in _agreed(*usual[:2], vague).disagreement


def test_another_grid_is_told_and_rejected() -> None:
    foreign = sweep_report("foreign", direction_report())
    foreign = replace(foreign, grid=replace(foreign.grid, queue_depth=(4, 32, 512)))
    assert _agreed(_sweep("n1"), _sweep("n2"), foreign).disagreement == "foreign: measured another grid"
    found = _agreed(_sweep("n1"), _sweep("n2"), _sweep("n3"), foreign)
    assert [(each.node, each.why) for each in found.rejected] == [("foreign", "measured another grid")]


@pytest.mark.parametrize(
    "changes", [{"at_s": NOW_S - VOTES_LAST_S - 1}, {"at_s": NOW_S + 90_000}, {"state": "stale"},
                {"basis": "check", "confirms": True, "generation": 1}],
    ids=["older than 90 days", "a day ahead", "stale", "a check"],
)  # fmt: skip
def test_a_report_without_a_vote_does_not_count(changes: dict[str, Any]) -> None:
    three = [_sweep("n1"), _sweep("n2"), replace(_sweep("n3"), **changes)]
    assert agree(three, None, NOW_S) is None


@pytest.mark.parametrize("at_s", [NOW_S - VOTES_LAST_S, NOW_S + 3600])
def test_ninety_days_and_clocks_an_hour_apart_keep_the_vote(at_s: int) -> None:
    assert agree([_sweep("n1"), _sweep("n2"), replace(_sweep("n3"), at_s=at_s)], None, NOW_S)


def test_a_result_stays_when_the_votes_of_its_sweeps_have_ended() -> None:
    reports = [_sweep(f"n{number}") for number in range(3)]
    first = _agreed(*reports)
    assert agree(reports, first, NOW_S + VOTES_LAST_S + 1) == first


def test_the_generation_rises_only_with_the_settings() -> None:
    first = _agreed(*(_sweep(f"n{number}") for number in range(3)))
    again = _agreed(*(_sweep(f"n{number}", 6.1e9) for number in range(3)), previous=first)
    assert again.generation == 1
    other = _agreed(*(_sweep(f"n{number}", best=POINTS[6:9]) for number in range(3)), previous=again)
    assert (other.generation, _setting(other)) == (2, POINTS[6])


def test_the_setting_of_before_stays_while_it_loses_one_percent_at_most() -> None:
    first = _agreed(*(_sweep(f"n{number}", step=20) for number in range(3)), previous=class_result(7, POINTS[3]))
    assert (_setting(first), first.generation) == (POINTS[3], 7 + 1)  # the combined setting of before is gone
    left = _agreed(*(_sweep(f"n{number}", step=40) for number in range(3)), previous=class_result(7, POINTS[3]))
    assert _setting(left) == POINTS[0]


def test_while_sweeps_disagree_the_settings_of_before_stay() -> None:
    before = class_result(7, POINTS[9])
    found = _agreed(_sweep("n1"), _sweep("n2"), _sweep("n3", 3e9), previous=before)
    assert (found.generation, found.settings()) == (7, before.settings())
    assert found.disagreement


def test_a_point_that_was_taken_back_is_not_chosen_again_until_votes_end() -> None:
    refused = (Refused("read", POINTS[0], NOW_S),)
    before = class_result(3, POINTS[5], refused=refused)
    reports = [_sweep(f"n{number}", step=200) for number in range(3)]
    found = _agreed(*reports, previous=before)
    assert _setting(found) == POINTS[1]
    assert found.refused == refused
    later = NOW_S + VOTES_LAST_S + 1
    assert _setting(_agreed(*(replace(each, at_s=later) for each in reports), previous=found, now_s=later)) == POINTS[0]


def test_one_setting_for_both_directions_has_the_largest_least_share_of_both() -> None:
    read, write = (
        replace(direction_report(), best=(Share(POINTS[first], 10_000), Share(POINTS[2], 9_700))) for first in (0, 1)
    )
    found = _agreed(*(replace(sweep_report(f"n{number}", read), write=write) for number in range(3)))
    assert found.combined
    assert (found.combined.setting, found.combined.read_share, found.combined.write_share) == (POINTS[2], 9_700, 9_700)


@given(st.permutations(range(5)), st.lists(st.floats(0.2, 4), min_size=5, max_size=5))
def test_the_order_of_the_reports_changes_nothing(order: list[int], factors: list[float]) -> None:
    reports = [_sweep(f"n{number}", 6e9 * factor) for number, factor in enumerate(factors)]
    assert _agreed(*reports) == _agreed(*(reports[place] for place in order))


@given(st.lists(st.floats(0.001, 1000), min_size=3, max_size=9))
def test_every_result_can_be_written_and_read(factors: list[float]) -> None:
    found = _agreed(*(_sweep(f"n{number}", 6e9 * factor) for number, factor in enumerate(factors)))
    assert ClassResult.from_json(found.to_json()) == found


@pytest.mark.parametrize(("factor", "odd"), [(0.85, True), (0.93, False), (1.07, False), (1.2, True)])
def test_a_check_outside_the_range_of_its_class_names_the_drive(factor: float, odd: bool) -> None:
    part = direction_report(6e9 * factor, best=(POINTS[0],), rate=rate_of(6e9 * factor))
    found = odd_drives(class_result(), [sweep_report("n9", replace(part, best=()))])
    assert [each.node for each in found] == ["n9"] * odd
    assert not odd or ("slower" if factor < 1 else "faster") in str(found[0])


def test_a_setting_off_the_grid_of_a_sweep_scales_by_the_last_of_its_best() -> None:
    kept = [replace(_sweep(f"n{number}"), read=direction_report(setting=setting(depth=99))) for number in range(3)]
    found = _agreed(*kept)
    assert found.read
    assert found.read.rate.bytes_per_s == round(6e9 / 0.98)
