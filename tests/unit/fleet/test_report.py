"""Reports of drives: at most 1 KiB with their signature, and read back as foreign input."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.config.load import Config
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.report import MAX_REPORT_BYTES, DriveReport, Share
from aio_tuned.model.profile import State
from aio_tuned.model.setting import DEFAULT_SETTING, Grid
from aio_tuned.search.grid import settings
from unit.support.builders import MIB, setting
from unit.support.fleet import POINTS, direction_report, presence_report, rate_of, sweep_report

_GRIDS = st.builds(
    Grid,
    block_size=st.lists(st.integers(1, 1 << 17).map(lambda n: n * 512), min_size=1, max_size=4, unique=True).map(tuple),
    queue_depth=st.lists(st.integers(1, 4096), min_size=1, max_size=5, unique=True).map(tuple),
    io_parallelism=st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True).map(tuple),
    overlap_events=st.sampled_from([(True,), (False,), (True, False), (False, True)]),
    single_submit=st.sampled_from([(True,), (False,), (True, False)]),
)


@st.composite
def _reports(draw: st.DrawFn) -> DriveReport:
    grid = draw(_GRIDS)
    every = settings(grid)
    best = tuple(draw(st.lists(st.sampled_from(every), min_size=1, max_size=16, unique=True)))
    step = draw(st.integers(0, 600))
    part = direction_report(draw(st.floats(1e6, 2e10)), best, step)
    write = draw(st.none() | st.just(replace(part, before=rate_of(1e9))))
    return sweep_report(read=part, write=write, grid=grid, at_s=draw(st.integers(0, 1 << 35)))


@given(_reports())
def test_a_report_reads_back_as_it_was_written(report: DriveReport) -> None:
    assert DriveReport.from_json(report.to_json()) == report
    assert DriveReport.from_json(report.to_json().encode()).to_json() == report.to_json()


@pytest.mark.parametrize("state", get_args(State))
def test_a_presence_reads_back_as_it_was_written(state: State) -> None:
    report = presence_report(state=state, generation=3, sent_s=1_900_000_000)
    assert DriveReport.from_json(report.to_json()) == report


def test_the_longest_presence_fits_and_its_description_is_cut() -> None:
    report = presence_report("n" * 64, drive="d" * 200, domain="r" * 64, about="A" * 300, grid=Config().grid)
    assert DriveReport.from_json(report.to_json()) == replace(report, about="A" * 100)


def test_both_directions_of_the_default_grid_fit_with_their_16_points() -> None:
    grid = Config().grid
    part = direction_report(13_512_345_678.0, settings(grid)[-16:], 37)
    report = sweep_report(
        "gpu-worker-0123.rack17.example.org",
        part,
        write=part,
        grid=grid,
        drive="nvme-SAMSUNG_MZQL23T8HCLS-00A07_S64HNE0T501234_1",
    )
    assert DriveReport.from_json(report.to_json()) == report
    assert len(report.to_json().encode()) <= MAX_REPORT_BYTES


def test_the_longest_names_cost_points_and_never_the_report() -> None:
    grid = Config().grid
    part = direction_report(13_512_345_678.0, settings(grid)[-16:], 37, before=rate_of(13e9))
    report = sweep_report("n" * 64, part, write=part, grid=grid, drive="d" * 200, domain="r" * 64)
    again = DriveReport.from_json(report.to_json())
    assert len(report.to_json().encode()) <= MAX_REPORT_BYTES
    assert again.read
    assert 1 <= len(again.read.best) < 16
    assert again.read.best == part.best[: len(again.read.best)]


def test_reports_share_their_grid_and_their_points() -> None:
    """A coordinator holds 80,000 of them."""
    one, other = (DriveReport.from_json(sweep_report(node).to_json()) for node in ("n1", "n2"))
    assert one.read
    assert other.read
    assert one.grid is other.grid
    assert all(a.setting is b.setting for a, b in zip(one.read.best, other.read.best, strict=True))


def test_the_default_counts_as_a_point_outside_the_grid() -> None:
    grid = replace(Config().grid, block_size=(128 << 10,))
    part = direction_report(best=(settings(grid)[3], DEFAULT_SETTING))
    assert DriveReport.from_json(sweep_report(read=part, grid=grid).to_json()).read == part


def test_no_other_point_outside_the_grid_is_written() -> None:
    with pytest.raises(FleetDataError, match="not of its grid"):
        sweep_report(read=direction_report(best=(setting(block=2 * MIB),))).to_json()


def test_a_point_outside_the_best_counts_as_the_last_of_them() -> None:
    part = direction_report(best=POINTS[:3], step=100)
    assert [part.share_of(POINTS[place]) for place in (0, 2, 7)] == [10_000, 9_800, 9_800]


def _change(**changes: object) -> str:
    return json.dumps(json.loads(sweep_report().to_json()) | changes)


def _change_read(place: int, value: object) -> str:
    """Return the report with another value in the list of reads: 0 setting, 1 rate, 5 best points."""
    document = json.loads(sweep_report().to_json())
    document["read"][place] = value
    return json.dumps(document)


def _change_presence(**changes: object) -> str:
    return json.dumps(json.loads(presence_report().to_json()) | changes)


_FOREIGN = {
    "no JSON": ("{", "not valid JSON"),
    "no UTF-8": (b"\xff\xfe{}", "not valid JSON"),
    "a list": ("[]", "not an object"),
    "too large": (" " * 1024, "larger than 896 bytes"),
    "too deep": ("[" * 890, "not valid JSON"),
    "NaN": (_change().replace("1210.5", "NaN"), "NaN is not a number"),
    "another schema": (_change(schema=2), "schema 2 is not supported"),
    "a schema that only equals 1": (_change(schema=True), "schema True"),
    "a path in a name": (_change(drive="../x"), "drive: '../x' is not the name"),
    "a path in a node": (_change(node="a/b"), 'node: "a/b" is not a name'),
    "a control character": (_change(drive="a\x1b[2J"), "is not the name of a drive"),
    "a drive with a quotation mark": (_change(drive='a"b'), "is not the name of a drive"),
    "half a surrogate pair": (_change(drive="\ud800"), "is not the name of a drive"),
    "no class": (_change(**{"class": "0123"}), "is not the key of a hardware class"),
    "an unknown state": (_change(state="best"), "state: "),
    "a state that changes a terminal": (_change(state="\x9b2J"), "state: "),
    "an unknown basis": (_change(basis="guess"), "basis: "),
    "a presence that measured": (_change(basis="presence"), "a presence with a measurement"),
    "a presence that confirms": (_change_presence(confirms=True), "only a check"),
    "a description that is too long": (_change_presence(about="a" * 101), "about: "),
    "a time of signature that is text": (_change(sent="now"), "sent: "),
    "a generation below 0": (_change(generation=-1), "generation: "),
    "a huge number": (_change(at=10**30), "at: "),
    "a sweep that confirms": (_change(confirms=True), "only a check"),
    "a check without a generation": (_change(basis="check", confirms=True), "without the generation"),
    "a grid without values": (_change(grid=[[], [1], [1], [1], [1]]), "grid: block_size"),
    "a grid that is too large": (
        _change(grid=[[512 * n for n in range(1, 27)], list(range(1, 27)), list(range(1, 27)), [1], [1]]),
        "grid: has 17576 points",
    ),
    "a value twice": (_change(grid=[[512, 512], [1], [1], [1], [1]]), "has a value twice"),
    "no direction": (
        json.dumps({k: v for k, v in json.loads(sweep_report().to_json()).items() if k != "read"}),
        "no dir",
    ),
    "a sweep without points": (_change_read(5, []), "a sweep without its best points"),
    "a point outside the grid": (_change_read(5, [17, 0]), "point 17 is not of the grid"),
    "a point twice": (_change_read(5, [1, 0, 1, 900]), "occurs twice"),
    "shares that rise": (_change_read(5, [1, 0, 2, 900, 3, 500]), "do not rise from 0"),
    "no best point": (_change_read(5, [1, 1]), "do not rise from 0"),
    "a share of nothing": (_change_read(5, [1, 0, 2, 10_000]), "less than 10000"),
    "half a pair": (_change_read(5, [1, 0, 2]), "do not rise"),
    "too many points": (_change_read(5, [0, 0] * 17), "at most 32 values"),
    "a figure outside its interval": (_change_read(1, [5, 6, 7]), "not a throughput within"),
    "a setting beyond the helper's limits": (_change_read(0, [1 << 40, 1, 1, 1, 1]), "block_size"),
    "a setting with half a flag": (_change_read(0, [512, 1, 1, 2, 1]), "overlap_events: 2 is not 0 or 1"),
    "a throughput of text": (_change_read(1, ["5", 5, 5]), "read: "),
}


@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_foreign_input_is_refused_with_its_reason(text: str | bytes, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        DriveReport.from_json(text)
    assert why in str(refused.value)
    assert str(refused.value).startswith("drive report: ")
    assert str(refused.value).isprintable()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=4)))
def test_any_value_in_any_place_is_read_or_refused(value: object) -> None:
    document = json.loads(sweep_report().to_json())
    changed = [json.dumps(document | {key: value}) for key in document]
    changed += [_change_read(place, value) for place in range(7)]
    for text in changed:
        with contextlib.suppress(FleetDataError):
            assert isinstance(DriveReport.from_json(text), DriveReport)


def test_shares_are_in_the_order_of_their_fields() -> None:
    assert Share(POINTS[0], 5)._asdict() == {"setting": POINTS[0], "share": 5}
