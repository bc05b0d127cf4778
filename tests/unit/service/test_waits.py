from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aio_tuned.service.waits import Waits, waits_path

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR
LOGS = "others make 30 requests/s on the drive"


class Clocks:
    """A clock of the day and a monotonic one, which starts at any value in each boot."""

    def __init__(self) -> None:
        self.now_s = 1.8e9
        self.up_s = 500.0

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.up_s += seconds

    def boots(self, down_s: float) -> None:
        self.now_s += down_s
        self.up_s = 7.0

    def opened(self, path: Path) -> Waits:
        return Waits.open(path, lambda: self.now_s, lambda: self.up_s)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return waits_path(tmp_path / "state")


# --- the turn --------------------------------------------------------------------------------------------


def test_one_drive_a_day_has_the_turn(path: Path, clocks: Clocks) -> None:
    waits = clocks.opened(path)
    assert (waits.turn_wait_s("a"), waits.turn_wait_s("b")) == (0.0, 0.0)
    waits.take_turn("a")
    clocks.passes(6 * HOUR)
    assert (waits.turn_wait_s("a"), waits.turn_wait_s("b")) == (0.0, 18 * HOUR)
    waits.take_turn("a")
    assert waits.turn_wait_s("b") == 18 * HOUR, "its sweep was tried again"
    clocks.passes(18 * HOUR)
    assert waits.turn_wait_s("b") == 0.0
    waits.take_turn("b")
    assert (waits.turn_wait_s("a"), waits.turn_wait_s("b")) == (DAY, 0.0)


def test_a_drive_that_takes_the_turn_on_another_day_has_that_day(path: Path, clocks: Clocks) -> None:
    waits = clocks.opened(path)
    waits.take_turn("a")
    clocks.passes(3 * DAY)
    waits.take_turn("a")
    assert waits.turn_wait_s("b") == DAY


def test_the_turn_outlasts_a_restart_and_a_boot(path: Path, clocks: Clocks) -> None:
    clocks.opened(path).take_turn("a")
    clocks.boots(down_s=HOUR)
    waits = clocks.opened(path)
    assert (waits.turn_wait_s("a"), waits.turn_wait_s("b")) == (0.0, 23 * HOUR)


def test_a_clock_that_is_set_back_delays_the_next_turn_by_a_day_at_most(path: Path, clocks: Clocks) -> None:
    waits = clocks.opened(path)
    waits.take_turn("a")
    clocks.now_s -= 365 * DAY
    assert waits.turn_wait_s("b") == DAY
    clocks.passes(HOUR)
    assert waits.turn_wait_s("b") == 23 * HOUR
    assert clocks.opened(path).turn_wait_s("b") == 23 * HOUR


# --- waits for other processes ---------------------------------------------------------------------------


def test_a_wait_continues_after_a_restart_without_the_time_between(path: Path, clocks: Clocks) -> None:
    waits = clocks.opened(path)
    begun = waits.add_deferral("a", "others read")
    clocks.passes(20 * HOUR)
    assert waits.add_deferral("a", LOGS).since_s == begun.since_s
    clocks.passes(60.0)  # until it is stopped
    clocks.boots(down_s=3 * HOUR)
    found = clocks.opened(path).busy("a")
    assert found is not None
    assert (clocks.up_s - found.since_s, found.traffic) == (20 * HOUR, LOGS)
    assert clocks.opened(path).busy("b") is None


def test_a_wait_without_a_check_for_a_day_is_over(path: Path, clocks: Clocks) -> None:
    clocks.opened(path).add_deferral("a", LOGS)
    clocks.boots(down_s=20 * HOUR)
    waits = clocks.opened(path)
    assert waits.busy("a")
    waits.add_deferral("b", LOGS)
    clocks.boots(down_s=5 * HOUR)
    waits = clocks.opened(path)
    assert (waits.busy("a"), bool(waits.busy("b"))) == (None, True)


def test_a_wait_that_is_over_is_not_kept(path: Path, clocks: Clocks) -> None:
    waits = clocks.opened(path)
    waits.take_turn("a")
    waits.add_deferral("a", LOGS)
    waits.end_busy("a")
    waits.end_busy("a")
    again = clocks.opened(path)
    assert again.busy("a") is None
    assert again.turn_wait_s("b") == DAY


# --- the file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"3",
        b"{}",
        b'{"turn": {"id": "a"}, "busy": {}}',
        b'{"turn": 7, "busy": {}}',
        b'{"turn": {"id": "a", "at": "x"}, "busy": {}}',
        b'{"turn": null, "busy": []}',
        b'{"turn": null, "busy": {"a": 7}}',
        b"[" * 100_000,
    ],
)
def test_other_content_counts_as_none(path: Path, clocks: Clocks, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    waits = clocks.opened(path)
    assert (waits.turn_wait_s("b"), waits.busy("a"), waits.trouble) == (0.0, None, "")
    waits.take_turn("a")
    assert clocks.opened(path).turn_wait_s("b") == DAY


def test_what_cannot_be_written_counts_and_is_written_later(path: Path, clocks: Clocks) -> None:
    path.parent.write_text("not a folder")
    waits = clocks.opened(path)
    waits.take_turn("a")
    assert waits.trouble.startswith(f"{path}: waits of drives cannot be recorded: ")
    assert waits.turn_wait_s("b") == DAY
    path.parent.unlink()
    assert waits.turn_wait_s("b") == DAY
    assert waits.trouble == ""
    assert json.loads(path.read_text())["turn"]["id"] == "a"
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_is_removed(path: Path, clocks: Clocks) -> None:
    path.parent.mkdir()
    left = path.with_name(f".{path.name}.abcd1234")
    left.write_text("torn")
    clocks.opened(path)
    assert not left.exists()
