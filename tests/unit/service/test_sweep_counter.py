from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.service.sweep_counter import PAGE_CACHE_DROP, SweepCounter
from aio_tuned.storage.append_log import AppendLog, rewrite

if TYPE_CHECKING:
    from pathlib import Path

DRIVE, OTHER = "eui.1", "eui.2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/sweeps.journal"


def entries(path: Path) -> list[dict[str, object]]:
    found, journal = AppendLog.open(path)
    journal.close()
    return found


def test_nothing_is_counted_at_first(path: Path) -> None:
    assert SweepCounter.open(path).counts(DRIVE) == {"finished": 0, "failed": 0, "deferred": 0}
    assert not path.exists()


def test_each_drive_is_counted_for_itself_over_restarts(path: Path) -> None:
    counter = SweepCounter.open(path)
    for outcome in ("finished", "failed", "failed"):
        counter.count(DRIVE, outcome)
    counter.count(OTHER, "deferred")
    for again in (counter, SweepCounter.open(path), SweepCounter.open(path)):
        assert again.counts(DRIVE) == {"finished": 1, "failed": 2, "deferred": 0}
        assert again.counts(OTHER) == {"finished": 0, "failed": 0, "deferred": 1}
        assert again.trouble == ""


def test_drops_of_the_page_cache_are_counted_beside_the_outcomes(path: Path) -> None:
    counter = SweepCounter.open(path)
    assert counter.page_cache_drops(DRIVE) == 0
    counter.count(DRIVE, PAGE_CACHE_DROP)
    counter.count(DRIVE, PAGE_CACHE_DROP)
    counter.count(DRIVE, "finished")
    for again in (counter, SweepCounter.open(path), SweepCounter.open(path)):
        assert again.page_cache_drops(DRIVE) == 2
        assert again.page_cache_drops(OTHER) == 0
        assert again.counts(DRIVE) == {"finished": 1, "failed": 0, "deferred": 0}


def test_a_start_leaves_one_line_a_drive_and_outcome(path: Path) -> None:
    counter = SweepCounter.open(path)
    for _ in range(50):
        counter.count(DRIVE, "failed")
    assert len(entries(path)) == 50
    SweepCounter.open(path)
    assert entries(path) == [{"id": DRIVE, "outcome": "failed", "count": 50}]


@pytest.mark.parametrize("torn", [b"0", b"01234567 {}", b"\x00" * 100, b"\xff\n"])
def test_of_a_torn_file_what_is_whole_counts(path: Path, torn: bytes) -> None:
    counter = SweepCounter.open(path)
    counter.count(DRIVE, "finished")
    with path.open("ab") as file:
        file.write(torn)
    counter.count(DRIVE, "finished")
    with path.open("ab") as file:
        file.write(torn)
    after = SweepCounter.open(path)
    assert (after.counts(DRIVE)["finished"], after.trouble) == (2, "")


def test_entries_of_a_later_version_are_passed_over(path: Path) -> None:
    path.parent.mkdir()
    rewrite(
        path,
        [
            {"id": DRIVE, "outcome": "exploded", "count": 1},
            {"id": DRIVE, "outcome": ["failed"], "count": 1},
            {"id": 7, "outcome": "failed", "count": 1},
            {"id": DRIVE, "outcome": "failed", "count": "many"},
            {"id": DRIVE, "outcome": "failed", "count": -5},
            {"outcome": "failed"},
            {"id": DRIVE, "outcome": "failed", "count": 2, "colour": "red"},
        ],
    )
    assert SweepCounter.open(path).counts(DRIVE) == {"finished": 0, "failed": 2, "deferred": 0}


def test_what_cannot_be_noted_is_counted_and_noted_later(path: Path) -> None:
    counter = SweepCounter.open(path)
    path.mkdir(parents=True)
    counter.count(DRIVE, "failed")
    counter.count(DRIVE, "finished")
    assert counter.counts(DRIVE) == {"finished": 1, "failed": 1, "deferred": 0}
    assert counter.trouble == f"{path}: outcomes of sweeps cannot be recorded: Is a directory"
    path.rmdir()
    assert counter.counts(DRIVE)["failed"] == 1
    assert counter.trouble == ""
    assert SweepCounter.open(path).counts(DRIVE) == {"finished": 1, "failed": 1, "deferred": 0}


def test_a_file_that_cannot_be_read_at_the_start_is_a_trouble(path: Path) -> None:
    path.mkdir(parents=True)
    counter = SweepCounter.open(path)
    assert "Is a directory" in counter.trouble
    assert counter.counts(DRIVE)["failed"] == 0
