"""Adapter: tells systemd how the daemon is, as sd_notify(3) has it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sdnotify import SystemdNotifier

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_ADDRESS = "NOTIFY_SOCKET"


class Notify:
    """The service manager's socket; where there is none, nothing happens.

    NOTIFY_SOCKET is taken out of `environ`: what we start must not speak for us. `watchdog_s` is how often watchdog()
    is to be called, None if nobody waits for it.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.pop(_ADDRESS, "")
        self._notifier = _connected(address) if address else None
        self._status = ""
        self.watchdog_s = _watchdog_s(environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", ""))

    def ready(self) -> None:
        """Started, or reloaded."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only if it is another than the last one."""
        line = " ".join(text.split())  # a newline would begin the next assignment
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def reloading(self) -> None:
        """The configuration is read again; ready() ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes longer: up to so many seconds from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def watchdog(self) -> None:
        """Still alive."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Let go of the socket; nothing is sent any more."""
        if self._notifier and self._notifier.socket:
            self._notifier.socket.close()
        self._notifier = None

    def _send(self, state: str) -> None:
        if self._notifier:
            # sdnotify encodes as Latin-1 and is silent where it cannot; systemd takes UTF-8 only.
            self._notifier.notify(state.encode("utf-8", "replace").decode("latin-1"))


def _connected(address: str) -> SystemdNotifier:
    """A notifier for the address, which sdnotify takes from the process's own environment and nowhere else."""
    os.environ[_ADDRESS] = address
    try:
        return SystemdNotifier()
    finally:
        del os.environ[_ADDRESS]


def _watchdog_s(usec: str, pid: str) -> float | None:
    """Half of systemd's limit, so that one call may come late; None if it is meant for another process."""
    if not (usec.isascii() and usec.isdigit() and int(usec)) or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2e6
