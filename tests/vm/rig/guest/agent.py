"""Guest half of the rig's control channel; rig/agent.py is the other.

Speaks length-prefixed frames over the virtio-serial port named "rig.agent":

    u32 big-endian length of header | header (JSON object) | body (header["n"] bytes)

Every request carries "id"; its reply repeats it. Requests are served concurrently, one thread each, so a
long-running command never blocks another. Requests (op):
  ping                                  -> boot_id, time
  exec  argv, timeout, cwd, env; body = stdin
                                        -> rc, out (bytes of stdout), err; body = stdout + stderr
  peek  job, offset                     -> body = stdout so far, running
  kill  job, sig                        -> signals the job's process group
  put   path, offset, mode; body = data -> written (offset 0 truncates, unless mode is null)
  get   path, offset, size              -> body, size (of the file)
  time  unix                            -> sets the wall clock
Output goes to unnamed files rather than pipes: a command that leaves a daemon behind returns as soon as the
command itself ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

PORT_NAME = "rig.agent"
Head = dict[str, Any]


def find_port() -> str:
    while True:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == PORT_NAME:
                return "/dev/" + name.parent.name
        time.sleep(0.1)


def notify(text: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.connect("\0" + path[1:] if path[0] == "@" else path)
            peer.send(text.encode())


def content(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


class Agent:
    def __init__(self) -> None:
        self.fd = os.open(find_port(), os.O_RDWR | os.O_CLOEXEC)
        self.wlock = threading.Lock()
        self.jobs: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def read_exact(self, size: int) -> bytes | None:
        """`size` bytes, or None when the host end was closed part-way."""
        buffer = bytearray()
        while len(buffer) < size:
            chunk = os.read(self.fd, min(size - len(buffer), 1 << 20))
            if not chunk:
                return None
            buffer += chunk
        return bytes(buffer)

    def send(self, head: Head, body: bytes = b"") -> None:
        head["n"] = len(body)
        raw = json.dumps(head).encode()
        data = memoryview(struct.pack(">I", len(raw)) + raw + body)
        with self.wlock:
            while data:
                data = data[os.write(self.fd, data[:65536]) :]

    def serve(self) -> None:
        while True:
            raw = self.read_exact(4)
            if raw is None:
                time.sleep(0.02)  # no host connected
                continue
            packed = self.read_exact(struct.unpack(">I", raw)[0])
            if packed is None:
                continue
            head = json.loads(packed)
            body = self.read_exact(head.get("n", 0))
            if body is not None:
                threading.Thread(target=self.dispatch, args=(head, body), daemon=True).start()

    def dispatch(self, head: Head, body: bytes) -> None:
        try:
            reply, out = getattr(self, "op_" + head["op"])(head, body)
        except Exception as error:  # noqa: BLE001 - reported to the host, which raises
            reply, out = {"error": f"{type(error).__name__}: {error}"}, b""
        reply["id"] = head["id"]
        with contextlib.suppress(OSError):
            self.send(reply, out)

    def op_ping(self, _head: Head, _body: bytes) -> tuple[Head, bytes]:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return {"boot_id": boot_id, "time": time.time()}, b""

    def op_time(self, head: Head, _body: bytes) -> tuple[Head, bytes]:
        time.clock_settime(time.CLOCK_REALTIME, head["unix"])
        return {}, b""

    def op_exec(self, head: Head, body: bytes) -> tuple[Head, bytes]:
        env = {**os.environ, **(head.get("env") or {})}
        env.pop("NOTIFY_SOCKET", None)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as stdin:
            stdin.write(body)
            stdin.seek(0)
            process = subprocess.Popen(
                head["argv"],
                stdin=stdin,
                stdout=out,
                stderr=err,
                cwd=head.get("cwd") or "/root",
                env=env,
                start_new_session=True,
            )
            self.jobs[head["id"]] = (process, out)
            timed_out = False
            try:
                process.wait(head.get("timeout"))
            except subprocess.TimeoutExpired:
                timed_out = True
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            finally:
                del self.jobs[head["id"]]
            said, complained = content(out), content(err)
        return {
            "rc": process.returncode,
            "out": len(said),
            "err": len(complained),
            "timed_out": timed_out,
        }, said + complained

    def op_peek(self, head: Head, _body: bytes) -> tuple[Head, bytes]:
        job = self.jobs.get(head["job"])
        if job is None:
            return {"running": False}, b""
        return {"running": True}, os.pread(job[1].fileno(), 1 << 20, head.get("offset", 0))

    def op_kill(self, head: Head, _body: bytes) -> tuple[Head, bytes]:
        job = self.jobs.get(head["job"])
        if job is not None:
            os.killpg(job[0].pid, head.get("sig", signal.SIGTERM))
        return {"running": job is not None}, b""

    def op_put(self, head: Head, body: bytes) -> tuple[Head, bytes]:
        path = Path(head["path"])
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        if not head["offset"]:
            flags |= os.O_TRUNC
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
        try:
            done = 0
            while done < len(body):
                done += os.pwrite(descriptor, body[done:], head["offset"] + done)
            if head.get("mode") is not None:
                os.fchmod(descriptor, head["mode"])
        finally:
            os.close(descriptor)
        return {}, b""

    def op_get(self, head: Head, _body: bytes) -> tuple[Head, bytes]:
        with Path(head["path"]).open("rb") as file:
            file.seek(head["offset"])
            data = file.read(head["size"])
            return {"size": os.fstat(file.fileno()).st_size}, data


if __name__ == "__main__":
    agent = Agent()
    notify("READY=1")
    agent.serve()
