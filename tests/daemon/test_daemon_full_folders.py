"""Folders that cannot be written: the daemon says so, tries again, and measures nothing twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import storage
from daemon.processes import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive


def mount_over(folder: Path, *options: str) -> None:
    """A tmpfs in the place of the folder."""
    folder.mkdir(exist_ok=True)
    storage.run("mount", "-t", "tmpfs", "-o", ",".join(("size=64k", *options)), "aio-tuned-test", folder)


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
