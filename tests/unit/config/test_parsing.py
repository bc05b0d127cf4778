from __future__ import annotations

import contextlib
from datetime import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.config import parsing
from aio_tuned.config.parsing import celsius, day_spans, duration_s, moment_s, size_bytes
from unit.support.builders import GIB, MIB


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("128K", 128 << 10),
        ("128k", 128 << 10),
        ("1M", MIB),
        ("1 MiB", MIB),
        ("1MB", MIB),
        ("1.5G", 3 * GIB // 2),
        ("2T", 2 << 40),
        (" 64G ", 64 * GIB),
    ],
)
def test_sizes(value: object, count: int) -> None:
    assert size_bytes(value) == count


@pytest.mark.parametrize(
    "value", [0, -1, "0", "0.1", "", "M", "1X", "-1M", "1e3", "1 000", True, False, None, 1.5, [1], "1MM", "0x10"]
)
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a (usable )?size"):
        size_bytes(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(150, 150.0), (2.5, 2.5), ("90", 90.0), ("90s", 90.0), ("3m", 180.0), ("1.5 h", 5400.0), (604800, 604800.0)],
)
def test_durations(value: object, seconds: float) -> None:
    assert duration_s(value) == seconds


@pytest.mark.parametrize(
    "value", [0, -1, "0s", "", "3d", "3M", "1m30s", True, None, [3], float("nan"), float("inf"), 604801, "169h"]
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a (usable )?time"):
        duration_s(value)


@pytest.mark.parametrize("parser", [size_bytes, duration_s])
@pytest.mark.parametrize(
    "value", ["9" * 400, int("9" * 400), "1\u212a", "1" + "0" * 400 + "T"], ids=["text", "number", "kelvin", "tera"]
)
def test_absurd_values_are_value_errors_too(parser: object, value: object) -> None:
    assert callable(parser)
    with contextlib.suppress(ValueError):
        parser(value)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.one_of(st.text(max_size=12), st.from_regex(parsing._SIZE, fullmatch=True), st.integers(), st.floats()))
def test_a_size_is_a_positive_whole_number_or_a_value_error(value: object) -> None:
    try:
        count = size_bytes(value)
    except ValueError:
        return
    assert type(count) is int
    assert count > 0


@pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), ("0s", 0.0), (2.5, 2.5), ("1m", 60.0)])
def test_moments(value: object, seconds: float) -> None:
    assert moment_s(value) == seconds


@pytest.mark.parametrize("value", [-1, -0.5, "61s", 61, int("9" * 400), -int("9" * 400), "", None, True, float("nan")])
def test_what_is_no_moment(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a (usable )?time"):
        moment_s(value)


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ([], ()),
        (["22:00-06:00"], ((time(22, 0), time(6, 0)),)),
        ([" 00:00 - 23:59 ", "08:30-09:00"], ((time(0, 0), time(23, 59)), (time(8, 30), time(9, 0)))),
        (["01:00-02:00", "01:00-02:00"], ((time(1, 0), time(2, 0)),)),
    ],
)
def test_spans_of_the_day(value: object, spans: tuple[tuple[time, time], ...]) -> None:
    assert day_spans(value) == spans


@pytest.mark.parametrize(
    "value",
    [
        "24:00-01:00",
        "1:00-2:00",
        "01:60-02:00",
        "22:00",
        "22-06",
        "",
        "01:00-01:00",
        22,
        None,
        ["a"],
        "\uff101:00-02:00",
    ],
)
def test_what_is_no_span_of_the_day(value: object) -> None:
    with pytest.raises(ValueError, match="is not a span of hours"):
        day_spans([value])


@pytest.mark.parametrize(("value", "degrees"), [("drive", None), (70, 70.0), (30, 30.0), (119.5, 119.5)])
def test_temperatures(value: object, degrees: float | None) -> None:
    assert celsius(value) == degrees


@pytest.mark.parametrize("value", [29, 121, "70", True, None, float("nan"), ["drive"]])
def test_what_is_no_temperature(value: object) -> None:
    with pytest.raises(ValueError, match='is not a number from 30 to 120; write "drive"'):
        celsius(value)
