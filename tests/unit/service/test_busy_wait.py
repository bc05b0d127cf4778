from __future__ import annotations

from aio_tuned.service.busy_wait import BusyWait, deferred

HOUR = 3600.0
LOGS = "others make 30 requests/s on the drive"
WAIT = BusyWait(since_s=1000.0, traffic=LOGS)


def test_the_wait_begins_with_the_first_deferral_and_names_the_last_traffic() -> None:
    assert deferred(None, LOGS, 1000.0) == WAIT
    assert deferred(WAIT, "others move 20 MB/s on the drive", 5000.0) == BusyWait(
        since_s=1000.0, traffic="others move 20 MB/s on the drive"
    )


def test_patience_ends() -> None:
    assert not WAIT.is_over(HOUR, 1000.0 + HOUR - 1)
    assert WAIT.never_quiet(HOUR, 1000.0 + HOUR - 1) == ""
    assert WAIT.is_over(HOUR, 1000.0 + HOUR)
    assert WAIT.never_quiet(25 * HOUR, 1000.0 + 25 * HOUR) == f"busy at every check for 25 h: {LOGS}"


def test_endless_patience_tells_after_a_day() -> None:
    assert not WAIT.is_over(None, 1e9)
    assert WAIT.never_quiet(None, 1000.0 + 24 * HOUR - 1) == ""
    assert LOGS in WAIT.never_quiet(None, 1000.0 + 24 * HOUR)
