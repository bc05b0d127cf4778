"""Folders that cannot be written: the daemon says so, tries again, and measures nothing twice."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

import storage
from aio_tuned.service.write_ledger import ledger_path
from aio_tuned.storage import append_log
from daemon.loop_drive import MIB
from processes import seeing_helper, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive


PAGE = 4096
GIB = 1 << 30


def mount_over(folder: Path, *options: str) -> None:
    """A tmpfs in the place of the folder."""
    folder.mkdir(exist_ok=True)
    storage.run("mount", "-t", "tmpfs", "-o", ",".join(("size=256k", *options)), "aio-tuned-test", folder)


def fill(folder: Path) -> Path:
    """Leave no room in it."""
    path = folder / "somebody-elses-data"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return path


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_profiles_are_published_once_there_is_room(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], how: str
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    mount_over(quick_daemon.profiles, *(("ro",) if how == "read-only" else ()))
    try:
        data = fill(quick_daemon.profiles) if how == "full" else None
        quick_daemon.start()
        found = quick_daemon.wait(drive, "published")
        assert (found["published"], found["profile"]) == ("", ""), "readers find none"
        (trouble,) = quick_daemon.status()["troubles"]
        assert str(quick_daemon.profiles) in trouble
        assert ("No space left" if how == "full" else "Read-only") in trouble
        assert f"! {trouble}" in quick_daemon.run("status").stdout
        assert not list(quick_daemon.profiles.glob("*.toml"))
        if data:
            data.unlink()
        else:
            storage.run("mount", "-o", "remount,rw", quick_daemon.profiles)
        assert until(lambda: quick_daemon.profile(drive).get("state") == "measured"), quick_daemon.log
        quick_daemon.wait(drive, "published", published="measured")
        assert until(lambda: quick_daemon.status()["troubles"] == [])
        assert quick_daemon.sweeps() == 1
        assert [path.name for path in quick_daemon.profiles.iterdir()] == [f"{drive.name}.toml"]
        quick_daemon.stop()
    finally:
        quick_daemon.kill()
        storage.unmount(quick_daemon.profiles)


def test_a_full_state_folder_loses_no_measurement(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    mount_over(quick_daemon.state)
    try:
        data = fill(quick_daemon.state)
        quick_daemon.start()
        quick_daemon.wait(drive, "published", published="measured")
        assert quick_daemon.profile(drive)["state"] == "measured", "readers do not need the state folder"
        assert str(quick_daemon.state) in str(quick_daemon.status()["troubles"])
        data.unlink()
        kept = quick_daemon.state / "profiles" / f"{drive.name}.toml"
        assert until(kept.exists), quick_daemon.log
        assert until(lambda: quick_daemon.status()["troubles"] == []), quick_daemon.status()
        quick_daemon.stop()
        quick_daemon.start()
        quick_daemon.wait(drive, "published", published="measured")
        assert quick_daemon.sweeps() == 0
        quick_daemon.stop()
    finally:
        quick_daemon.kill()
        storage.unmount(quick_daemon.state)


def written_bytes(drive: LoopDrive) -> int:
    """What was ever written to it since it was plugged in, as the kernel counts."""
    return int(drive.queue.with_name("stat").read_text().split()[6]) * 512


def is_refused(daemon: Daemon, drive: LoopDrive) -> bool:
    """Whether a sweep that was asked for has to wait; until then another is, since a small one may still be noted."""
    found = daemon.drive(drive)
    if found["stage"] == "published":
        assert daemon.run("retune", "--force", drive.name).returncode == 0
    return bool(found["next_try"])


def test_nothing_is_written_that_cannot_be_noted(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    """Neither to a drive that was never swept, nor after a sweep, a restart or another folder's loss."""
    drive = loop_drive()
    daemon.configure('[throttle]\nwrite_budget_per_day = "800M"')
    daemon.watch(drive)
    drive.plug()
    drive.format()
    mount_over(daemon.state)
    try:
        with storage.mount_in(tmp_path, drive.node):
            data = fill(daemon.state)
            storage.run("sync", "-f", tmp_path)
            before = written_bytes(drive)
            daemon.start()
            trouble = f"{daemon.state}/written.journal: bytes written to drives cannot be recorded: No space"
            found = daemon.wait(drive, "queued")
            assert until(lambda: daemon.drive(drive)["reason"].startswith(trouble)), daemon.log
            assert "free space there" in daemon.drive(drive)["reason"]
            assert found["written_today_bytes"] == 0
            assert daemon.sweeps() == 0
            assert written_bytes(drive) - before < 4 * MIB, "the filesystem's own, and no scratch file"
            data.unlink()
            first = daemon.wait(drive, "published", published="measured")["written_today_bytes"]
            assert 0 < first <= 800 * MIB
            fill(daemon.state)
            for _ in range(2):
                assert until(lambda: is_refused(daemon, drive)), daemon.log
                assert daemon.drive(drive)["written_today_bytes"] <= 800 * MIB
                daemon.stop()
                daemon.start()
                daemon.wait(drive, "published", published="measured")
                assert daemon.sweeps() == 0
            assert written_bytes(drive) - before < 804 * MIB
            daemon.stop()
    finally:
        daemon.kill()
        storage.unmount(daemon.state)


