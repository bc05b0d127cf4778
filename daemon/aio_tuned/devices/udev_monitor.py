"""Events of block devices that are added, changed and removed, from udev where it runs, else from the kernel."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyudev

if TYPE_CHECKING:
    from collections.abc import Iterator

# The kernel drops events that do not fit; eight drives with their partitions make hundreds at once.
_BUFFER_BYTES = 8 << 20
_MAX_FAILURES = 100


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

    def fileno(self) -> int:
        """Return the descriptor to wait for."""

    def enumerate(self) -> list[DeviceEvent]:
        """Return every whole disk that is present, with the action "add"."""

    def drain(self) -> list[DeviceEvent]:
        """Return all waiting events without blocking; after a loss, the result of enumerate()."""

    def close(self) -> None:
        """Close the descriptor."""


class UdevSource:
    """The EventSource of a real machine; `source` is "udev" or "kernel".

    It listens from its construction on: events during enumerate() are in the next drain(). No object of pyudev outlives
    a call but the monitor.
    """

    def __init__(self, control: Path = Path("/run/udev/control"), buffer_bytes: int = _BUFFER_BYTES) -> None:
        self.source = "udev" if control.exists() else "kernel"
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
        # A device that is removed during the enumeration has no number.
        return [self._event(device, "add") for device in found if device.device_number]

    def drain(self) -> list[DeviceEvent]:
        """Return all waiting events; after a loss, the result of enumerate().

        Raise OSError if the socket keeps failing.
        """
        self.overrun = False
        events = list(self._waiting())
        # Not earlier: the kernel drops events until its queue has been emptied once.
        return self.enumerate() if self.overrun else events

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
            yield self._event(device, device.action)

    def _clear_error(self) -> None:
        """Take the socket's error.

        pyudev stops at POLLERR without reading, so it would find the same error for ever.
        """
        with socket.socket(fileno=os.dup(self.fileno())) as same:
            same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _event(self, device: Any, action: str) -> DeviceEvent:  # noqa: ANN401 - pyudev has no types
        number = device.device_number
        diskseq = device.properties.get("DISKSEQ", "")
        return DeviceEvent(
            action=action,
            sys_name=device.sys_name,
            device_number=f"{os.major(number)}:{os.minor(number)}",
            initialized=self.source == "kernel" or device.is_initialized,
            is_partition=device.device_type == "partition",
            diskseq=int(diskseq) if diskseq.isdigit() else None,
        )
