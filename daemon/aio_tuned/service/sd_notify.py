"""Messages to systemd by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sdnotify import SystemdNotifier

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_ADDRESS = "NOTIFY_SOCKET"


class Notify:
    """The service manager's socket; without NOTIFY_SOCKET its methods do nothing.

    It removes NOTIFY_SOCKET from `environ`, so that child processes cannot send messages for the daemon. `watchdog_s`
    is the interval in seconds at which watchdog() must be called, None if systemd does not require it.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.pop(_ADDRESS, "")
        self._notifier = _connected(address) if address else None
        self._status = ""
        self.watchdog_s = _watchdog_s(environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", ""))

    def ready(self) -> None:
        """Report that the daemon has started or reloaded."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Send one line for `systemctl status`, if it differs from the last one."""
        line = " ".join(text.split())  # a newline would end the assignment
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def reloading(self) -> None:
        """Report that the configuration is being read again; ready() reports the end."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Extend the time limit for starting or stopping to so many seconds from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def watchdog(self) -> None:
        """Report that the daemon is alive."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; later messages are not sent."""
        if self._notifier and self._notifier.socket:
            self._notifier.socket.close()
        self._notifier = None

    def _send(self, state: str) -> None:
        if self._notifier:
            # systemd accepts UTF-8 only; sdnotify encodes as Latin-1, and drops a message that it cannot encode.
            self._notifier.notify(state.encode("utf-8", "replace").decode("latin-1"))


def _connected(address: str) -> SystemdNotifier:
    """Return a notifier for the address; sdnotify takes it only from the process's environment."""
    os.environ[_ADDRESS] = address
    try:
        return SystemdNotifier()
    finally:
        del os.environ[_ADDRESS]


def _watchdog_s(usec: str, pid: str) -> float | None:
    """Return half of systemd's limit in seconds, so that a call may be late; None if it is for another process."""
    if not (usec.isascii() and usec.isdigit() and int(usec)) or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2e6
