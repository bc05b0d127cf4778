"""QEMU's monitor."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

from vm.rig.errors import RigError

if TYPE_CHECKING:
    from pathlib import Path

Message = dict[str, Any]


class Qmp:
    """A monitor connection: command() is thread-safe; events accumulate."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise
        self.cond = threading.Condition()
        self.replies: dict[int, Message] = {}
        self.events: list[Message] = []
        self.next_id = 0
        self.closed = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.command("qmp_capabilities")

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self.sock.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                message = json.loads(line)
                with self.cond:
                    if "event" in message:
                        self.events.append(message)
                    elif "id" in message:  # else the greeting
                        self.replies[message["id"]] = message
                    self.cond.notify_all()
        with self.cond:
            self.closed = True
            self.cond.notify_all()

    def command(self, name: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Send a QMP command and return its result.

        Underscores in argument names become dashes, except for device_add, whose property names really have
        underscores.
        """
        with self.cond:
            self.next_id += 1
            ident = self.next_id
            message: Message = {"execute": name, "id": ident}
            if arguments:
                message["arguments"] = {
                    key if name == "device_add" else key.replace("_", "-"): value for key, value in arguments.items()
                }
            self.sock.sendall(json.dumps(message).encode() + b"\n")
            if not self.cond.wait_for(lambda: ident in self.replies or self.closed, 30):
                raise RigError(f"QMP {name}: no reply in 30 s")
            reply = self.replies.pop(ident, None)
        if reply is None:
            raise RigError(f"QMP {name}: QEMU has gone")
        if "error" in reply:
            raise RigError(f"QMP {name}: {reply['error']['desc']}")
        return reply["return"]

    def wait_event(self, name: str, timeout_s: float, since: int = 0, **match: object) -> Message:
        """Return the first event of that name, from index `since` on, whose data has match's items."""

        def find() -> Message | None:
            for event in self.events[since:]:
                data = event.get("data", {})
                if event["event"] == name and all(data.get(key) == value for key, value in match.items()):
                    return event
            return None

        with self.cond:
            self.cond.wait_for(lambda: find() or self.closed, timeout_s)
            event = find()
        if event is None:
            raise RigError(f"QMP: no {name} {match} in {timeout_s} s")
        return event

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.sock.close()
