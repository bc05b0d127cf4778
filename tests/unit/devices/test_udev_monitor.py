"""Which source of events is taken; what comes from it is tested on real devices, in the daemon tier."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aio_tuned.devices.udev_monitor import UdevSource

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_socket_that_udevd_has_left_behind_is_no_udev(tmp_path: Path) -> None:
    control = tmp_path / "control"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as udevd:
        udevd.bind(str(control))
        udevd.listen()
        running = UdevSource(control)
    left = UdevSource(control)
    absent = UdevSource(tmp_path / "none")
    assert (running.source, running.trouble) == ("udev", "")
    assert left.source == "kernel"
    assert left.trouble.startswith(f"udev: not running, although {control} exists")
    assert (absent.source, absent.trouble) == ("kernel", "")
    for source in (running, left, absent):
        source.close()


class _Unreadable:
    """A device as pyudev shows one whose property is not UTF-8."""

    device_number = 1
    sys_name = "sdx"

    @property
    def properties(self) -> dict[str, str]:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    def __repr__(self) -> str:
        return "sdx"


def test_a_device_that_cannot_be_described_costs_its_own_event_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = UdevSource(tmp_path / "none")
    assert source._event(_Unreadable(), "add") is None
    assert "sdx: device event ignored" in caplog.text
    source.close()