@pytest.mark.parametrize("swept", [False, True], ids=["never swept", "swept before"])
def test_a_read_only_state_folder_is_the_reason_that_is_named(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path, *, swept: bool
) -> None:
    drive, daemon = loop_drive(), quick_daemon
    daemon.watch(drive)
    drive.plug()
    drive.format()
    mount_over(daemon.state)
    try:
        with storage.mount_in(tmp_path, drive.node):
            if swept:
                daemon.start()
                daemon.wait(drive, "published", published="measured")
                daemon.stop()
            storage.run("mount", "-o", "remount,ro", daemon.state)
            daemon.start()
            if swept:
                daemon.wait(drive, "published")
                assert daemon.run("retune", "--force", drive.name).returncode == 0
            trouble = f"{daemon.state}/written.journal: bytes written to drives cannot be recorded: Read-only"
            assert until(lambda: daemon.drive(drive).get("reason", "").startswith(trouble)), daemon.log
            assert "make it writable" in daemon.drive(drive)["reason"]
            assert "space" not in daemon.drive(drive)["reason"]
            daemon.stop()
    finally:
        daemon.kill()
        storage.unmount(daemon.state)


def test_a_sweep_ends_where_its_next_write_cannot_be_noted(
    daemon: Daemon, loop_drive: Callable[..., LoopDrive], tmp_path: Path
) -> None:
    drive = loop_drive()
    daemon.watch(drive)
    drive.plug()
    drive.format()
    mount_over(daemon.state)
    try:
        # A page of the ledger is full but for the scratch file's entry, and there will be no other page.
        hour = int(time.time() // 3600)
        taken = sum(len(append_log._line({"id": name, "hour": hour, "bytes": GIB})) for name in ("", drive.name))
        entry: dict[str, object] = {"id": "x" * (PAGE - taken), "hour": hour, "bytes": 1}
        append_log.rewrite(ledger_path(daemon.state), [entry])
        with storage.mount_in(tmp_path, drive.node):
            storage.run("sync", "-f", tmp_path)
            before = written_bytes(drive)
            full = tmp_path / "full"
            daemon.helper = seeing_helper(tmp_path, f"until [ -e {full} ]; do sleep 0.02; done")
            daemon.start()
            daemon.reach(": sweeping: scratch file")
            fill(daemon.state)
            full.touch()
            found = daemon.wait(drive, "queued")
            assert "cannot be recorded: No space left on device; free space there" in found["reason"]
            assert daemon.sweeps() == 1
            assert 0 < written_bytes(drive) - before < found["written_today_bytes"] + 4 * MIB
            daemon.stop()
    finally:
        daemon.kill()
        storage.unmount(daemon.state)


def test_a_profile_that_readers_have_outlives_a_full_state_folder(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    mount_over(quick_daemon.state)
    try:
        data = fill(quick_daemon.state)
        quick_daemon.start()
        quick_daemon.wait(drive, "published", published="measured")
        was = quick_daemon.path(drive).read_bytes()
        quick_daemon.stop()
        for _ in range(2):
            quick_daemon.start()
            assert quick_daemon.path(drive).read_bytes() == was
            quick_daemon.wait(drive, "published", published="measured")
            assert quick_daemon.sweeps() == 0
            assert quick_daemon.path(drive).read_bytes() == was
            quick_daemon.stop()
        data.unlink()
        quick_daemon.start()
        kept = quick_daemon.state / "profiles" / f"{drive.name}.toml"
        assert until(kept.exists), "the catalog has it once there is room"
        assert kept.read_bytes() == was
        quick_daemon.stop()
    finally:
        quick_daemon.kill()
        storage.unmount(quick_daemon.state)


def test_folders_that_are_not_there_are_made(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    for key in ("profiles", "state", "runtime"):
        quick_daemon.configure(f'[paths]\n{key} = "{quick_daemon.folder}/a/b/{key}"')
    quick_daemon.profiles = quick_daemon.folder / "a/b/profiles"
    quick_daemon.runtime = quick_daemon.folder / "a/b/runtime"
    before = os.umask(0o077)
    try:
        quick_daemon.start()
    finally:
        os.umask(before)
    drive.plug()
    quick_daemon.wait(drive, "published", published="measured")
    assert quick_daemon.profiles.stat().st_mode & 0o777 == 0o755, "for every reader"
    assert quick_daemon.path(drive).stat().st_mode & 0o777 == 0o644
    assert (quick_daemon.runtime / "status.json").stat().st_mode & 0o777 == 0o644
    assert (quick_daemon.runtime / "control.sock").stat().st_mode & 0o777 == 0o600
