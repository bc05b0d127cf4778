"""Adapter: which block devices come, change and go, by udev where it runs, else by the kernel."""

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

# The kernel drops what does not fit, and eight drives with their partitions at once make hundreds of events.
_BUFFER_BYTES = 8 << 20
_MAX_FAILURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """What happened to a block device; `initialized` once udev has processed it, or where there is no udev."""

    action: str
    sys_name: str
    device_number: str
    initialized: bool = True
    is_partition: bool = False
    diskseq: int | None = None


class EventSource(Protocol):
    """Where events come from; `fileno()` is readable while some are waiting."""

    @property
    def overrun(self) -> bool:
        """Whether events were lost before the last drain(): it gave all whole disks there are, and no others are."""

    def fileno(self) -> int:
        """The descriptor to wait for."""

    def enumerate(self) -> list[DeviceEvent]:
        """Every whole disk that is present, as action "add"."""

    def drain(self) -> list[DeviceEvent]:
        """All events that are waiting, without ever waiting for one; after a loss, what enumerate() gives."""

    def close(self) -> None:
        """Let go of the descriptor."""


class UdevSource:
    """The EventSource of a real machine; `source` is "udev" or "kernel".

    It listens from its construction on: what comes while enumerate() is looking is in the next drain(). No object of
    pyudev outlives a call but the monitor.
    """

    def __init__(self, control: Path = Path("/run/udev/control"), buffer_bytes: int = _BUFFER_BYTES) -> None:
        self.source = "udev" if control.exists() else "kernel"
        self.overrun = False
        self._context = pyudev.Context()
        self._monitor = pyudev.Monitor.from_netlink(self._context, self.source)
        # Partitions too: that a disk's partition table has changed is seen by theirs.
        self._monitor.filter_by("block")
        with suppress(OSError):  # EPERM without CAP_NET_ADMIN: then the usual size must do
            self._monitor.set_receive_buffer_size(buffer_bytes)
        self._monitor.start()

    def fileno(self) -> int:
        """The netlink socket."""
        number: int = self._monitor.fileno()
        return number

    def enumerate(self) -> list[DeviceEvent]:
        """Every whole disk that is present, as action "add"."""
        found = self._context.list_devices(subsystem="block", DEVTYPE="disk")
        # One that goes away under libudev's eyes has no number.
        return [self._event(device, "add") for device in found if device.device_number]

    def drain(self) -> list[DeviceEvent]:
        """All events that are waiting; after a loss, what enumerate() gives.

        OSError if the socket is of no use any more.
        """
        self.overrun = False
        events = list(self._waiting())
        # Only now: until its queue was emptied once, the kernel went on dropping.
        return self.enumerate() if self.overrun else events

    def close(self) -> None:
        """Let go of the socket; nothing else may be called any more."""
        del self._monitor  # its last reference, with which pyudev closes it

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
        """Take the socket's error. pyudev stops at POLLERR without reading, so that it would find the same for ever."""
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
