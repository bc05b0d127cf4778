"""A scratch file is given up before others run out of space. PROTOCOL.md §1."""

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
    """Takes space at 1 GB/s, as a checkpoint does that is written that fast, until `bytes` are taken.

    It allocates without writing, so that it is as fast on a slow machine. `least` is the least free space that it has
    seen while the scratch file was there, `error` the error that ended it, and `given_up_s` how long after the space
    had become too little it came back.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self.least = free_bytes(path)
        self.error: OSError | None = None
        self.given_up_s: float | None = None
        self._ended = Event()
        self._thread = Thread(target=self._write)

    def _write(self) -> None:
        descriptor = os.open(self._path / "checkpoint", os.O_RDWR | os.O_CREAT)
        began, low_at, done, free = time.monotonic(), 0.0, 0, self.least
        try:
            while done < self._size_bytes and not self._ended.is_set():
                os.posix_fallocate(descriptor, done, STEP)
                done += STEP
                now, before = time.monotonic(), free
                free = free_bytes(self._path)
                if self.given_up_s is None:
                    self.least = min(self.least, free)
                if free < MIN_FREE and not low_at:
                    low_at = now
                if low_at and self.given_up_s is None and free > before:
                    self.given_up_s = now - low_at
                time.sleep(max(0.0, began + done / BYTES_PER_S - now))
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
    """It takes all but what the filesystem needs itself, whatever the helper does meanwhile."""
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
            # The fill is over in less time than the space: it begins again until there is none.
            while helper.receive()["type"] == "hello":
                helper.finish()
                helper = start(*arguments(place))
            code = helper.process.wait(30)
        else:
            message = helper.receive()
            assert (message["type"], message["op"]) == ("error", "space")
            assert "the scratch file was deleted" in message["message"]
            code = helper.process.wait(30)
    print(f"{doing}: {writer.least / 1e6:.0f} MB left at least, given up after {writer.given_up_s or 0:.3f} s")
    assert code == 75
    assert writer.error is None
    assert writer.least > 0 if doing == "fill" else writer.least > MIN_FREE // 2
    assert free_bytes(place) >= 16 * MIB


def test_a_file_that_would_leave_too_little_is_not_begun(start: StartHelper, place: Path) -> None:
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
