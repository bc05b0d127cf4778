"""The process that holds a lock, with real processes and the kernel's own list."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.lock_holder import find_holder

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKE = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, {kind}); print(flush=True); sys.stdin.read()"


@contextmanager
def holder(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[int]:
    """A process that holds the lock."""
    words = [sys.executable, "-c", TAKE.format(kind=kind), str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.communicate()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[int]:
    """A file in the place of a device's node."""
    (tmp_path / "node").touch()
    descriptor = os.open(tmp_path / "node", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_the_holder_is_found(node: int, tmp_path: Path, kind: int) -> None:
    with holder(tmp_path / "node", kind) as pid:
        found = find_holder(node)
    assert found.endswith(f" (process {pid})")
    assert found.startswith("python")
    assert find_holder(node) == ""


def test_an_inherited_lock_is_that_of_the_heir(node: int, tmp_path: Path) -> None:
    """As `flock DEVICE COMMAND &`, whose own process has ended."""
    script = 'exec 9< "$1"; flock 9; sleep 60 > /dev/null & echo $!'
    words = ["sh", "-c", script, "sh", str(tmp_path / "node")]
    heir = int(subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=20).stdout)
    try:
        assert find_holder(node) == f"sleep (process {heir})"
    finally:
        os.kill(heir, signal.SIGKILL)


def test_a_lock_of_another_kind_or_file_is_none(node: int, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with holder(tmp_path / "other"):
        assert find_holder(node) == ""
    with (tmp_path / "node").open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert find_holder(node) == ""


def test_a_sweep_is_called_by_its_command(node: int, tmp_path: Path) -> None:
    with holder(tmp_path / "node", fcntl.LOCK_EX) as pid:
        proc = tmp_path / "proc"
        (proc / str(pid)).mkdir(parents=True)
        (proc / "locks").write_bytes(Path("/proc/locks").read_bytes())
        (proc / str(pid) / "cmdline").write_bytes(b"/opt/bin/python3\0/opt/bin/aio-tuned\0tune\0/mnt\0")
        assert find_holder(node, proc) == f"aio-tuned (process {pid})"
        (proc / str(pid) / "cmdline").write_bytes(b"python3\0-m\0aio_tuned.service.worker\0")
        assert find_holder(node, proc) == f"aio-tuned (process {pid})"
