"""get, wait and explain as a user runs them, on a real filesystem."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

import storage
from aio_tuned.model.profile import Skipped
from daemon.publishing import publish
from processes import PATIENCE_S, sleeps, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from daemon.cli_process import Cli


@pytest.fixture
def drive(filesystem: Callable[..., storage.Filesystem]) -> storage.Filesystem:
    return filesystem()


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


# --- get -------------------------------------------------------------------------------------------------


def test_get(cli: Cli, drive: storage.Filesystem) -> None:
    name = publish(drive.path, cli.profiles)
    assert cli.run("get", drive.path, "--direction", "read") == (
        "block_size = 1048576\nqueue_depth = 12\nio_parallelism = 1\noverlap_events = true\nsingle_submit = false\n"
        f"# read: measured ({cli.profiles}/{name}.toml)\n"
        "# throughput: read 6.51 GB/s\n"
    )
    for key, value in (
        ("overlap_events", "true"),
        ("read.queue_depth", "12"),
        ("device.name", name),
        ("source.section", "combined"),
        ("evidence.findings", '["read: something was noticed"]'),
    ):
        assert cli.run("get", drive.path, key) == f"{value}\n"
    document = json.loads(cli.run("get", drive.path, "--json"))
    assert document["source"]["device"] == name
    assert document["queue_depth"] == 16
    assert document["write_throughput_bytes_per_s"] == 3_900_000_000


def test_get_what_is_not_there(cli: Cli, drive: storage.Filesystem) -> None:
    assert "no profile in" in cli.run("get", drive.path, code=66)
    assert "# combined: default\n" in cli.run("get", drive.path, "--default")
    assert cli.run("get", drive.path, "block_size", "--default") == "1048576\n"
    name = publish(drive.path, cli.profiles, write=Skipped(skipped="why not"))
    assert "no settings for write: why not" in cli.run("get", drive.path, "--direction", "write", code=66)
    assert "did you mean 'read.queue_depth'?" in cli.run("get", drive.path, "read.queue_dept", code=64)
    (cli.profiles / f"{name}.toml").chmod(0o666)
    assert "not trusted: " in cli.run("get", drive.path, code=65)


# --- wait ------------------------------------------------------------------------------------------------


def test_wait_for_what_is_there(cli: Cli, drive: storage.Filesystem) -> None:
    name = publish(drive.path, cli.profiles)
    assert cli.run("wait", drive.path) == f"{cli.profiles}/{name}.toml: measured ({drive.device})\n"


def test_wait_until_it_is_measured(cli: Cli, drive: storage.Filesystem) -> None:
    waiting = cli.start("wait", drive.path)
    publish(drive.path, cli.profiles, state="provisional")
    assert waiting.stderr
    assert ": provisional, not measured" in waiting.stderr.readline()
    name = publish(drive.path, cli.profiles)
    assert ended(waiting) == f"{cli.profiles}/{name}.toml: measured ({drive.device})\n"


def test_wait_for_any_state(cli: Cli, drive: storage.Filesystem) -> None:
    waiting = cli.start("wait", drive.path, "--state", "any")
    name = publish(drive.path, cli.profiles, state="stale")
    assert ended(waiting) == f"{cli.profiles}/{name}.toml: stale ({drive.device})\n"


def test_wait_for_the_folder_of_profiles(cli: Cli, drive: storage.Filesystem) -> None:
    cli.profiles.rmdir()
    waiting = cli.start("wait", drive.path)
    cli.profiles.mkdir(mode=0o755)
    publish(drive.path, cli.profiles)
    ended(waiting)


def test_wait_for_the_folder_on_it(cli: Cli, drive: storage.Filesystem) -> None:
    publish(drive.path, cli.profiles)
    waiting = cli.start("wait", drive.path / "a/b/c")
    (drive.path / "a").mkdir()
    (drive.path / "a/b/c").mkdir(parents=True)
    ended(waiting)


def test_wait_for_the_mount(
    cli: Cli, drive: storage.Filesystem, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert drive.device
    publish(drive.path, cli.profiles)
    memory, later = tmp_path / "memory", tmp_path / "memory/later"
    memory.mkdir()
    storage.run("mount", "-t", "tmpfs", "none", memory)
    request.addfinalizer(lambda: storage.unmount(memory))
    later.mkdir()
    waiting = cli.start("wait", later)
    storage.run("mount", drive.device, later)
    request.addfinalizer(lambda: storage.unmount(later))
    ended(waiting)


def test_waiting_is_no_polling(cli: Cli, drive: storage.Filesystem) -> None:
    # It wakes up when something is mounted, so others' mounts are kept from it.
    waiting = cli.start("wait", drive.path, under=("unshare", "--mount", "--propagation=private"))
    window_s = 1.0

    def is_quiet() -> bool:
        before = sleeps(waiting.pid)
        time.sleep(window_s)
        for number in range(50):  # nor is work on the drive a reason to wake up
            (drive.path / f"file{number}").touch()
        return sleeps(waiting.pid) == before

    # At first it may still be about to wait.
    assert until(is_quiet, 5 * window_s)


def test_wait_no_longer_than_that(cli: Cli, drive: storage.Filesystem) -> None:
    said = cli.run("wait", drive.path, "--timeout", "0.2s", code=75)
    assert "timed out after 0.2 s" in said
    assert "no profile in" in said
    assert "the daemon is not running" in said
    name = publish(drive.path, cli.profiles, state="stale")
    assert ": stale, not measured" in cli.run("wait", drive.path, "--timeout", "0.2s", code=75)
    (cli.profiles / f"{name}.toml").write_text("torn = [")
    assert "not valid TOML" in cli.run("wait", drive.path, code=65)


# --- explain ---------------------------------------------------------------------------------------------


def test_explain(cli: Cli, drive: storage.Filesystem) -> None:
    name = publish(drive.path, cli.profiles)
    (drive.path / "folder").mkdir()
    said = cli.run("explain", drive.path / "folder")
    assert f"filesystem: ext4, mounted at {drive.path}" in said
    assert f"profile:    {cli.profiles}/{name}.toml" in said
    assert "read: blocks of 1M, depth 12, 1 thread, overlap, batch submit" in said
    assert "6.51 GB/s (6.48 GB/s to 6.54 GB/s, 95 % confidence)" in said
    assert "40 other settings are probably as good (within 2 % of the best), of 508 measured settings" in said
    assert "10.4 % above the default setting (+9.8 to +10.9 %, 95 % confidence)" in said
    assert "! stale: firmware changed from 5B2QGXA7 to unknown" in said
    assert drive.device
    assert f"({drive.device.name})" in cli.run("explain", drive.device)
    shutil.rmtree(cli.profiles)
    assert "no such folder" in cli.run("explain", drive.path, code=66)
