"""The reports that are made of profiles: what a drive measured, in the form in which its fleet reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aio_tuned.config.load import Config
from aio_tuned.fleet.profile_report import Source, check, presence, sweep
from aio_tuned.fleet.report import DriveReport, Rate, Share
from aio_tuned.model.profile import Skipped
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search.grid import settings
from unit.support.builders import SMALL_GRID, evidence, never_measured_profile, profile, result, setting
from unit.support.fleet import CLASS, POINTS, rate_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction, Setting

SOURCE = Source("gpu-1", "rack-7")
MEASURED_S = 1_763_899_200  # 2025-11-23T12:00:00+00:00
MEASURED = profile(read=result(setting=POINTS[2]), write=Skipped(skipped="asked for reads only"))


def swept(
    points: Sequence[tuple[Setting, float]], of: Profile = MEASURED, direction: Direction = "read"
) -> DriveReport | None:
    found = sweep(SOURCE, of, CLASS, SMALL_GRID, {direction: points})
    assert found is None or DriveReport.from_json(found.to_json()) == found
    return found


def checked(of: Profile = MEASURED, **before: Rate) -> DriveReport | None:
    return check(SOURCE, of, CLASS, SMALL_GRID, 7, True, before)  # type: ignore[arg-type]


def test_a_sweep_has_the_figures_of_the_profile_and_the_best_points_fastest_first() -> None:
    found = swept([(POINTS[1], 4e9), (POINTS[2], 8e9), (POINTS[3], 6e9)])
    assert found
    assert found.read
    assert found.write is None
    assert found.read.best == (Share(POINTS[2], 10_000), Share(POINTS[3], 7500), Share(POINTS[1], 5000))
    assert found.read.rate == Rate(6_512_000_000, 6_480_000_000, 6_544_000_000)
    assert (found.read.setting, found.read.default_bytes_per_s) == (POINTS[2], 5_900_000_000)
    assert (found.node, found.domain, found.drive) == ("gpu-1", "rack-7", MEASURED.device.name)
    assert (found.basis, found.generation, found.confirms, found.state) == ("sweep", 0, None, "measured")
    assert (found.at_s, found.sent_s) == (MEASURED_S, 0)
    assert found.hardware_class == CLASS


def test_a_sweep_of_the_default_grid_fits_with_16_points() -> None:
    grid = Config().grid
    points = [(each, 6e9 + place) for place, each in enumerate(settings(grid))]
    found = sweep(SOURCE, profile(), CLASS, grid, {"read": points, "write": points})
    assert found
    assert found.read
    assert [share.setting for share in found.read.best] == [*reversed(settings(grid))][:16]
    assert DriveReport.from_json(found.to_json()) == found


def test_a_point_that_was_measured_twice_counts_once_with_its_best() -> None:
    found = swept([(POINTS[0], 4e9), (POINTS[1], 8e9), (POINTS[0], 8e9), (POINTS[1], 2e9)])
    assert found
    assert found.read
    assert {*found.read.best} == {Share(POINTS[0], 10_000), Share(POINTS[1], 10_000)}


@pytest.mark.parametrize("bytes_per_s", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_throughput_is_no_point(bytes_per_s: float) -> None:
    found = swept([(POINTS[0], bytes_per_s), (POINTS[1], 8e9)])
    assert found
    assert found.read
    assert found.read.best == (Share(POINTS[1], 10_000),)
    assert swept([(POINTS[0], bytes_per_s)]) is None


def test_the_default_is_a_point_and_others_outside_the_grid_are_none() -> None:
    found = swept([(DEFAULT_SETTING, 1e9), (setting(depth=7), 9e9), (POINTS[1], 2e9)])
    assert found
    assert found.read
    assert found.read.best == (Share(POINTS[1], 10_000), Share(DEFAULT_SETTING, 5000))


def test_a_direction_without_points_has_no_vote() -> None:
    both = profile(read=result(setting=POINTS[2]))
    found = swept([(POINTS[1], 4e9)], both, "write")
    assert found
    assert found.read is None
    assert found.write
    assert sweep(SOURCE, both, CLASS, SMALL_GRID, {}) is None


@pytest.mark.parametrize(
    "of",
    [
        never_measured_profile(),
        replace(MEASURED, read=Skipped(skipped="x")),
        replace(MEASURED, evidence=evidence(measured_at=None)),
        replace(MEASURED, evidence=evidence(measured_at="yesterday")),
        replace(MEASURED, read=result(default_throughput_bytes_per_s=0)),
    ],
)
def test_a_profile_without_a_measured_direction_gives_no_report(of: Profile) -> None:
    assert swept([(POINTS[1], 4e9)], of) is None
    assert checked(of) is None


def test_the_profile_of_a_check_is_none_of_a_sweep() -> None:
    assert swept([(POINTS[1], 4e9)], replace(MEASURED, evidence=evidence(checked_against="class x"))) is None


def test_a_check_tells_what_it_confirms_and_what_the_settings_before_gave() -> None:
    found = checked(read=rate_of(6e9), write=rate_of(1e9))
    assert found
    assert found.read
    assert (found.basis, found.generation, found.confirms) == ("check", 7, True)
    assert (found.read.best, found.read.before, found.write) == ((), rate_of(6e9), None)
    assert found.at_s == MEASURED_S
    assert DriveReport.from_json(found.to_json()) == found
    without = checked()
    assert without
    assert without.read
    assert without.read.before is None


def test_a_throughput_beside_its_interval_is_reported_within_it() -> None:
    odd = result(throughput_bytes_per_s=5, throughput_ci95_bytes_per_s=(7, 9))
    found = checked(replace(MEASURED, read=odd))
    assert found
    assert found.read
    assert found.read.rate == Rate(5, 5, 9)
    low = checked(replace(MEASURED, read=replace(odd, throughput_ci95_bytes_per_s=(-3, 4))))
    assert low
    assert low.read
    assert low.read.rate == Rate(5, 1, 5)


def present(of: Profile | None, about: str = "ACME X1, 1 TB, ext4") -> DriveReport:
    found = presence(SOURCE, of, CLASS, SMALL_GRID, about, "nvme-X_1", 3, 1_800_000_000)
    assert DriveReport.from_json(found.to_json()) == found
    return found


@pytest.mark.parametrize(
    ("of", "state"),
    [
        (None, "provisional"),
        (MEASURED, "measured"),
        (MEASURED.doubted("x"), "stale"),
        (never_measured_profile(), "provisional"),
    ],
)
def test_a_presence_tells_the_state_of_the_profile(of: Profile | None, state: str) -> None:
    found = present(of)
    assert (found.state, found.basis, found.generation, found.confirms) == (state, "presence", 3, None)
    assert (found.at_s, found.drive, found.about) == (1_800_000_000, "nvme-X_1", "ACME X1, 1 TB, ext4")
    assert found.read is found.write is None


@given(st.text(max_size=300), st.text(max_size=99))
def test_any_description_and_any_version_makes_a_report_that_is_read(about: str, version: str) -> None:
    found = present(replace(MEASURED, evidence=evidence(tool_version=version, helper_version=version)), about)
    assert len(found.about.encode()) <= 100
    assert present(MEASURED, "  Größe\n \x1b[2J9 ").about == "Größe [2J9"


def test_long_descriptions_and_versions_are_cut() -> None:
    found = present(replace(MEASURED, evidence=evidence(tool_version="1" * 99, helper_version="2" * 99)), "Ü" * 99)
    assert (found.about, found.tool_version, found.helper_version) == ("Ü" * 50, "1" * 32, "2" * 32)


_FIGURES = st.floats(allow_nan=True, allow_infinity=True) | st.floats(1e6, 1e11)


@given(st.lists(st.tuples(st.sampled_from([*POINTS, DEFAULT_SETTING, setting(depth=7)]), _FIGURES), max_size=40))
@example([(POINTS[0], 1.8e304)])  # 10,000 times this is infinite
def test_any_points_make_a_report_that_is_read(points: list[tuple[Setting, float]]) -> None:
    found = swept(points)
    assert found is None or (found.read is not None and found.read.best[0].share == 10_000)
