"""The scratch file is deleted before other processes run out of space. PROTOCOL.md §1, --min-free-bytes."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB, StartHelper, point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from storage import Filesystem

SPAN = 256 * MIB
MIN_FREE = 300 * MIB
GIB = 1 << 30
BYTES_PER_S = 10**9
STEP = 10 * 10**6


def free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class Writer:
    """A process that takes space at 1 GB/s, like a fast checkpoint.

    It allocates without writing, so that a slow drive does not slow it down. `least` is the least free space while the
    scratch file existed, `error` the error that ended it, and `deleted_s` the time from too little free space to the
    deletion of the scratch file.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self.least = free_bytes(path)
        self.error: OSError | None = None
        self.deleted_s: float | None = None
        self._ended = Event()
        self._thread = Thread(target=self._write)

    def _write(self) -> None:
        descriptor = os.open(self._path / "checkpoint", os.O_RDWR | os.O_CREAT)
        due, low_at, done, free = time.monotonic(), 0.0, 0, self.least
        try:
            while done < self._size_bytes and not self._ended.is_set():
                os.posix_fallocate(descriptor, done, STEP)
                done += STEP
                now, before = time.monotonic(), free
                free = free_bytes(self._path)
                if self.deleted_s is None:
                    self.least = min(self.least, free)
                if free < MIN_FREE and not low_at:
                    low_at = now
                if low_at and self.deleted_s is None and free > before:
                    self.deleted_s = now - low_at
                # What it loses while the machine is busy it does not make up for: that would be a faster writer.
                due = max(due, now) + STEP / BYTES_PER_S
                time.sleep(max(0.0, due - time.monotonic()))
        except OSError as error:
            self.error = error
        finally:
            os.close(descriptor)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._thread.join()


@pytest.fixture
def place(filesystem: Callable[..., Filesystem]) -> Path:
    return filesystem("ext4", 3 * GIB).path


def arguments(path: Path) -> list[str]:
    sizes = [f"--span-bytes={SPAN}", f"--max-transfer-bytes={64 * MIB}"]
    return [f"--scratch={path}", *sizes, "--allow-write", f"--min-free-bytes={MIN_FREE}"]


@pytest.mark.parametrize("doing", ["fill", "idle", "read", "write"])
def test_a_writer_of_a_gigabyte_a_second_does_not_run_out_of_space(start: StartHelper, place: Path, doing: str) -> None:
    """The writer takes all space except 32 MiB, in each phase of the helper."""
    before = free_bytes(place)
    writer = Writer(place, before - 32 * MIB)
    helper = start(*arguments(place))
    if doing != "fill":
        assert helper.receive()["type"] == "hello"
    if doing in ("read", "write"):
        deep = {"block_size": MIB, "queue_depth": 32, "io_parallelism": 2, "transfer_bytes": 64 * MIB}
        helper.send(point(op=doing, min_ns=60 * 10**9, **deep))
    with writer.running():
        if doing == "fill":
            # A fill takes less time than the writer: repeat it until there is no space.
            while helper.receive()["type"] == "hello":
                helper.finish()
                helper = start(*arguments(place))
            code = helper.process.wait(30)
        else:
            message = helper.receive()
            assert (message["type"], message["op"]) == ("error", "space")
            assert "the scratch file was deleted" in message["message"]
            code = helper.process.wait(30)
    print(f"{doing}: {writer.least / 1e6:.0f} MB free at the least, deleted after {writer.deleted_s or 0:.3f} s")
    assert code == 75
    assert writer.error is None
    assert writer.least > 0 if doing == "fill" else writer.least > MIN_FREE // 2
    assert free_bytes(place) >= 16 * MIB


def test_a_file_that_would_leave_too_little_is_not_created(start: StartHelper, place: Path) -> None:
    with (place / "hog").open("wb") as hog:
        os.posix_fallocate(hog.fileno(), 0, free_bytes(place) - SPAN - MIN_FREE + 8 * MIB)
    before = free_bytes(place)
    code, error = start(*arguments(place)).fail()
    assert (code, error["op"]) == (75, "space")
    assert "too few for a scratch file" in error["message"]
    assert free_bytes(place) == before


def test_a_file_that_leaves_enough_is_kept(start: StartHelper, place: Path) -> None:
    with (place / "hog").open("wb") as hog:
        os.posix_fallocate(hog.fileno(), 0, free_bytes(place) - SPAN - MIN_FREE - 64 * MIB)
    helper = start(*arguments(place))
    helper.receive()
    assert helper.ask(point(op="write", min_ns=10**8))["type"] == "point"
    time.sleep(0.2)
    assert helper.ask(point())["type"] == "point"
    assert helper.finish()[0] == 0
