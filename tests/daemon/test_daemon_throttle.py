"""Others come first: the daemon's sweeps wait for them, and give way."""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING

import storage
from processes import seeing_helper, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20
POLITE = """
[throttle]
busy_bytes_per_s = "1M"
min_pause = 0.3
"""


@contextmanager
def busy(drive: LoopDrive, size: int = MIB) -> Iterator[None]:
    """Somebody reads the drive meanwhile, past the page cache: more than is allowed, on a loaded machine too."""
    over = Event()

    def read() -> None:
        descriptor = os.open(drive.node, os.O_RDONLY | os.O_DIRECT)
        try:
            with mmap.mmap(-1, size) as buffer:
                while not over.wait(0.005):
                    os.preadv(descriptor, [buffer], 0)
        finally:
            os.close(descriptor)

    reader = Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def test_a_sweep_waits_while_others_use_the_drive(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.configure(POLITE)
    quick_daemon.watch(drive)
    drive.plug()
    with busy(drive):
        quick_daemon.start()
        assert until(lambda: (quick_daemon.drive(drive).get("sweeping") or {}).get("paused")), quick_daemon.log
        said = quick_daemon.run("status").stdout
        assert "paused: other processes transfer " in said
        assert "on the drive" in said
        assert until(lambda: quick_daemon.log.count(": paused: ") >= 3), quick_daemon.log
        assert quick_daemon.sweeps() == 0, "no helper is started while it waits"
    quick_daemon.wait(drive, "published", published="measured")
    assert ": resumed" in quick_daemon.log
    assert quick_daemon.profile(drive)["evidence"]["paused_seconds"] > 0


def test_who_waits_for_too_long_gives_way(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive, other = loop_drive(), loop_drive()
    quick_daemon.configure(POLITE.replace("0.3", "0.05") + "max_hold = 0.4")
    quick_daemon.watch(drive, other)
    drive.plug()
    with busy(drive):
        quick_daemon.start()
        quick_daemon.wait(drive, "sweeping")
        other.plug()
        quick_daemon.wait(other, "published", published="measured")
        assert "queued: other processes transfer " in quick_daemon.log
        assert quick_daemon.drive(drive)["published"] == "provisional"
    quick_daemon.wait(drive, "published", published="measured")


def test_a_drive_that_is_never_quiet_is_swept_beside_others(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    """Its neighbour reads 4 KiB, at most 200 times a second: less than a megabyte."""
    drive = loop_drive()
    limits = "busy_requests_per_s = 20\nmin_pause = 0.05\nmax_hold = 0.1\n"
    quick_daemon.configure(f"[throttle]\n{limits}patience = 0.5\n[grid]\nqueue_depth = [4, 16]\nio_parallelism = [1]")
    quick_daemon.watch(drive)
    drive.plug()
    with busy(drive, 4096):
        quick_daemon.start()
        quick_daemon.wait(drive, "queued")
        assert "requests/s on the drive" in quick_daemon.log
        found = quick_daemon.wait(drive, "published", published="provisional")
    assert "busy at every check for 0 h: other processes make " in quick_daemon.log
    assert found["never_quiet"] == ""
    profile = quick_daemon.profile(drive)
    assert profile["read"]["queue_depth"] * profile["read"]["io_parallelism"] <= 8, "the default is one of them"
    assert any("the drive is never idle (other processes make " in each for each in profile["evidence"]["findings"])


def test_no_sweep_begins_in_quiet_hours(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    now = datetime.now().astimezone()
    first, last = now - timedelta(minutes=2), now + timedelta(minutes=10)
    quick_daemon.configure(f'[throttle]\nquiet_hours = ["{first:%H:%M}-{last:%H:%M}"]')
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    found = quick_daemon.wait(drive, "queued", reason=f"quiet hours until {last:%H:%M}")
    next_try = datetime.fromisoformat(found["next_try"]).astimezone()
    assert abs(next_try - last.replace(second=0, microsecond=0)) < timedelta(minutes=1)
    assert quick_daemon.profile(drive)["state"] == "provisional"
    assert quick_daemon.sweeps() == 0


def test_a_day_s_writes_are_limited_over_restarts(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    drive = loop_drive()
    quick_daemon.configure('[throttle]\nwrite_budget_per_day = "800M"')
    quick_daemon.watch(drive)
    drive.plug()
    drive.format()
    with storage.mount_in(tmp_path, drive.node):
        quick_daemon.start()
        first = quick_daemon.wait(drive, "published", published="measured")["written_today_bytes"]
        assert 500 * MIB < first <= 800 * MIB
        assert quick_daemon.run("retune", "--force", drive.name).returncode == 0
        found = quick_daemon.wait(drive, "queued")
        assert "daily write budget spent: " in found["reason"]
        assert "--" not in found["reason"], "advice for the command line is none for the daemon"
        assert found["written_today_bytes"] == first, "what was not written does not count"
        away = datetime.fromisoformat(found["next_try"]) - datetime.now().astimezone()
        assert timedelta(hours=23) < away <= timedelta(hours=25)
        assert quick_daemon.profile(drive)["state"] == "measured"
        quick_daemon.stop()
        quick_daemon.start()
        assert quick_daemon.wait(drive, "published")["written_today_bytes"] == first
        quick_daemon.stop()


def test_the_zeroing_of_a_blank_drive_counts_too(daemon: Daemon, disk: Callable[..., LoopDrive]) -> None:
    drive = disk()
    daemon.configure('[safety]\nraw_write = "blank"')
    daemon.helper = seeing_helper(daemon.folder)
    daemon.watch(drive)
    daemon.start()
    counted = daemon.wait(drive, "published", published="measured")["written_today_bytes"]
    found = daemon.profile(drive)
    assert "throughput_bytes_per_s" in found["write"]
    assert counted == found["evidence"]["bytes_written"] > 0, "the fill, the measurements, and the zeros at the end"
    daemon.stop()
