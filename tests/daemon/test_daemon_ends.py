"""However the daemon, its worker or its helper ends: nothing is left, nothing is torn, and the sweep goes on."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

import storage
from daemon.daemon_process import ENDLESS
from processes import PATIENCE_S, alive, children, state, until

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive

# A second or two of measuring, in many short visits, so that any moment may be between two of them or within one.
_MANY_VISITS = """
[grid]
queue_depth = [1, 2, 4, 8]
io_parallelism = [1, 2]
[sweep]
transfer_bytes = "4M"
time_budget = 3
[choose]
tolerance_percent = 1
"""
_MOMENTS = 3
# The daemon waits for so long until it kills its worker.
_KILLED_S = 4.5


def whole(daemon: Daemon) -> None:
    """All profiles can be read, and there is nothing besides."""
    for path in daemon.profiles.iterdir():
        assert path.suffix == ".toml", path
        tomllib.loads(path.read_text())


def named(processes: set[int], word: str) -> list[int]:
    """Those of the processes that were started with that word in their command line."""
    found = []
    for process in processes:
        try:
            text = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in text:
            found.append(process)
    return found


def samples(journal: Path) -> int:
    """Count the visits that a sweep which has not ended has recorded."""
    try:
        return journal.read_bytes().count(b'"sample"')
    except OSError:
        return 0


def worker_and_helper(daemon: Daemon) -> tuple[int, int]:
    """Both, once they run."""
    found: tuple[int, int] | None = None

    def both() -> bool:
        nonlocal found
        for worker in named(daemon.workers(), "aio_tuned.service.worker"):
            for helper in named(children(worker), "--max-transfer-bytes="):
                found = worker, helper
        return found is not None

    assert until(both), f"there are no worker and helper\n{daemon.log}"
    assert found is not None
    return found


@pytest.fixture
def sweeping(daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> LoopDrive:
    """A drive in a sweep that lasts."""
    drive = loop_drive()
    daemon.configure(ENDLESS)
    daemon.watch(drive)
    drive.plug()
    daemon.start()
    daemon.reach("sweeping: raw device")
    return drive


@pytest.mark.timeout(900)
def test_sigterm_at_any_moment(daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path) -> None:
    drive = loop_drive()
    daemon.configure(_MANY_VISITS)
    daemon.watch(drive)
    drive.plug()
    drive.format()
    journal = daemon.state / "journals" / f"{drive.name}.journal"
    dice = random.Random(3)
    before = 0

    def visited() -> bool:
        return samples(journal) > before or daemon.drive(drive).get("published") == "measured"

    with storage.mount_in(tmp_path, drive.node) as point:
        free = os.statvfs(point).f_bfree
        took = []
        # A while after the daemon's start, after the sweep's, and after a visit.
        for begun in ("started: managing ", ": sweeping: scratch file", "visit") * _MOMENTS:
            before = samples(journal)
            daemon.start()
            if begun == "visit":
                assert until(visited), daemon.log
            else:
                daemon.reach(begun)
            time.sleep(dice.uniform(0, 0.4))
            took.append(daemon.stop())
            assert until(lambda: os.statvfs(point).f_bfree == free), "the scratch file is still there"
            whole(daemon)
            assert "Traceback" not in daemon.log
        assert median(took) < _KILLED_S, took
        daemon.start()
        daemon.wait(drive, "published", published="measured")
        evidence = daemon.profile(drive)["evidence"]
        assert evidence["resumed"] >= 1
        daemon.stop()
    whole(daemon)


def test_the_worker_and_the_helper_follow_a_killed_daemon(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.environment["FAKE_AIO_SWEEP"] = '{"misbehave": {"at": 3, "do": "silent"}}'
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    both = worker_and_helper(quick_daemon)
    journal = quick_daemon.state / "journals" / f"{drive.name}.journal"
    assert until(lambda: samples(journal) == 2), quick_daemon.log
    quick_daemon.stop(signal.SIGKILL)
    assert until(lambda: not any(alive(process) for process in both)), "they outlive the daemon"
    whole(quick_daemon)
    assert quick_daemon.run("status").returncode == 69, "what is left of its status is not taken for one"
    quick_daemon.environment["FAKE_AIO_SWEEP"] = "{}"
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert quick_daemon.profile(drive)["evidence"]["resumed"] == 1


def test_a_killed_process_is_a_failure_that_is_tried_again(daemon: Daemon, sweeping: LoopDrive) -> None:
    for times, which in enumerate(("worker", "helper"), start=1):
        worker, helper = worker_and_helper(daemon)
        os.kill(worker if which == "worker" else helper, signal.SIGKILL)
        assert until(lambda: daemon.log.count("failed: ") == times), daemon.log  # noqa: B023 - called at once
        reason = daemon.log.rpartition("failed: ")[2].partition("\n")[0]
        assert {"worker": "worker", "helper": "aio-sweep: "}[which] in reason
        assert "killed by signal 9" in reason
        assert until(lambda: not alive(helper))  # noqa: B023 - called at once
        assert until(lambda: daemon.sweeps() == times + 1), daemon.log  # noqa: B023 - called at once
    daemon.stop()
    assert daemon.profile(sweeping)["state"] == "provisional"


def test_a_failure_is_shown_with_its_next_try(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.configure('[daemon]\nmin_retry = "1h"\nmax_retry = "6h"')
    quick_daemon.environment["FAKE_AIO_SWEEP"] = '{"misbehave": {"at": 2, "do": "error"}}'
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    found = quick_daemon.wait(drive, "failed")
    assert "media error" in found["reason"]
    assert found["next_try"]
    assert "next try: " in quick_daemon.run("status").stdout
    assert quick_daemon.profile(drive)["state"] == "provisional"
    # The operator need not wait for it.
    assert quick_daemon.run("retune", drive.name).returncode == 0
    assert until(lambda: quick_daemon.log.count("failed: ") == 2), quick_daemon.log


def test_a_torn_journal_is_cut(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.configure("[daemon]\nsettle = 0")
    quick_daemon.environment["FAKE_AIO_SWEEP"] = '{"misbehave": {"at": 4, "do": "silent"}}'
    quick_daemon.watch(drive)
    drive.plug()
    journal = quick_daemon.state / "journals" / f"{drive.name}.journal"
    dice = random.Random(5)
    for _ in range(3):
        quick_daemon.start()
        assert until(lambda: samples(journal) >= 3), quick_daemon.log
        quick_daemon.stop()
        assert "Traceback" not in quick_daemon.log
        os.truncate(journal, dice.randrange(journal.stat().st_size + 1))
    # A flipped bit is no torn tail, but must not be believed either.
    data = bytearray(journal.read_bytes() or b"{}")
    data[dice.randrange(len(data))] ^= 4
    journal.write_bytes(data)
    quick_daemon.environment["FAKE_AIO_SWEEP"] = "{}"
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert quick_daemon.profile(drive)["read"]["throughput_bytes_per_s"] > 5e9
    assert "Traceback" not in quick_daemon.log
    assert not journal.exists(), "the sweep is over"


def test_a_second_copy_leaves(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    quick_daemon.start()
    second = quick_daemon.run("daemon")
    assert second.returncode == 69
    assert f"the daemon is already running as process {quick_daemon.pid}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert quick_daemon.run("retune", "nothing").returncode == 66, "the first has lost its socket"
    drive.plug()
    quick_daemon.wait(drive, "published", published="measured")
    quick_daemon.stop()
    assert not (quick_daemon.runtime / "status.json").exists()


@contextmanager
def frozen(point: Path) -> Iterator[None]:
    """Whoever writes there meanwhile is held in the kernel, where no signal reaches him."""
    storage.run("fsfreeze", "--freeze", point)
    try:
        yield
    finally:
        storage.run("fsfreeze", "--unfreeze", point)


@pytest.mark.parametrize("how", ["stop", "sigterm"])
def test_a_helper_that_is_stuck_in_the_kernel_holds_up_nobody(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path, how: str
) -> None:
    drive, other = loop_drive(), loop_drive()
    daemon.configure(ENDLESS)
    daemon.watch(drive, other)
    drive.plug()
    drive.format()
    with storage.mount_in(tmp_path, drive.node) as point:
        with frozen(point):
            daemon.start()
            _, helper = worker_and_helper(daemon)
            assert until(lambda: state(helper) == "D"), "it does not make its scratch file"
            # The helper is stuck for as long as the filesystem is frozen: who waited for it would wait for ever.
            if how == "sigterm":
                assert daemon.process
                daemon.process.send_signal(signal.SIGTERM)
                assert daemon.process.wait(PATIENCE_S) == 0, daemon.log
            else:
                stopped = daemon.run("stop", drive.name)
                assert (stopped.returncode, "D state" in stopped.stderr) == (69, True), "its scratch file is still open"
                assert daemon.drive(drive)["stage"] == "skipped"
                other.plug()
                daemon.reach(f"{other.node.name}: sweeping: raw device")
            assert alive(helper)
        assert until(lambda: not alive(helper))
        assert "Traceback" not in daemon.log
