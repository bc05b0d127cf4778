from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.config.load import Config
from aio_tuned.devices.thermometer import worse
from aio_tuned.model.temperature import Temperature, Warned
from aio_tuned.service.worker.throttle_rules import (
    ThrottleRules,
    Traffic,
    busy,
    heat,
    max_foreign_bytes,
    quiet,
    quiet_until,
    shows_others,
)
from unit.support.builders import MIB, sample

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Sample

RULES = ThrottleRules(
    busy_bytes_per_s=16_000_000,
    busy_requests_per_s=0,
    busy_pressure_percent=10.0,
    min_pause_s=10.0,
    max_hold_s=60.0,
    quiet_hours=(),
    max_celsius=None,
)
DAY = timedelta(days=1)


def test_the_rules_are_the_configuration_s() -> None:
    hours = ((time(8), time(20)),)
    config = Config(
        busy_bytes_per_s=1,
        busy_requests_per_s=7,
        busy_pressure_percent=2.0,
        min_pause=3.0,
        max_hold=4.0,
        quiet_hours=hours,
        max_celsius=5.0,
    )
    assert ThrottleRules.from_config(config) == ThrottleRules(
        busy_bytes_per_s=1,
        busy_requests_per_s=7,
        busy_pressure_percent=2.0,
        min_pause_s=3.0,
        max_hold_s=4.0,
        quiet_hours=hours,
        max_celsius=5.0,
    )


