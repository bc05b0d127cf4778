"""What makes a profile stale, and what the administrator changes while the daemon runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from daemon.daemon_process import FAKE, Daemon
from daemon.loop_drive import LoopDrive
from processes import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """The attribute in /sys is that meanwhile; it outlives the loop device otherwise."""
    before = path.read_text()
    if "[" in before:
        before = before.partition("[")[2].partition("]")[0]
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def another(path: Path) -> str:
    """A value that the attribute does not have now."""
    if path.name == "scheduler":
        others = [word for word in path.read_text().split() if "[" not in word]
        if not others:
            pytest.skip("this kernel has one I/O scheduler only")
        return others[0]
    return str(int(path.read_text()) // 2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, LoopDrive]]:
    """A running daemon and the drive that it has measured; a test leaves both as they were."""
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    daemon.helper = FAKE
    drive = LoopDrive(daemon.folder, 384 << 20)
    try:
        daemon.watch(drive)
        drive.plug()
        daemon.start()
        daemon.wait(drive, "published", published="measured")
        yield daemon, drive
    finally:
        daemon.kill()
        drive.close()


def test_a_profile_is_stale_when_a_limit_has_changed(shared: tuple[Daemon, LoopDrive]) -> None:
    quick_daemon, measured = shared
    first = quick_daemon.profile(measured)
    quick_daemon.configure("[daemon]\nsettle = 60", "90-never")
    for limit in ("scheduler", "max_sectors_kb", "nr_requests"):
        attribute = measured.queue / limit
        quick_daemon.stop()
        with changed(attribute, another(attribute)):
            quick_daemon.start()
            stale = quick_daemon.profile(measured)
            assert stale["state"] == "stale"
            assert stale["read"] == first["read"], "stale numbers are better than none"
            assert any(limit in finding for finding in stale["evidence"]["findings"])
    # And it is measured again, as soon as the drive has settled.
    attribute = measured.queue / "max_sectors_kb"
    with changed(attribute, another(attribute)):
        quick_daemon.reload()
        assert until(lambda: quick_daemon.profile(measured)["state"] == "stale"), quick_daemon.log
        quick_daemon.configure("", "90-never")
        quick_daemon.reload()
        assert until(lambda: quick_daemon.profile(measured)["state"] == "measured"), quick_daemon.log
        again = quick_daemon.profile(measured)
        assert again["fingerprint"]["max_sectors_kb"] == first["fingerprint"]["max_sectors_kb"] // 2
        assert quick_daemon.sweeps() == 1
    quick_daemon.reload()
    assert until(lambda: quick_daemon.profile(measured)["fingerprint"] == first["fingerprint"]), quick_daemon.log
    quick_daemon.wait(measured, "published", published="measured")


def test_sighup_takes_a_new_configuration(quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]) -> None:
    first, second = loop_drive(), loop_drive()
    quick_daemon.watch(first)
    first.plug()
    second.plug()
    quick_daemon.start()
    quick_daemon.wait(first, "published", published="measured")
    assert quick_daemon.drive(second) == {}
    quick_daemon.watch(second)
    quick_daemon.reload()
    quick_daemon.wait(second, "published", published="measured")
    assert quick_daemon.sweeps() == 2, "the first has not changed"
    # And now it is not wanted any more; the first rule that fits decides.
    quick_daemon.configure(f'[[match]]\nname = "{second.name}"\ntune = false\n', "00-before-all")
    quick_daemon.reload()
    assert "excluded by [[match]]: " in quick_daemon.wait(second, "skipped")["reason"]
    assert not quick_daemon.path(second).exists()
    assert quick_daemon.path(first).exists()


def test_a_wrong_configuration_changes_nothing(shared: tuple[Daemon, LoopDrive]) -> None:
    quick_daemon, measured = shared
    sweeps = quick_daemon.sweeps()
    quick_daemon.configure("[daemon]\nsettel = 1", "90-wrong")
    quick_daemon.reload()
    assert until(lambda: quick_daemon.status()["troubles"]), quick_daemon.log
    (trouble,) = quick_daemon.status()["troubles"]
    assert "configuration not reloaded: " in trouble
    assert "90-wrong.conf" in trouble
    assert "settel" in trouble
    quick_daemon.wait(measured, "published", published="measured")
    quick_daemon.configure("", "90-wrong")
    quick_daemon.reload()
    assert until(lambda: not quick_daemon.status()["troubles"])
    # Folders cannot move under a running daemon.
    quick_daemon.configure(f'[paths]\nstate = "{quick_daemon.folder}/elsewhere"', "95-moved")
    quick_daemon.reload()
    assert until(lambda: "need a restart" in str(quick_daemon.status()["troubles"]))
    quick_daemon.configure("", "95-moved")
    quick_daemon.reload()
    assert until(lambda: not quick_daemon.status()["troubles"])
    quick_daemon.wait(measured, "published", published="measured")
    assert quick_daemon.sweeps() == sweeps


def test_a_wrong_configuration_at_the_start_is_the_end(quick_daemon: Daemon) -> None:
    quick_daemon.configure("[daemon]\nsettel = 1")
    done = quick_daemon.run("daemon")
    assert done.returncode == 78
    assert "settel" in done.stderr
    assert "Traceback" not in done.stderr


def test_overrides_are_what_readers_get(shared: tuple[Daemon, LoopDrive]) -> None:
    quick_daemon, measured = shared
    sweeps = quick_daemon.sweeps()
    before = quick_daemon.profile(measured)
    override = quick_daemon.profiles / "override.d" / f"{measured.name}.toml"
    override.parent.mkdir()
    override.write_text("[read]\nqueue_depth = 7\n")
    quick_daemon.reload()
    assert until(lambda: quick_daemon.profile(measured)["read"]["queue_depth"] == 7), quick_daemon.log
    quick_daemon.wait(measured, "published", overridden=True)
    assert "with overrides" in quick_daemon.run("status").stdout
    assert override.read_text() == "[read]\nqueue_depth = 7\n"
    # A wrong one is no reason to have no profile at all.
    override.write_text("[read]\nqueue_depht = 7\n")
    quick_daemon.reload()
    assert until(lambda: "queue_depht" in str(quick_daemon.status()["troubles"])), quick_daemon.log
    assert quick_daemon.profile(measured) == before
    found = quick_daemon.wait(measured, "published")
    assert found["published"] == "measured", "its profile can be read, without the override"
    override.unlink()
    quick_daemon.reload()
    quick_daemon.wait(measured, "published", overridden=False)
    assert until(lambda: quick_daemon.status()["troubles"] == [])
    assert quick_daemon.profile(measured) == before
    assert quick_daemon.sweeps() == sweeps
