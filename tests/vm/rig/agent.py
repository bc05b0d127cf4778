"""The host's half of the control channel; guest/agent.py describes its messages."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from vm.rig.errors import RigError

if TYPE_CHECKING:
    from pathlib import Path

Reply = tuple[dict[str, Any], bytes]


class Agent:
    """A thread-safe connection to the guest's agent."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(path))
        self.cond = threading.Condition()
        self.wlock = threading.Lock()
        self.replies: dict[int, Reply] = {}
        self.next_id = 0
        self.closed = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _exact(self, size: int) -> bytes:
        buffer = bytearray()
        while len(buffer) < size:
            chunk = self.sock.recv(min(size - len(buffer), 1 << 20))
            if not chunk:
                raise OSError("closed")
            buffer += chunk
        return bytes(buffer)

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                head = json.loads(self._exact(struct.unpack(">I", self._exact(4))[0]))
                body = self._exact(head["n"])
                with self.cond:
                    self.replies[head["id"]] = (head, body)
                    self.cond.notify_all()
        with self.cond:
            self.closed = True
            self.cond.notify_all()

    def send(self, op: str, body: bytes = b"", **arguments: object) -> int:
        with self.cond:
            self.next_id += 1
            ident = self.next_id
        raw = json.dumps({"op": op, "id": ident, "n": len(body), **arguments}).encode()
        with self.wlock:
            self.sock.sendall(struct.pack(">I", len(raw)) + raw + body)
        return ident

    def result(self, ident: int, timeout_s: float | None) -> Reply | None:
        """Return the reply to request `ident`, or None if it does not arrive in time."""
        with self.cond:
            self.cond.wait_for(lambda: ident in self.replies or self.closed, timeout_s)
            if ident not in self.replies:
                if self.closed:
                    raise RigError("control channel closed (guest stopped?)")
                return None
            head, body = self.replies.pop(ident)
        if "error" in head:
            raise RigError(f"guest agent: {head['error']}")
        return head, body

    def call(self, op: str, body: bytes = b"", **arguments: object) -> Reply:
        reply = self.result(self.send(op, body, **arguments), 60)
        if reply is None:
            raise RigError(f"guest agent: no reply to {op} in 60 s")
        return reply

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.sock.close()


class Job:
    """A guest command running in the background."""

    def __init__(self, agent: Agent, ident: int, command: object) -> None:
        self.agent = agent
        self.ident = ident
        self.command = command
        self.status: int | None = None
        self.out = ""
        self.err = ""
        self.timed_out = False

    def poll(self, timeout_s: float | None = 0) -> int | None:
        """Return the exit status, or None while the command runs."""
        if self.status is None:
            reply = self.agent.result(self.ident, timeout_s)
            if reply is not None:
                head, body = reply
                self.out = body[: head["out"]].decode(errors="replace")
                self.err = body[head["out"] :].decode(errors="replace")
                self.timed_out = head["timed_out"]
                self.status = head["rc"]
        return self.status

    def output(self) -> str:
        """Return the standard output so far."""
        if self.poll() is not None:
            return self.out
        head, body = self.agent.call("peek", job=self.ident, offset=0)
        if not head["running"]:
            self.poll(10)
            return self.out
        return body.decode(errors="replace")

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.poll() is None:
            self.agent.call("kill", job=self.ident, sig=int(number))

    def wait(self, timeout_s: float | None = 60) -> int:
        """Wait and return the exit status; raise without killing the command if the time runs out."""
        status = self.poll(timeout_s)
        if status is None:
            raise RigError(f"guest command still running after {timeout_s} s: {self.command}")
        return status