class TestBusy:
    @pytest.mark.parametrize(
        ("foreign", "pressure", "seconds", "expected"),
        [
            pytest.param(0, 0, 0.25, "", id="idle"),
            pytest.param(4_000_000, 0, 0.25, "", id="at the threshold"),
            pytest.param(30_000_000, 0, 0.25, "other processes transfer 120 MB/s on the drive", id="above it"),
            pytest.param(30_000_000, None, 0.25, "other processes transfer 120 MB/s on the drive", id="no PSI"),
            pytest.param(30_000_000, 0, 10.0, "", id="the same bytes in a longer time"),
            pytest.param(0, 250_000, 0.25, "", id="others wait, but for another drive"),
            pytest.param(200_000, 250_000, 0.25, "", id="others wait, and a log is written here"),
            pytest.param(
                500_000,
                85_000,
                0.25,
                "other processes transfer 2 MB/s on the drive and wait for I/O 34 % of the time",
                id="others wait, and use this drive",
            ),
            pytest.param(500_000, 25_000, 0.25, "", id="they wait as little as is allowed"),
            pytest.param(
                500_000,
                300_000,
                0.25,
                "other processes transfer 2 MB/s on the drive and wait for I/O 100 % of the time",
                id="clocks differ by a little",
            ),
            pytest.param(None, 250_000, 0.25, "", id="nobody counts"),
            pytest.param(10**12, 10**9, 0.0, "", id="no time has passed"),
        ],
    )
    def test_table(self, foreign: int | None, pressure: int | None, seconds: float, expected: str) -> None:
        seen = Traffic(seconds=seconds, moved_bytes=foreign, pressure_us=pressure)
        assert busy(seen, RULES) == expected

    @pytest.mark.parametrize(
        ("requests", "seconds", "limit", "expected"),
        [
            pytest.param(
                400, 2.0, 20, "other processes make 200 requests/s on the drive", id="a server reads 4 KiB at a time"
            ),
            pytest.param(40, 2.0, 20, "", id="at the limit"),
            pytest.param(42, 2.0, 20, "other processes make 21 requests/s on the drive", id="above it"),
            pytest.param(42, 10.0, 20, "", id="the same in a longer time"),
            pytest.param(100, 1.9, 20, "", id="a burst in a short look"),
            pytest.param(400, 2.0, 0, "", id="not counted"),
            pytest.param(None, 2.0, 20, "", id="unknown"),
        ],
    )
    def test_requests(self, requests: int | None, seconds: float, limit: int, expected: str) -> None:
        seen = Traffic(seconds=seconds, moved_bytes=(requests or 0) * 4096, requests=requests)
        assert busy(seen, replace(RULES, busy_requests_per_s=limit)) == expected

    @pytest.mark.parametrize(
        ("found", "limit", "expected"),
        [
            pytest.param(sample(), 20, False, id="nobody"),
            pytest.param(sample(foreign_bytes=MIB // 2), 20, True, id="a few small requests"),
            pytest.param(sample(foreign_bytes=MIB // 2), 0, False, id="they are not counted"),
            pytest.param(sample(foreign_bytes=64 * MIB), 0, True, id="enough to taint it"),
            pytest.param(sample(verdict="cache"), 20, False, id="a cache"),
        ],
    )
    def test_what_a_measurement_shows(self, found: Sample, limit: int, *, expected: bool) -> None:
        assert shows_others(found, replace(RULES, busy_requests_per_s=limit)) is expected


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (20, 32768), (1000, 1638400)])
def test_a_measurement_ends_once_others_make_as_many_requests_as_on_a_busy_drive(limit: int, count: int) -> None:
    rules = replace(RULES, busy_requests_per_s=limit)
    assert max_foreign_bytes(rules) == count
    if limit:
        ended = sample(foreign_bytes=count + 4096, wall_ns=100_000_000)
        assert shows_others(ended, rules)


def at(text: str, day: int = 9) -> datetime:
    return datetime.strptime(f"2026-03-{day:02d} {text}", "%Y-%m-%d %H:%M")  # noqa: DTZ007 - local time, as the gate's


def hours(*texts: str) -> tuple[tuple[time, time], ...]:
    return tuple(
        (time.fromisoformat(first), time.fromisoformat(last))
        for first, _, last in (text.partition("-") for text in texts)
    )


class TestQuietUntil:
    @pytest.mark.parametrize(
        ("now", "periods", "expected"),
        [
            pytest.param("12:00", (), None, id="none"),
            pytest.param("12:00", ("08:00-20:00",), at("20:00"), id="inside"),
            pytest.param("08:00", ("08:00-20:00",), at("20:00"), id="at its beginning"),
            pytest.param("20:00", ("08:00-20:00",), None, id="at its end"),
            pytest.param("07:59", ("08:00-20:00",), None, id="before"),
            pytest.param("23:00", ("22:00-06:00",), at("06:00", 10), id="before midnight"),
            pytest.param("05:59", ("22:00-06:00",), at("06:00"), id="after midnight"),
            pytest.param("12:00", ("22:00-06:00",), None, id="outside of one that crosses midnight"),
            pytest.param("12:00", ("00:00-00:00",), at("12:00", 10), id="a whole day never ends"),
            pytest.param("12:00", ("06:00-06:00",), at("12:00", 10), id="nor one from six to six"),
            pytest.param("09:00", ("08:00-10:00", "10:00-12:00"), at("12:00"), id="adjoining"),
            pytest.param("09:00", ("10:00-12:00", "08:00-10:00"), at("12:00"), id="adjoining, the later first"),
            pytest.param("09:00", ("08:00-11:00", "10:00-12:00"), at("12:00"), id="overlapping"),
            pytest.param("09:00", ("08:00-20:00", "08:30-10:00"), at("20:00"), id="one inside the other"),
            pytest.param("09:00", ("08:00-10:00", "11:00-12:00"), at("10:00"), id="apart"),
            pytest.param("21:00", ("20:00-00:00", "00:00-06:00"), at("06:00", 10), id="meeting at midnight"),
            pytest.param("13:00", ("12:00-00:00", "00:00-12:00"), at("13:00", 10), id="two that make a day"),
        ],
    )
    def test_table(self, now: str, periods: tuple[str, ...], expected: datetime | None) -> None:
        assert quiet_until(at(now), hours(*periods)) == expected

    def test_a_time_zone_is_kept(self) -> None:
        now = at("12:00").replace(tzinfo=timezone.utc)
        assert quiet_until(now, hours("08:00-20:00")) == now.replace(hour=20)

    @given(
        st.datetimes(min_value=at("00:00"), max_value=at("00:00", 12)),
        st.lists(st.tuples(st.times(), st.times()), max_size=4).map(tuple),
    )
    def test_all_is_quiet_up_to_the_end_and_not_at_it(
        self, now: datetime, periods: tuple[tuple[time, time], ...]
    ) -> None:
        def is_quiet(moment: datetime) -> bool:
            clock = moment.time()
            return any(
                (first <= clock < last) if first < last else (clock >= first or clock < last) for first, last in periods
            )

        until = quiet_until(now, periods)
        if until is None:
            assert not is_quiet(now)
            return
        assert now < until <= now + DAY
        assert until == now + DAY or not is_quiet(until)
        assert all(is_quiet(now + (until - now) * share // 16) for share in range(16))


def test_the_reason_names_the_end() -> None:
    assert quiet(at("12:00"), at("20:00")) == "quiet hours until 20:00"
    assert quiet(at("12:00"), at("12:00", 10)) == "quiet hours all day"


def warm(celsius: float, warning_celsius: float | None = 80.0) -> Temperature:
    return Temperature(celsius=celsius, warning_celsius=warning_celsius)


class TestHeat:
    @pytest.mark.parametrize(
        ("celsius", "was_hot", "expected"),
        [
            (79.9, False, ""),
            (80.0, False, "drive at 80 °C, limit 80 °C"),
            (84.0, False, "drive at 84 °C, limit 80 °C"),
            (84.0, True, "drive at 84 °C, limit 80 °C"),
            (76.0, True, "drive at 76 °C, limit 80 °C"),
            (75.0, True, ""),
        ],
    )
    def test_it_cools_down_well_before_it_goes_on(self, celsius: float, was_hot: bool, expected: str) -> None:
        assert heat([warm(celsius)], RULES, was_hot=was_hot) == expected

    def test_the_configured_limit_comes_before_the_drives(self) -> None:
        throttle = ThrottleRules.from_config(Config(max_celsius=60.0))
        assert heat([warm(61)], throttle, was_hot=False) == "drive at 61 °C, limit 60 °C"
        assert heat([warm(61, None)], throttle, was_hot=False) == "drive at 61 °C, limit 60 °C"
        assert not heat([warm(85)], ThrottleRules.from_config(Config(max_celsius=90.0)), was_hot=False)

    def test_without_a_limit_or_a_sensor_nothing_is_hot(self) -> None:
        assert not heat([warm(149, None)], RULES, was_hot=True)
        assert not heat([], RULES, was_hot=True)

    def test_the_member_farthest_over_its_limit_is_named(self) -> None:
        found = [warm(85, 90), warm(82, 80), warm(75, 70)]
        assert heat(found, RULES, was_hot=False) == "drive at 75 °C, limit 70 °C"


HOT = Warned(celsius=85.0, limit=80.0)


@pytest.mark.parametrize(
    ("known", "readings", "expected"),
    [
        pytest.param(None, [], None, id="no sensor"),
        pytest.param(None, [(79.9, 80.0)], None, id="below"),
        pytest.param(None, [(99.0, None)], None, id="a drive without a threshold"),
        pytest.param(None, [(80.0, 80.0)], Warned(celsius=80.0, limit=80.0), id="at it"),
        pytest.param(None, [(82.0, 80.0), (76.0, 70.0)], Warned(celsius=76.0, limit=70.0), id="the furthest above"),
        pytest.param(HOT, [(84.0, 80.0)], HOT, id="it was worse before"),
        pytest.param(HOT, [(86.0, 80.0)], Warned(celsius=86.0, limit=80.0), id="it is worse now"),
    ],
)
def test_the_worst_reading_above_a_drive_s_own_threshold(
    known: Warned | None, readings: list[tuple[float, float | None]], expected: Warned | None
) -> None:
    assert worse(known, [Temperature(celsius=now, warning_celsius=limit) for now, limit in readings]) == expected
