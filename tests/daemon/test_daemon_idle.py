"""What the daemon takes while it has nothing to do, and what it tells the service manager."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.mount_monitor import MountWatch
from aio_tuned.devices.udev_monitor import UdevSource
from daemon.daemon_process import ENDLESS
from processes import PATIENCE_S, sleeps, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive

WINDOW_S = 4.0
# Less than the watchdog waits for.
WATCHDOG_S = 1.8


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()  # socket addresses are short
        self.address = f"{self._folder.name}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(PATIENCE_S)

    def listen(self, text: str) -> str:
        """Wait for the next message with that text; "" if it does not come."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                said = self._socket.recv(4096).decode()
            except TimeoutError:
                break
            if text in said:
                return said
        return ""

    def close(self) -> None:
        self._socket.close()
        self._folder.cleanup()


@pytest.fixture
def manager(quick_daemon: Daemon) -> Iterator[Manager]:
    """Listens to `quick_daemon`."""
    made = Manager()
    quick_daemon.environment["NOTIFY_SOCKET"] = made.address
    yield made
    made.close()


def resident_mib(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def processor_s(process: int) -> float:
    """Read for how many seconds the process has kept a processor busy."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Events:
    """What happens to any disk or mount of this machine: the daemon must look whether it is its business."""

    def __init__(self) -> None:
        self._source, self._mounts = UdevSource(), MountWatch()

    def count(self, seconds: float) -> int:
        """Count them over that time."""
        found, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._source.fileno(), self._mounts.fileno()], [], [], left)[0]:
                found += len(self._source.drain()) + self._mounts.changed()
        return found

    def close(self) -> None:
        self._source.close()
        self._mounts.close()


@pytest.fixture
def events() -> Iterator[Events]:
    made = Events()
    yield made
    made.close()


def test_an_idle_daemon_sleeps_and_is_small(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], events: Events
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert until(lambda: quick_daemon.workers() == set())

    def is_quiet() -> bool:
        """Whether it wakes up for events alone: twice for each, and some may be on their way."""
        before = sleeps(quick_daemon.pid)
        happened = events.count(WINDOW_S)
        return sleeps(quick_daemon.pid) - before <= 2 * happened

    # At first it writes its last status, and there may be an event at the very edge of the time.
    assert any(is_quiet() for _ in range(8))
    assert len(list(Path(f"/proc/{quick_daemon.pid}/task").iterdir())) == 1
    assert resident_mib(quick_daemon.pid) < 40


def test_it_is_ready_soon(quick_daemon: Daemon, manager: Manager) -> None:
    """It takes less than half a second of a processor, or four times as much as what it must import takes here.

    Beside other work the same instructions take up to twice as long, and more so at one moment than at the next.
    """
    before = imports_s()
    quick_daemon.start(ready=False)
    assert manager.listen("READY=1"), quick_daemon.log
    took = processor_s(quick_daemon.pid)
    quick_daemon.stop()
    assert took < max(0.5, 4 * max(before, imports_s()))


def imports_s() -> float:
    """What the least that a daemon must import takes here, in seconds of a processor."""
    program = "import asyncio, pyudev, time\nprint(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)


def test_the_service_manager_is_told(
    quick_daemon: Daemon, manager: Manager, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.environment |= {"WATCHDOG_USEC": "2000000", "FAKE_AIO_SWEEP": '{"pause_s": 0.2}'}
    quick_daemon.configure(ENDLESS)
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start(ready=False)
    assert manager.listen("READY=1")
    assert re.search(r": read: .*%", manager.listen(f"STATUS={drive.node.name}: read: "))
    # A machine that is slow for a moment delays a beat; too long a pause delays them all.
    beats: list[float] = []
    while len(beats) < 2 or beats[-1] - beats[-2] >= WATCHDOG_S:
        assert len(beats) < 10, beats
        assert manager.listen("WATCHDOG=1")
        beats.append(time.monotonic())
    assert quick_daemon.process
    quick_daemon.process.send_signal(signal.SIGHUP)
    assert manager.listen("RELOADING=1\nMONOTONIC_USEC=")
    assert manager.listen("READY=1")
    quick_daemon.stop()
    assert manager.listen("STOPPING=1")
