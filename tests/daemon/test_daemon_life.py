"""A drive comes, is used, and goes: what the daemon publishes and sweeps of it."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jsonschema

import storage
from daemon.daemon_process import ENDLESS, FAKE, ROOT
from processes import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive

NEVER_SETTLED = "[daemon]\nsettle = 60"


@contextmanager
def mounted(drive: LoopDrive, folder: Path) -> Iterator[Path]:
    """Where the drive's filesystem is mounted; unmounted at the end if it is still there."""
    with storage.mount_in(folder, drive.node) as point:
        yield point


def sound(profile: dict[str, Any]) -> None:
    """As docs/profile.schema.json has it."""
    jsonschema.validate(profile, json.loads((ROOT / "docs/profile.schema.json").read_text()))


def test_a_drive_appears_and_is_measured_raw(daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    """With the real helper; the daemon starts with no drive, and that is fine."""
    drive = loop_drive()
    daemon.watch(drive)
    daemon.configure(NEVER_SETTLED, "90-never")
    daemon.start()
    assert daemon.status()["drives"] == []
    drive.plug()
    assert until(lambda: daemon.profile(drive)), f"nothing is published at once\n{daemon.log}"
    first = daemon.profile(drive)
    sound(first)
    assert first["state"] == "provisional"
    assert first["read"]["block_size"] == 1 << 20
    daemon.configure("", "90-never")
    daemon.reload()
    drive_status = daemon.wait(drive, "published", published="measured")
    profile = daemon.profile(drive)
    sound(profile)
    assert profile["state"] == "measured"
    assert profile["read"]["throughput_bytes_per_s"] == drive_status["read_bytes_per_s"] > 0
    assert "not blank" in profile["write"]["skipped"]
    assert daemon.path(drive).stat().st_mode & 0o7777 == 0o644
    assert daemon.sweeps() == 1
    told = daemon.run("status")
    assert told.returncode == 0
    assert f"{drive.name} ({drive.node.name})" in told.stdout
    assert re.search(r"^  published: \d+ settings measured in \d", told.stdout, re.MULTILINE)
    assert json.loads(daemon.run("status", "--json").stdout) == daemon.status()
    daemon.stop()


def test_a_drive_that_is_mounted_is_measured_for_writes_too(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    drive = loop_drive()
    daemon.watch(drive)
    daemon.start()
    drive.plug()
    daemon.wait(drive, "published", published="measured")
    drive.format()
    with mounted(drive, tmp_path) as point:
        assert until(lambda: "throughput_bytes_per_s" in daemon.profile(drive)["write"]), daemon.log
        profile = daemon.profile(drive)
        sound(profile)
        assert profile["fingerprint"]["filesystem"] == "ext4"
        assert "scratch file on ext4" in profile["evidence"]["target"]
        daemon.wait(drive, "published", published="measured")
        assert [path.name for path in point.iterdir()] == ["lost+found"]
        assert daemon.sweeps() == 2
        (found,) = json.loads(daemon.run("history", drive.name, "--json").stdout)
        raw, mounted_sweep = found["sweeps"]
        assert (raw["write"], mounted_sweep["write"]["change"]) == (None, None)
        assert "filesystem" in {change["what"] for change in mounted_sweep["changes"]}
    # Unmounted, it has not lost what was measured.
    daemon.reach("settling: unmounted", ": published: ")
    daemon.wait(drive, "published", published="measured")
    assert daemon.profile(drive) == profile
    assert daemon.sweeps() == 2


def test_taking_the_filesystem_away_ends_the_sweep(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    drive = loop_drive()
    daemon.configure(ENDLESS)
    daemon.watch(drive)
    drive.plug()
    drive.format()
    daemon.start()
    with mounted(drive, tmp_path) as point:
        daemon.reach("sweeping: scratch file")
        assert until(lambda: len(daemon.workers()) >= 2)
        started = daemon.workers()
        storage.run("umount", "--lazy", point)
        daemon.reach("settling: unmounted")
        assert until(lambda: not (started & daemon.workers())), "the sweep goes on in a filesystem that is gone"
        daemon.reach("sweeping: raw device")
        assert daemon.drive(drive)["stage"] in ("queued", "sweeping")
        assert "Traceback" not in daemon.log


def test_the_operator_stops_a_sweep_to_unmount(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    drive = loop_drive()
    daemon.configure(ENDLESS)
    daemon.watch(drive)
    drive.plug()
    drive.format()
    daemon.start()
    with mounted(drive, tmp_path) as point:
        free = os.statvfs(point).f_bfree
        daemon.reach("sweeping: scratch file")
        assert until(lambda: os.statvfs(point).f_bfree < free), "there is no scratch file"
        said = daemon.run("stop", point)
        assert (said.returncode, said.stderr) == (0, "")
        assert f"{drive.name}: sweep stopped" in said.stdout
        storage.run("umount", point)
    held = daemon.wait(drive, "skipped")
    assert "stopped by the operator; to resume: aio-tuned retune" in held["reason"]
    with mounted(drive, tmp_path):
        # It hears of the mount before it is asked for anything else.
        daemon.reload()
        after = daemon.log.rpartition("skipped: stopped by the operator")[2]
        assert ": settling: " not in after, "mounting it again must not start it"
        assert daemon.drive(drive)["stage"] == "skipped"
        assert daemon.run("retune", drive.node).returncode == 0
        daemon.wait(drive, "sweeping")
        assert "sweep already running" in daemon.run("retune", drive.name).stdout
        assert daemon.run("stop", drive.name).returncode == 0


def test_retune_needs_force_where_nothing_has_changed(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    refused = quick_daemon.run("retune", drive.node)
    assert refused.returncode == 64
    assert "to sweep it again, use --force" in refused.stderr
    forced = quick_daemon.run("retune", "--force", drive.node)
    assert forced.returncode == 0, forced.stderr
    assert until(lambda: quick_daemon.log.count(" settings measured in ") == 2), quick_daemon.log
    assert quick_daemon.run("retune", "/dev/null").returncode == 66
    assert quick_daemon.run("stop", "loop-that-is-not-there").returncode == 66
    # That was once: it is not forced for ever.
    assert quick_daemon.run("retune", drive.name).returncode == 64


def test_a_profile_goes_and_comes_with_its_drive(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    quick_daemon.start()
    drive.plug()
    quick_daemon.wait(drive, "published", published="measured")
    profile = quick_daemon.path(drive).read_bytes()
    drive.pull()
    assert until(lambda: not quick_daemon.path(drive).exists()), quick_daemon.log
    assert list(quick_daemon.profiles.iterdir()) == []
    assert until(lambda: not quick_daemon.status()["drives"])
    drive.plug()
    quick_daemon.wait(drive, "published", published="measured")
    # What was published while the device was being set up is put right.
    assert until(lambda: quick_daemon.path(drive).read_bytes() == profile), quick_daemon.log
    assert quick_daemon.sweeps() == 1


def test_a_restart_sweeps_nothing_again(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    profile = quick_daemon.path(drive).read_bytes()
    quick_daemon.stop()
    assert quick_daemon.path(drive).read_bytes() == profile, "readers need no daemon"
    refused = quick_daemon.run("status")
    assert refused.returncode == 69
    assert "the daemon is not running" in refused.stderr
    quick_daemon.start()
    assert "unchanged since the measurement" in quick_daemon.wait(drive, "published")["reason"]
    assert quick_daemon.sweeps() == 0
    assert quick_daemon.path(drive).read_bytes() == profile
    # It goes while no daemon runs, and comes back when one does.
    quick_daemon.stop()
    drive.pull()
    others = quick_daemon.profiles / "not-ours.toml"
    others.write_text("this = 'is somebody else'\n")
    quick_daemon.start()
    assert not quick_daemon.path(drive).exists()
    assert others.exists()
    drive.plug()
    # A loop device has another block size in the moment before it is set up; what is published then is put right.
    assert until(lambda: quick_daemon.path(drive).exists() and quick_daemon.path(drive).read_bytes() == profile)


def test_a_drive_pulled_in_its_sweep_leaves_nothing_published(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    """A loop device goes only when the sweep has let go of it; the daemon is told by its detaching."""
    drive = loop_drive()
    daemon.configure(ENDLESS)
    daemon.watch(drive)
    drive.plug()
    daemon.start()
    daemon.reach("sweeping: raw device")
    drive.pull(held=True)
    assert daemon.run("stop", drive.name).returncode == 0
    assert until(lambda: not daemon.status()["drives"]), daemon.log
    assert list(daemon.profiles.iterdir()) == []
    assert "Traceback" not in daemon.log


def test_of_two_that_say_they_are_the_same_neither_is_tuned(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    nodes = [str(drive.plug()), str(drive.plug())]

    def stages() -> dict[str, str]:
        return {each["node"]: each["stage"] for each in quick_daemon.status()["drives"]}

    try:
        quick_daemon.start()
        assert until(lambda: list(stages().values()) == ["skipped", "skipped"]), quick_daemon.log
        assert set(stages()) == set(nodes)
        quick_daemon.reload()
        quick_daemon.reach("configuration reloaded", ": skipped: ")
        assert until(lambda: list(stages().values()) == ["skipped", "skipped"]), quick_daemon.log
        assert not quick_daemon.path(drive).exists()
        assert quick_daemon.sweeps() == 0
    finally:
        drive.pull(held=True)


def test_the_most_valuable_sweep_comes_first(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    """No profile before a stale one, a drive in use before one that is not."""
    stale, raw, used = loop_drive(), loop_drive(), loop_drive()
    quick_daemon.watch(stale)
    stale.plug()
    quick_daemon.start()
    quick_daemon.wait(stale, "published", published="measured")
    quick_daemon.stop()
    was = (stale.queue / "max_sectors_kb").read_text()
    (stale.queue / "max_sectors_kb").write_text("64")
    # Whoever has been looked at first need not wait, so its sweep waits here until all have been looked at.
    go, helper = tmp_path / "go", tmp_path / "helper"
    helper.write_text(f'#!/bin/sh\nuntil [ -e {go} ]; do sleep 0.02; done\nexec {FAKE} "$@"\n')
    helper.chmod(0o755)
    quick_daemon.helper = helper
    try:
        raw.plug()
        used.plug()
        used.format()
        quick_daemon.watch(raw, used)
        with mounted(used, tmp_path):
            quick_daemon.start()
            for drive in (stale, raw, used):
                quick_daemon.reach(f"{drive.node.name}: queued: ")
            go.touch()
            for drive in (stale, raw, used):
                quick_daemon.wait(drive, "published", published="measured")
            ends = [line.split()[2] for line in quick_daemon.log.splitlines() if " settings measured in " in line]
        quick_daemon.stop()
    finally:
        (stale.queue / "max_sectors_kb").write_text(was)
    order = [f"{drive.node.name}:" for drive in (used, raw, stale)]
    assert sorted(ends) == sorted(order)
    assert ends[1:] == [name for name in order if name != ends[0]]


def test_a_drive_that_is_not_tuned_any_more_takes_its_profile_with_it(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    quick_daemon.stop()
    quick_daemon.configure(f'[[match]]\nname = "{drive.name}"\ntune = false\n', "00-before-all")
    quick_daemon.start()
    assert "excluded by [[match]]: " in quick_daemon.wait(drive, "skipped")["reason"]
    drive.pull()
    assert until(lambda: not quick_daemon.path(drive).exists()), quick_daemon.log
