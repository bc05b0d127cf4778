"""What a killed sweep has left on a raw drive is zeroed only where it is still its own; others keep every byte."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import storage
from busy import busy_s
from processes import alive, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive


def raw_write() -> str:
    """A configuration that writes to a blank disk soon after it has read it."""
    return f'[safety]\nraw_write = "blank"\n[sweep]\ntime_budget = {busy_s(8)}'


def records(tuner: Tuner) -> list[Path]:
    return list((tuner.state / "raw-writes").glob("*.json"))


@pytest.fixture
def left(endless: Tuner, disk: Callable[..., LoopDrive]) -> LoopDrive:
    """A disk on which a helper was killed while it measured; `endless` writes raw."""
    made = disk()
    endless.configure(raw_write())
    run = endless.start(made.node)
    run.reach("write 1/2")
    (helper,) = run.helpers
    os.kill(helper, signal.SIGKILL)
    done = run.end()
    assert done.code == 70, done.stderr
    assert not made.blank()
    assert len(records(endless)) == 1
    assert records(endless)[0].stat().st_mode & 0o777 == 0o600
    return made


def once(tuner: Tuner) -> None:
    """Have the next sweeps come to an end."""
    tuner.configure("[sweep]\ntime_budget = 5")


def test_the_next_sweep_zeroes_it_and_measures(endless: Tuner, left: LoopDrive) -> None:
    once(endless)
    done = endless.run(left.node)
    assert done.code in (0, 74), done.stderr  # too short a time for all points is no matter here
    assert "of an interrupted sweep were zeroed" in done.stderr
    assert left.blank()
    assert records(endless) == []


@pytest.mark.parametrize("mounted", [False, True])
def test_a_filesystem_made_since_keeps_every_byte(
    endless: Tuner, left: LoopDrive, mount: Callable[..., Path], *, mounted: bool
) -> None:
    storage.run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", left.node)
    if mounted:
        mount("-o", "ro,noload", left.node)
    before = left.digest()
    once(endless)
    done = endless.run(left.node, *(["--raw"] if mounted else []))
    assert "of an interrupted sweep were not zeroed and are no longer recorded" in done.stderr
    assert ("mounted at" if mounted else "holds ext4") in done.stderr
    assert left.digest() == before
    assert records(endless) == []


def test_a_byte_that_somebody_has_written_since_keeps_the_rest(endless: Tuner, left: LoopDrive) -> None:
    with left.node.open("r+b", buffering=0) as device:
        device.seek(left.size_bytes // 2)
        device.write(b"\1".ljust(4096, b"\0"))
        os.fsync(device.fileno())
    before = left.digest()
    once(endless)
    done = endless.run(left.node)
    assert "not erased: the sector at offset" in done.stderr
    assert left.digest() == before
    assert records(endless) == []


def test_without_leave_it_stays_and_is_remembered(endless: Tuner, left: LoopDrive) -> None:
    before = left.digest()
    once(endless)
    endless.configure('[safety]\nraw_write = "never"')
    done = endless.run(left.node)
    assert 'were not zeroed; set raw_write = "blank"' in done.stderr
    assert left.digest() == before
    assert len(records(endless)) == 1


def test_a_drive_whose_helper_has_not_ended_is_not_swept(endless: Tuner, disk: Callable[..., LoopDrive]) -> None:
    """A helper that does not answer: stopped, where a dead drive would leave it in the kernel."""
    made = disk()
    endless.configure(raw_write())
    run = endless.start(made.node)
    run.reach("write 1/2")
    (helper,) = run.helpers
    os.kill(helper, signal.SIGSTOP)
    run.process.kill()
    run.process.wait()
    once(endless)
    done = endless.run(made.node)
    assert done.code == 69, done.stderr
    assert f"aio-sweep (process {helper}) is still running" in done.last
    os.kill(helper, signal.SIGCONT)  # the SIGTERM that it got with its parent's end is still there
    assert until(lambda: not alive(helper))
    assert made.blank()
    assert "were zeroed" in endless.run(made.node).stderr  # nothing was left of them
    assert records(endless) == []


def test_a_disk_that_a_guest_has_open_is_only_read(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    """QEMU and nvmet open a whole drive without O_EXCL."""
    made = disk()
    quick.configure(raw_write())
    descriptor = os.open(made.node, os.O_RDWR)
    try:
        profile = quick.profile(made.node, "--time-budget", "5s")
    finally:
        os.close(descriptor)
    assert f"process {os.getpid()} " in profile["write"]["skipped"]
    assert profile["evidence"]["bytes_written"] == 0
    assert made.blank()
    assert records(quick) == []


def test_a_disk_is_not_written_without_a_record(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    """Where the folder is that would have it, there is a file."""
    made = disk()
    quick.configure(raw_write())
    quick.state.mkdir()
    (quick.state / "raw-writes").touch()
    done = quick.run(made.node)
    assert done.code == 73, done.stderr
    assert made.blank()
