from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.service.write_ledger import Ledger
from aio_tuned.storage import append_log
from aio_tuned.storage.append_log import AppendLog
from unit.support.builders import GIB, PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3600.0
DAY = 24 * HOUR
# 10:30 of some day, in hours of the epoch.
START = 490_000 * DAY / 24 + 10 * HOUR + HOUR / 2
DRIVE, OTHER = "eui.1", "eui.2"
NOT_NOTED = "bytes written to drives cannot be recorded"


class Clock:
    def __init__(self) -> None:
        self.now_s = START

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/written"


@contextmanager
def full_disk(max_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def lines(path: Path) -> list[dict[str, object]]:
    entries, opened = AppendLog.open(path)
    opened.close()
    return entries


class TestCounting:
    def test_nothing_is_written_at_first(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        assert (ledger.written_today(DRIVE), ledger.total(DRIVE), ledger.left_today(DRIVE, GIB)) == (0, 0, GIB)
        assert ledger.trouble == ""

    def test_a_reservation_counts_until_it_is_settled(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        assert ledger.written_today(DRIVE) == 100
        ledger.settle(DRIVE, 100, 70)
        assert ledger.written_today(DRIVE) == 70
        assert ledger.total(DRIVE) == 70

    def test_more_may_be_written_than_was_reserved(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        ledger.settle(DRIVE, 100, 130)
        assert ledger.written_today(DRIVE) == 130

    def test_drives_are_counted_apart(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        ledger.reserve(OTHER, 7)
        assert (ledger.written_today(DRIVE), ledger.written_today(OTHER)) == (100, 7)

    def test_more_than_the_budget_leaves_nothing(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        assert ledger.left_today(DRIVE, 60) == 0
        assert ledger.left_today(DRIVE, 160) == 60

    def test_a_settlement_belongs_to_the_hour_of_its_reservation(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        clock.now_s += HOUR
        ledger.settle(DRIVE, 100, 10)
        ledger.reserve(DRIVE, 50)
        clock.now_s += DAY - HOUR / 2  # the hour of the reservation lies a day back, that of the settlement does not
        assert ledger.written_today(DRIVE) == 50
        assert ledger.total(DRIVE) == 60


class TestDay:
    def test_bytes_are_free_again_a_day_after_their_hour(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        clock.now_s += DAY + HOUR / 2 - 1
        assert ledger.written_today(DRIVE) == 100
        clock.now_s += 1
        assert ledger.written_today(DRIVE) == 0
        assert ledger.total(DRIVE) == 100

    def test_when_they_will_be_is_known(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 60)
        clock.now_s += 3 * HOUR
        ledger.reserve(DRIVE, 40)
        assert ledger.frees_at(DRIVE, 100, 0) == 0
        assert ledger.frees_at(DRIVE, 150, 50) == 0
        assert ledger.frees_at(DRIVE, 100, 60) == DAY - 2.5 * HOUR
        assert ledger.frees_at(DRIVE, 100, 61) == DAY + HOUR / 2
        assert ledger.frees_at(DRIVE, 100, 101) is None

    def test_so_it_is_when_the_budget_was_lowered_below_what_is_written(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 60)
        clock.now_s += 3 * HOUR
        ledger.reserve(DRIVE, 40)
        assert ledger.frees_at(DRIVE, 30, 10) == DAY + HOUR / 2

    @given(
        st.lists(st.tuples(st.integers(0, 8 * 3600), st.integers(0, 100)), max_size=30),
        st.integers(1, 300),
        st.integers(1, 300),
    )
    def test_exactly_then_that_much_is_free(
        self, tmp_path_factory: pytest.TempPathFactory, fills: list[tuple[int, int]], budget: int, need: int
    ) -> None:
        clock = Clock()
        ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "written", clock)
        for passes_s, count in fills:
            clock.now_s += passes_s
            ledger.reserve(DRIVE, count)
        seconds = ledger.frees_at(DRIVE, budget, need)
        assert (seconds is None) == (need > budget)
        if seconds is not None:
            if seconds > 0:
                clock.now_s += seconds - 1
                assert ledger.left_today(DRIVE, budget) < need
                clock.now_s += 1
            assert ledger.left_today(DRIVE, budget) >= need
        assert ledger.total(DRIVE) == sum(count for _, count in fills)
        ledger.close()


class TestClock:
    @pytest.mark.parametrize("back_s", [HOUR, 30 * DAY, START])
    def test_bytes_from_the_future_are_written_now(self, path: Path, clock: Clock, back_s: float) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        clock.now_s -= back_s
        for seen in (ledger, Ledger.open(path, clock)):
            assert seen.written_today(DRIVE) == 100
        clock.now_s += DAY + HOUR
        for seen in (ledger, Ledger.open(path, clock)):
            assert seen.written_today(DRIVE) == 0
            assert seen.total(DRIVE) == 100

    def test_a_settlement_survives_it(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        clock.now_s -= 30 * DAY
        assert ledger.written_today(DRIVE) == 100
        ledger.settle(DRIVE, 100, 30)
        for seen in (ledger, Ledger.open(path, clock)):
            assert seen.written_today(DRIVE) == 30

    def test_set_forward_it_is_as_if_time_had_passed(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        clock.now_s += 400 * DAY
        assert ledger.left_today(DRIVE, 100) == 100
        assert ledger.total(DRIVE) == 100


class TestFile:
    def test_it_is_kept_over_restarts(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        ledger.settle(DRIVE, 100, 90)
        ledger.reserve(DRIVE, 1000)  # and then the process was killed
        ledger.close()
        assert Ledger.open(path, clock).written_today(DRIVE) == 1090

    def test_opening_leaves_a_line_an_hour_and_one_of_all_before(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        for _ in range(48 * 4):
            ledger.reserve(DRIVE, 100)
            ledger.settle(DRIVE, 100, 10)
            clock.now_s += HOUR / 4
        assert len(lines(path)) == 2 * 48 * 4
        before = ledger.written_today(DRIVE), ledger.total(DRIVE)
        ledger = Ledger.open(path, clock)
        assert (ledger.written_today(DRIVE), ledger.total(DRIVE)) == before
        assert ledger.total(DRIVE) == 48 * 4 * 10
        assert len(lines(path)) == 26
        Ledger.open(path, clock)
        assert len(lines(path)) == 26

    def test_what_a_crash_left_of_a_line_is_cut(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        with path.open("ab") as file:
            file.write(b"00000000 {")
        assert ledger.written_today(DRIVE) == 100
        ledger.reserve(DRIVE, 7)
        assert Ledger.open(path, clock).written_today(DRIVE) == 107

    def test_entries_of_another_kind_are_passed_over(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir()
        append_log.rewrite(
            path,
            [{"format": 2}, {"id": DRIVE, "hour": "x", "bytes": 1}, {"id": DRIVE, "bytes": 5}, {"id": 3, "bytes": 1}],
        )
        ledger = Ledger.open(path, clock)
        assert (ledger.total(DRIVE), ledger.written_today(DRIVE)) == (5, 0)

    def test_less_than_nothing_is_never_written(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir()
        hour = int(START // HOUR)
        append_log.rewrite(
            path, [{"id": DRIVE, "hour": hour, "bytes": -100}, {"id": DRIVE, "hour": hour - 1, "bytes": 30}]
        )
        ledger = Ledger.open(path, clock)
        assert (ledger.total(DRIVE), ledger.written_today(DRIVE), ledger.left_today(DRIVE, 100)) == (30, 30, 70)

    def test_it_starts_over_when_it_is_removed(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        path.unlink()
        assert ledger.written_today(DRIVE) == 0
        assert ledger.trouble == ""

    def test_it_is_for_root_alone(self, path: Path, clock: Clock) -> None:
        Ledger.open(path, clock).reserve(DRIVE, 100)
        assert {entry.name: oct(entry.stat().st_mode & 0o777) for entry in path.parent.iterdir()} == {
            "written": "0o600",
            "written.lock": "0o600",
        }

    def test_no_descriptor_is_left_behind(self, path: Path, clock: Clock) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            ledger = Ledger.open(path, clock)
            ledger.reserve(DRIVE, 1)
            Ledger.open(path, clock).close()
            assert ledger.total(DRIVE) > 0
            ledger.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestTogether:
    def test_each_sees_what_the_other_adds(self, path: Path, clock: Clock) -> None:
        daemon = Ledger.open(path, clock)
        worker = Ledger.open(path, clock)
        worker.reserve(DRIVE, 100)
        assert daemon.written_today(DRIVE) == 100
        daemon.reserve(DRIVE, 7)
        worker.reserve(DRIVE, 1000)
        assert daemon.written_today(DRIVE) == worker.written_today(DRIVE) == 1107

    def test_one_that_starts_takes_nothing_from_one_that_runs(self, path: Path, clock: Clock) -> None:
        worker = Ledger.open(path, clock)
        worker.reserve(DRIVE, 100)
        daemon = Ledger.open(path, clock)  # creates the file again
        worker.reserve(DRIVE, 7)
        assert daemon.written_today(DRIVE) == 107
        assert Ledger.open(path, clock).written_today(DRIVE) == 107

    def test_who_only_asks_does_not_wait_for_the_lock(self, path: Path, clock: Clock) -> None:
        daemon = Ledger.open(path, clock)
        Ledger.open(path, clock).reserve(DRIVE, 100)
        with path.with_name("written.lock").open("w") as stuck:
            fcntl.flock(stuck, fcntl.LOCK_EX)
            assert daemon.written_today(DRIVE) == 0
            assert daemon.trouble == ""
        assert daemon.written_today(DRIVE) == 100

    def test_processes_lose_nothing_of_each_other(self, path: Path) -> None:
        program = (
            "import sys; from pathlib import Path; from aio_tuned.service.write_ledger import Ledger\n"
            "for turn in range(600):\n"
            "    if turn % 25 == 0: ledger = Ledger.open(Path(sys.argv[1]))\n"
            "    ledger.reserve('x', 10); ledger.settle('x', 10, 4)\n"
            "sys.exit(ledger.trouble or 0)\n"
        )
        command = [sys.executable, "-c", program, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "daemon")}
        running = [subprocess.Popen(command, env=environment) for _ in range(3)]
        assert [process.wait(60) for process in running] == [0, 0, 0]
        assert Ledger.open(path).total("x") == 3 * 600 * 4


class TestTrouble:
    def test_on_a_full_disk_nothing_more_may_be_written(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        assert ledger.reserve(DRIVE, 100)
        with full_disk(path.stat().st_size):
            assert not ledger.reserve(DRIVE, 50)
            assert not ledger.reserve(OTHER, 50, sync=True)
            assert ledger.trouble == f"{path}: {NOT_NOTED}: File too large; make it writable"
            assert (ledger.written_today(DRIVE), ledger.written_today(OTHER)) == (100, 0), "it was not written"
        assert ledger.reserve(DRIVE, 50)
        assert ledger.trouble == ""
        assert ledger.written_today(DRIVE) == Ledger.open(path, clock).written_today(DRIVE) == 150

    def test_on_a_full_disk_what_was_reserved_is_settled(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 50)
        with full_disk(path.stat().st_size):
            ledger.settle(DRIVE, 50, 40)
            assert ledger.written_today(DRIVE) == 40
            assert ledger.left_today(DRIVE, 200) == 160
            assert str(path) in ledger.trouble

    def test_what_a_worker_cannot_note_the_daemon_takes_over(self, path: Path, clock: Clock) -> None:
        daemon, worker = Ledger.open(path, clock), Ledger.open(path, clock)
        worker.reserve(DRIVE, 50)
        with full_disk(path.stat().st_size):
            worker.settle(DRIVE, 50, 80)
            clock.now_s += HOUR  # it belongs to the hour of the reservation
            given = worker.hand_over()
            assert given == ((int(START // HOUR), 30),)
            assert worker.hand_over() == ()
            assert worker.written_today(DRIVE) == 80, "the worker still counts it"
            worker.close()
            for hour, count in given:
                daemon.take_over(DRIVE, hour, count)
            assert daemon.written_today(DRIVE) == 80
            assert daemon.trouble
        assert daemon.written_today(DRIVE) == Ledger.open(path, clock).written_today(DRIVE) == 80
        assert daemon.trouble == ""

    def test_one_that_opens_it_then_knows_at_once(self, path: Path, clock: Clock) -> None:
        Ledger.open(path, clock).reserve(DRIVE, 100)
        with full_disk(1):
            ledger = Ledger.open(path, clock)
        assert str(path) in ledger.trouble
        assert ledger.written_today(DRIVE) == 100
        assert ledger.trouble == ""

    def test_when_there_is_room_again_nothing_is_missing(self, path: Path, clock: Clock) -> None:
        ledger = Ledger.open(path, clock)
        ledger.reserve(DRIVE, 100)
        with full_disk(path.stat().st_size):
            ledger.settle(DRIVE, 100, 140)
        assert ledger.written_today(DRIVE) == Ledger.open(path, clock).written_today(DRIVE) == 140
        assert ledger.trouble == ""

    def test_what_cannot_be_read_may_be_all(self, path: Path, clock: Clock) -> None:
        path.mkdir(parents=True)
        ledger = Ledger.open(path, clock)
        assert ledger.trouble == f"{path}: {NOT_NOTED}: Is a directory; make it writable"
        assert ledger.left_today(DRIVE, GIB) == 0
        assert ledger.frees_at(DRIVE, GIB, 1) == HOUR
        assert ledger.frees_at(DRIVE, GIB, 2 * GIB) is None
        assert not ledger.reserve(DRIVE, 50)
        ledger.take_over(DRIVE, int(START // HOUR), 50)
        path.rmdir()
        assert ledger.written_today(DRIVE) == 50
        assert ledger.left_today(DRIVE, GIB) == GIB - 50
        assert ledger.trouble == ""

    def test_a_folder_that_cannot_be_made_is_trouble_not_an_error(self, tmp_path: Path, clock: Clock) -> None:
        (tmp_path / "state").write_text("")
        ledger = Ledger.open(tmp_path / "state/written", clock)
        assert not ledger.reserve(DRIVE, 1)
        assert ledger.trouble
        assert ledger.total(DRIVE) == 0
