"""Commands and files inside the guest."""

from __future__ import annotations

import io
import shlex
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vm.rig.agent import Job
from vm.rig.errors import CommandError, RigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vm.rig.agent import Agent

# Time limits are for an idle host and only end commands that hang, so a loaded host gets this many times as long.
PATIENCE = 4.0
_CHUNK = 1 << 20


def _no_litter(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name in (".git", "__pycache__") else member


class GuestShell:
    """Commands and files of a guest that `agent` leads to."""

    agent: Agent

    def spawn(
        self,
        command: str | Sequence[str | Path],
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> Job:
        """Start a guest command: a bash line, or the words of a command. After `timeout_s` it is killed."""
        words = ["bash", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        return Job(self.agent, self.agent.send("exec", stdin, argv=words, timeout=timeout_s, env=env), command)

    def run(self, command: str | Sequence[str | Path], timeout_s: float = 60) -> Job:
        """Run a command to its end; after PATIENCE times `timeout_s` kill it with its children (status -9)."""
        limit_s = timeout_s * PATIENCE
        job = self.spawn(command, limit_s)
        job.wait(limit_s + 30)
        return job

    def sh(self, command: str | Sequence[str | Path], timeout_s: float = 60) -> str:
        """Run a command that must succeed, and return its standard output."""
        job = self.run(command, timeout_s)
        if job.status:
            raise CommandError(command, job.status, job.out + job.err)
        return job.out

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> None:
        """Create a guest file."""
        data = data.encode() if isinstance(data, str) else data
        for offset in range(0, max(len(data), 1), _CHUNK):
            chunk = data[offset : offset + _CHUNK]
            self.agent.call("put", chunk, path=path, offset=offset, mode=None if offset else mode)

    def read(self, path: str) -> bytes:
        """Return the content of a guest file."""
        found = bytearray()
        while True:
            head, body = self.agent.call("get", path=path, offset=len(found), size=_CHUNK)
            found += body
            if not body or len(found) >= head["size"] > 0:
                return bytes(found)

    def push(self, source: Path, path: str) -> None:
        """Copy a host file, or a directory's contents, to the guest."""
        if source.is_file():
            self.write(path, source.read_bytes(), source.stat().st_mode & 0o777)
            return
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(source, arcname=".", filter=_no_litter)
        self.write("/tmp/.push.tar", packed.getvalue())
        where = shlex.quote(path)
        self.sh(f"mkdir -p {where} && tar -xf /tmp/.push.tar --no-same-owner -C {where} && rm /tmp/.push.tar", 300)

    def udev_monitor(self, *subsystems: str) -> Job:
        """Start a job whose output() has udev's events from now on."""
        matches = [f"--subsystem-match={name}" for name in subsystems or ("block",)]
        job = self.spawn(["udevadm", "monitor", "--udev", "--property", *matches])
        end = time.monotonic() + 20 * PATIENCE
        while "UDEV - " not in job.output():
            if job.poll() is not None or time.monotonic() > end:
                raise RigError(f"udevadm monitor: {job.out} {job.err}")
            time.sleep(0.05)
        return job
