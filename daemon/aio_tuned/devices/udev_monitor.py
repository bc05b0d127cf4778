"""Events of added, changed and removed block devices, from udev if it runs, else from the kernel."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyudev

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

# The kernel drops events beyond this; eight drives with their partitions cause hundreds at once.
_BUFFER_BYTES = 8 << 20
_MAX_FAILURES = 100
# Reading an event takes about 50 microseconds, so the caller is blocked for 13 ms at most.
_MOST_EVENTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """An event of a block device; `initialized` is true once udev has processed it, or without udev."""

    action: str
    sys_name: str
    device_number: str
    initialized: bool = True
    is_partition: bool = False
    diskseq: int | None = None


class EventSource(Protocol):
    """The source of events; `fileno()` is readable while events are waiting."""

    @property
    def overrun(self) -> bool:
        """Whether events were lost before the last drain().

        That call then returned all whole disks that are present; any other disk was removed.
        """

    @property
    def trouble(self) -> str:
        """The problem that keeps events from arriving, or ""."""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""

    def enumerate(self) -> list[DeviceEvent]:
        """Return every whole disk that is present, with the action "add"."""

    def drain(self) -> list[DeviceEvent]:
        """Return waiting events without blocking, a limited number at once; after a loss, return enumerate()."""

    def close(self) -> None:
        """Close the descriptor."""


class UdevSource:
    """The EventSource of a real machine; `source` is "udev", or "kernel" if udev is not running.

    `trouble` is the problem if udev should run and does not, or "". Events are received from construction on, so those
    during enumerate() are in the next drain(). The monitor is the only object of pyudev that outlives a call.
    """

    def __init__(self, control: Path = Path("/run/udev/control"), buffer_bytes: int = _BUFFER_BYTES) -> None:
        self.trouble = _stale(control)
        self.source = "udev" if control.exists() and not self.trouble else "kernel"
        self.overrun = False
        self._context = pyudev.Context()
        self._monitor = pyudev.Monitor.from_netlink(self._context, self.source)
        # Partitions too: their events show that a disk's partition table has changed.
        self._monitor.filter_by("block")
        with suppress(OSError):  # EPERM without CAP_NET_ADMIN: the default size is kept
            self._monitor.set_receive_buffer_size(buffer_bytes)
        self._monitor.start()

    def fileno(self) -> int:
        """Return the descriptor of the netlink socket."""
        number: int = self._monitor.fileno()
        return number

    def enumerate(self) -> list[DeviceEvent]:
        """Return every whole disk that is present, with the action "add"."""
        found = self._context.list_devices(subsystem="block", DEVTYPE="disk")
        return [event for device in found if (event := self._event(device, "add"))]

    def drain(self) -> list[DeviceEvent]:
        """Return 256 waiting events at most, so that fileno() may stay readable; after a loss, return enumerate().

        Raise OSError if the socket keeps failing.
        """
        self.overrun = False
        events = list(islice(self._waiting(), _MOST_EVENTS))
        if not self.overrun:
            return events
        self._empty()
        return self.enumerate()

    def close(self) -> None:
        """Close the socket; no other method may be called afterwards."""
        del self._monitor  # pyudev closes it with its last reference

    def _waiting(self) -> Iterator[DeviceEvent]:
        failures = 0
        while True:
            try:
                device = self._monitor.poll(timeout=0)
            except OSError:  # ENOBUFS, or a message that libudev cannot read
                failures += 1
                if failures > _MAX_FAILURES:
                    raise
                self.overrun = True
                self._clear_error()
                continue
            if device is None:  # not `if device`: a device is a mapping, whose length is deprecated
                return
            if event := self._event(device, device.action):
                yield event

    def _clear_error(self) -> None:
        """Clear the socket's error.

        pyudev stops at POLLERR without reading the error, so it would find the same one at every poll.
        """
        with self._socket() as same:
            same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _empty(self) -> None:
        """Discard all waiting events: after a loss the kernel drops events until its queue has been emptied once."""
        with self._socket() as same:
            same.setblocking(False)
            with suppress(OSError):  # EAGAIN at the end; the next drain() reports a loss in between
                while same.recv(1):
                    pass

    def _socket(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self.fileno()))

    def _event(self, device: Any, action: str) -> DeviceEvent | None:  # noqa: ANN401 - pyudev has no types
        """Return the event; None for a device that has been removed, or that pyudev cannot describe."""
        try:
            number = device.device_number
            if not number:
                return None
            diskseq = device.properties.get("DISKSEQ", "")
            return DeviceEvent(
                action=action,
                sys_name=device.sys_name,
                device_number=f"{os.major(number)}:{os.minor(number)}",
                initialized=self.source == "kernel" or device.is_initialized,
                is_partition=device.device_type == "partition",
                diskseq=int(diskseq) if diskseq.isdigit() else None,
            )
        except Exception as error:  # noqa: BLE001 - any error: events of other devices must not be lost
            _log.warning("%s: device event ignored: %r", device, error)
            return None


def _stale(control: Path) -> str:
    """Return the problem if udev's socket exists but no process listens on it; "" if udev runs, or never did."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(control))
        except ConnectionRefusedError:
            return f"udev: not running, although {control} exists; drives are found by kernel events; start udev"
        except OSError:
            return ""  # the socket is missing, busy, or not accessible
    return ""
