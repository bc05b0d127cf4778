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
    tally = SweepCounter.open(path)
    for outcome in ("finished", "failed", "failed"):
        tally.count(DRIVE, outcome)
    tally.count(OTHER, "deferred")
    for again in (tally, SweepCounter.open(path), SweepCounter.open(path)):
        assert again.counts(DRIVE) == {"finished": 1, "failed": 2, "deferred": 0}
        assert again.counts(OTHER) == {"finished": 0, "failed": 0, "deferred": 1}
        assert again.trouble == ""


def test_drops_of_the_page_cache_are_counted_beside_the_outcomes(path: Path) -> None:
    tally = SweepCounter.open(path)
    assert tally.page_cache_drops(DRIVE) == 0
    tally.count(DRIVE, PAGE_CACHE_DROP)
    tally.count(DRIVE, PAGE_CACHE_DROP)
    tally.count(DRIVE, "finished")
    for again in (tally, SweepCounter.open(path), SweepCounter.open(path)):
        assert again.page_cache_drops(DRIVE) == 2
        assert again.page_cache_drops(OTHER) == 0
        assert again.counts(DRIVE) == {"finished": 1, "failed": 0, "deferred": 0}


def test_a_start_leaves_one_line_a_drive_and_outcome(path: Path) -> None:
    tally = SweepCounter.open(path)
    for _ in range(50):
        tally.count(DRIVE, "failed")
    assert len(entries(path)) == 50
    SweepCounter.open(path)
    assert entries(path) == [{"id": DRIVE, "outcome": "failed", "count": 50}]


@pytest.mark.parametrize("torn", [b"0", b"01234567 {}", b"\x00" * 100, b"\xff\n"])
def test_of_a_torn_file_what_is_whole_counts(path: Path, torn: bytes) -> None:
    tally = SweepCounter.open(path)
    tally.count(DRIVE, "finished")
    with path.open("ab") as file:
        file.write(torn)
    tally.count(DRIVE, "finished")
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
    tally = SweepCounter.open(path)
    path.mkdir(parents=True)
    tally.count(DRIVE, "failed")
    tally.count(DRIVE, "finished")
    assert tally.counts(DRIVE) == {"finished": 1, "failed": 1, "deferred": 0}
    assert tally.trouble == f"{path}: how sweeps end cannot be noted there: Is a directory"
    path.rmdir()
    assert tally.counts(DRIVE)["failed"] == 1
    assert tally.trouble == ""
    assert SweepCounter.open(path).counts(DRIVE) == {"finished": 1, "failed": 1, "deferred": 0}


def test_a_file_that_cannot_be_read_at_the_start_is_a_trouble(path: Path) -> None:
    path.mkdir(parents=True)
    tally = SweepCounter.open(path)
    assert "Is a directory" in tally.trouble
    assert tally.counts(DRIVE)["failed"] == 0
