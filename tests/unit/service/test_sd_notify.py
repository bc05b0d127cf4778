from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from aio_tuned.service.sd_notify import Notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Manager:
    """The service manager's end: a real datagram socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[bytes]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096))
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(f"@aio-tuned-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify"))
    with made.socket:
        yield made


@pytest.fixture
def notify(manager: Manager) -> Iterator[Notify]:
    made = Notify({"NOTIFY_SOCKET": manager.address})
    yield made
    made.close()


def test_each_message_is_one_datagram(manager: Manager, notify: Notify) -> None:
    notify.ready()
    notify.watchdog()
    notify.extend(2.5)
    notify.stopping()
    assert manager.heard() == [b"READY=1", b"WATCHDOG=1", b"EXTEND_TIMEOUT_USEC=2500000", b"STOPPING=1"]


def test_reloading_says_when(manager: Manager, notify: Notify) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (message,) = manager.heard()
    match = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", message)
    assert match
    assert before <= int(match[1]) <= after


def test_a_status_is_sent_when_it_changes(manager: Manager, notify: Notify) -> None:
    for text in ("idle", "idle", "sweeping", "idle"):
        notify.status(text)
    assert manager.heard() == [b"STATUS=idle", b"STATUS=sweeping", b"STATUS=idle"]


def test_a_status_is_one_line_of_utf_8(manager: Manager, notify: Notify) -> None:
    notify.status("drive\nMAINPID=1\r\tÜber ☂ \udcff\n")
    assert manager.heard() == ["STATUS=drive MAINPID=1 Über ☂ ?".encode()]


@pytest.mark.parametrize("address", [None, "", "/nowhere/to/be/found"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sdnotify leaves a socket to chance
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    notify = Notify({} if address is None else {"NOTIFY_SOCKET": address})
    notify.ready()
    notify.status("x")
    notify.reloading()
    notify.extend(1)
    notify.watchdog()
    notify.stopping()
    notify.close()


def test_a_manager_that_has_gone_harms_nobody(manager: Manager, notify: Notify) -> None:
    manager.socket.close()
    notify.ready()
    notify.watchdog()


def test_nothing_is_sent_after_close(manager: Manager, notify: Notify) -> None:
    notify.close()
    notify.ready()
    notify.close()
    assert manager.heard() == []


def test_children_get_neither_the_address_nor_the_socket(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    notify = Notify()
    shown = subprocess.run(["sh", "-c", "env; ls -l /proc/self/fd"], capture_output=True, text=True, check=True).stdout
    notify.ready()
    notify.close()
    assert "NOTIFY_SOCKET" not in shown
    assert "socket:" not in shown
    assert manager.heard() == [b"READY=1"]


def test_the_address_is_taken_out_of_the_mapping() -> None:
    environ = {"NOTIFY_SOCKET": "", "HOME": "/root"}
    Notify(environ)
    assert environ == {"HOME": "/root"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "x"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(environ: dict[str, str], expected: float | None) -> None:
    assert Notify(environ).watchdog_s == expected
