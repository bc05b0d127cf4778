"""Events of block devices that are added, changed and removed, from udev where it runs, else from the kernel."""

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

# The kernel drops events that do not fit; eight drives with their partitions make hundreds at once.
_BUFFER_BYTES = 8 << 20
_MAX_FAILURES = 100
# Each takes some 50 microseconds to read.
_MOST_EVENTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """What happened to a block device; `initialized` is true once udev has processed it, or without udev."""

    action: str
    sys_name: str
    device_number: str
    initialized: bool = True
    is_partition: bool = False
    diskseq: int | None = None


class EventSource(Protocol):
    """The source of events; `fileno()` is readable while some are waiting."""

    @property
    def overrun(self) -> bool:
        """Whether events were lost before the last drain().

        That call then returned all whole disks that are present, and there are no others.
        """

    @property
    def trouble(self) -> str:
        """A sentence on what keeps events from coming, or ""."""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""

    def enumerate(self) -> list[DeviceEvent]:
        """Return every whole disk that is present, with the action "add"."""

    def drain(self) -> list[DeviceEvent]:
        """Return the waiting events without blocking, or as many as are read in a moment; after a loss, enumerate()."""

    def close(self) -> None:
        """Close the descriptor."""


class UdevSource:
    """The EventSource of a real machine; `source` is "udev", or "kernel" where udev does not run.

    `trouble` is a sentence if udev does not run but should, or "". It listens from its construction on: events during
    enumerate() are in the next drain(). No object of pyudev outlives a call but the monitor.
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
        """Return the waiting events, a few hundred at most: fileno() stays readable; after a loss, enumerate().

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
            if device is None:  # not `if device`: one is a mapping, and asking for its length is deprecated
                return
            if event := self._event(device, device.action):
                yield event

    def _clear_error(self) -> None:
        """Take the socket's error.

        pyudev stops at POLLERR without reading, so it would find the same error for ever.
        """
        with self._socket() as same:
            same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _empty(self) -> None:
        """Discard what waits: after a loss the kernel drops events until its queue has been emptied once."""
        with self._socket() as same:
            same.setblocking(False)
            with suppress(OSError):  # EAGAIN at the end; a loss meanwhile is told by the next drain()
                while same.recv(1):
                    pass

    def _socket(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self.fileno()))

    def _event(self, device: Any, action: str) -> DeviceEvent | None:  # noqa: ANN401 - pyudev has no types
        """Return the event; None for a device that was removed meanwhile, or that pyudev cannot describe."""
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
        except Exception as error:  # noqa: BLE001 - of whatever kind: the other devices' events must not be lost
            _log.warning("device event not understood: %s: %r", device, error)
            return None


def _stale(control: Path) -> str:
    """Return a sentence if udev's socket is there, but nobody listens on it; "" if udev runs, or never did."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(control))
        except ConnectionRefusedError:
            return f"udev: does not run, although {control} exists; drives are found by the kernel's events; start it"
        except OSError:
            return ""  # there is no socket, or it is busy or not for us
    return ""
