"""The sections of a profile on request sizes and on several processes: what is refused, and what is left alone."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.errors import ProfileError
from aio_tuned.model.measurement import Engine
from aio_tuned.model.profile import Concurrency
from aio_tuned.model.size_curve import CurveOp, SizeCurve, SizePoint
from aio_tuned.profiles.codec import parse, render, to_table
from unit.support.builders import CONCURRENCY, CURVES, MIB, consumer_profile, profile, size_curve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECTION = "curve_psync_read"
SMALL = SizeCurve(
    engine="psync",
    op="read",
    points=(
        SizePoint(4096, 1, 40_000_000, 100.0, 210.0, 0.5),
        SizePoint(4096, 2, 80_000_000, 100.0, 250.0, 1.0),
        SizePoint(MIB, 1, 2_000_000_000, 500.0, None, 1.0),
    ),
)


def with_sections(**tables: Mapping[str, object]) -> str:
    """Return the text of a profile with these sections before [evidence]."""
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items()) + "\n"
        for name, table in tables.items()
    )
    return render(profile()).replace("[evidence]\n", f"{text}[evidence]\n", 1)


def columns(curve: SizeCurve = SMALL) -> dict[str, list[float]]:
    """Return the arrays of the curve as the file has them."""
    found: dict[str, list[float]] = to_table(profile(curves=(curve,)))[curve.name]
    return found


# --- there and back --------------------------------------------------------------------------------------


def test_a_curve_has_an_array_for_each_figure_and_an_unknown_p99_is_0() -> None:
    assert columns() == {
        "request_bytes": [4096, 4096, MIB],
        "in_flight": [1, 2, 1],
        "throughput_bytes_per_s": [40_000_000, 80_000_000, 2_000_000_000],
        "p50_us": [100.0, 100.0, 500.0],
        "p99_us": [210.0, 250.0, 0.0],
        "share": [0.5, 1.0, 1.0],
    }
    assert parse(with_sections(**{SECTION: columns()})).curves == (SMALL,)


def test_what_is_optional_comes_before_what_a_file_must_have() -> None:
    names = [name for name, value in to_table(consumer_profile()).items() if isinstance(value, dict)]
    assert names == [
        *("device", "read", "write", "combined"),
        *(curve.name for curve in CURVES),
        *("concurrency", "evidence", "fingerprint"),
    ]


def test_a_file_without_the_sections_says_nothing_of_them() -> None:
    text = render(profile())
    assert "curve_" not in text
    assert "concurrency]" not in text
    found = parse(text)
    assert (found.curves, found.concurrency) == ((), None)
    assert found.evidence.read_huge_gain_percent is None
    assert (found.evidence.thp, found.fingerprint.cpu_model) == (None, None)


@pytest.mark.parametrize("name", ["curve_aio2_read", "curve_psync_trim", "curve_psync", "curve_", "curves"])
def test_curves_of_a_later_version_are_left_alone(name: str) -> None:
    tables: dict[str, Any] = {name: {"request_bytes": '"whatever"'}, SECTION: columns()}
    text = with_sections(**tables)
    assert parse(text).curves == (SMALL,)


def test_a_new_key_of_a_known_section_is_left_alone() -> None:
    text = with_sections(**{SECTION: {**columns(), "p999_us": [1]}, "concurrency": {**at_once(), "mood": '"good"'}})
    found = parse(text)
    assert (found.curves, found.concurrency) == ((SMALL,), CONCURRENCY)


sizes = st.integers(1, (64 << 20) // 512).map(lambda blocks: blocks * 512)
positive = st.floats(1e-3, 1e9, allow_nan=False)


@st.composite
def any_curve(draw: st.DrawFn) -> SizeCurve:
    """Return a curve as a sweep may publish it."""
    points = []
    for size in sorted(draw(st.sets(sizes, min_size=1, max_size=5))):
        levels = sorted(draw(st.sets(st.integers(1, 4096), min_size=1, max_size=5)))
        best = draw(st.integers(0, len(levels) - 1))
        for place, level in enumerate(levels):
            share = 1.0 if place == best else draw(st.floats(1e-6, 1.0))
            rate = draw(st.integers(1, 10**12))
            p99_us = draw(st.none() | positive)
            points.append(SizePoint(size, level, rate, draw(positive), p99_us, share))
    engine: Engine = draw(st.sampled_from(get_args(Engine)))
    op: CurveOp = draw(st.sampled_from(get_args(CurveOp)))
    return SizeCurve(engine=engine, op=op, points=tuple(points))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(any_curve(), max_size=4, unique_by=lambda curve: curve.name))
def test_any_curves_come_back_as_they_were(made: list[SizeCurve]) -> None:
    text = render(profile(curves=tuple(made)))
    assert parse(text).curves == tuple(made)
    assert tomllib.loads(text) == to_table(profile(curves=tuple(made)))


# --- curves that are none --------------------------------------------------------------------------------


def lose(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda table: table.pop(key)


def put(key: str, place: int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        table[key][place] = value

    return change


def every(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda table: table.update({key: value})


@pytest.mark.parametrize("key", SizePoint._fields)
def test_a_curve_without_one_of_its_arrays_is_no_curve(key: str) -> None:
    table = columns()
    lose(key)(table)
    with pytest.raises(ProfileError, match=rf"{SECTION}\.{key} is missing"):
        parse(with_sections(**{SECTION: table}))


@pytest.mark.parametrize("key", SizePoint._fields)
@pytest.mark.parametrize("short", [[], [1], [1, 1], [1, 1, 1, 1]])
def test_arrays_of_other_lengths_are_no_curve(key: str, short: list[int]) -> None:
    with pytest.raises(ProfileError, match="arrays of different lengths"):
        parse(with_sections(**{SECTION: {**columns(), key: short}}))


@pytest.mark.parametrize("value", ['"4K"', "true", "nan", "inf", "[1]", "{}", "1" + "0" * 30])
@pytest.mark.parametrize("key", SizePoint._fields)
def test_a_value_of_another_type_is_named(key: str, value: str) -> None:
    with pytest.raises(ProfileError, match=rf"{SECTION}\.{key} = .* is not"):
        parse(with_sections(**{SECTION: {**columns(), key: f"[{value}, 1, 1]"}}))
    with pytest.raises(ProfileError, match=rf"{SECTION}\.{key} = .* is not"):
        parse(with_sections(**{SECTION: {**columns(), key: value.strip("[]")}}))


IMPOSSIBLE = {
    "no size": every("request_bytes", [0, 0, MIB]),
    "half a sector": every("request_bytes", [256, 256, MIB]),
    "not a multiple of a sector": put("request_bytes", 2, 5000),
    "beyond 64M": put("request_bytes", 2, (64 << 20) + 512),
    "none in flight": put("in_flight", 0, 0),
    "too many in flight": put("in_flight", 2, 4097),
    "no throughput": put("throughput_bytes_per_s", 1, 0),
    "a throughput below 0": put("throughput_bytes_per_s", 1, -1),
    "no latency": put("p50_us", 0, 0.0),
    "a p99 below 0": put("p99_us", 0, -1.0),
    "no share": put("share", 0, 0.0),
    "a share above 1": put("share", 0, 1.01),
    "a size without its best": put("share", 1, 0.99),
    "a point twice": put("in_flight", 1, 1),
    "in flight out of order": every("in_flight", [2, 1, 1]),
    "sizes out of order": every("request_bytes", [MIB, MIB, 4096]),
}


@pytest.mark.parametrize("spoil", IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_impossible_figures_are_no_curve(spoil: Callable[[dict[str, Any]], None]) -> None:
    table = columns()
    spoil(table)
    with pytest.raises(ProfileError, match=rf"\[{SECTION}\] has impossible figures"):
        parse(with_sections(**{SECTION: table}))


@pytest.mark.parametrize("value", ["3", "[]", "[[1]]"])
@pytest.mark.parametrize("name", [SECTION, "concurrency"])
def test_what_is_no_section_is_an_error(name: str, value: str) -> None:
    with pytest.raises(ProfileError, match=rf"section \[{name}\] is missing"):
        parse(render(profile()).replace("state = ", f"{name} = {value}\nstate = ", 1))


def test_a_very_long_curve_is_refused() -> None:
    """A file of 1 MiB has room for 100,000 points; only a few of them are looked up, but each reader reads them all."""
    count = 30_000
    table = {
        "request_bytes": [512 * (1 + place) for place in range(count)],
        **dict.fromkeys(("in_flight", "throughput_bytes_per_s", "p50_us", "p99_us", "share"), [1] * count),
    }
    text = with_sections(**{SECTION: table})
    with pytest.raises(ProfileError, match=rf"\[{SECTION}\] has 30000 points"):
        parse(text)


def test_two_curves_of_one_name_are_not_written() -> None:
    with pytest.raises(ProfileError, match="reads back differently"):
        render(profile(curves=(SMALL, size_curve())))


# --- several processes -----------------------------------------------------------------------------------


def at_once() -> dict[str, Any]:
    found: dict[str, Any] = to_table(profile(concurrency=CONCURRENCY))["concurrency"]
    return found


def test_several_processes_have_an_array_for_each_figure() -> None:
    assert list(at_once()) == [item.name for item in fields(Concurrency)]
    assert parse(with_sections(concurrency=at_once())).concurrency == CONCURRENCY


@pytest.mark.parametrize("direction", ["read", "write"])
def test_a_direction_has_all_of_its_arrays_or_none(direction: str) -> None:
    own = [key for key in at_once() if key.startswith(direction)]
    assert len(own) == 4
    for key in own:
        table = at_once()
        lose(key)(table)
        with pytest.raises(ProfileError, match=rf"concurrency\.{key} is missing"):
            parse(with_sections(concurrency=table))
    rest = {key: value for key, value in at_once().items() if key not in own}
    found = parse(with_sections(concurrency=rest)).concurrency
    assert found is not None
    assert getattr(found, f"{direction}_divisor") is None


CROWDED = {
    "no processes": lambda table: table.update({key: [] for key in table}),
    "nothing but processes": lambda table: [table.pop(key) for key in list(table) if key != "processes"],
    "an array that is shorter": every("read_divisor", [1, 2, 4]),
    "an array that is longer": every("write_p99_us", [1.0] * 5),
    "zero processes": put("processes", 0, 0),
    "too many processes": put("processes", 3, 4097),
    "processes out of order": every("processes", [1, 4, 2, 8]),
    "processes twice": every("processes", [1, 2, 2, 8]),
    "no throughput": put("read_throughput_bytes_per_s", 2, 0),
    "a p99 below 0": put("read_p99_us", 2, -0.5),
    "no share": put("write_slowest_share", 1, 0.0),
    "a share above the mean": put("write_slowest_share", 1, 1.2),
    "a divisor of 0": put("read_divisor", 3, 0),
    "a divisor beyond all that is in flight": put("read_divisor", 3, 4096 * 64 + 1),
}


@pytest.mark.parametrize("spoil", CROWDED.values(), ids=list(CROWDED))
def test_impossible_figures_of_several_processes_are_refused(spoil: Callable[[dict[str, Any]], None]) -> None:
    table = at_once()
    spoil(table)
    with pytest.raises(ProfileError, match=r"\[concurrency\] has impossible figures"):
        parse(with_sections(concurrency=table))


def test_too_many_rows_of_processes_are_refused() -> None:
    count = 5000
    table = {key: [1] * count for key in at_once()} | {"processes": list(range(1, count + 1))}
    with pytest.raises(ProfileError, match=r"\[concurrency\] has impossible figures"):
        parse(with_sections(concurrency=table))
