"""What a process does is read off /proc: this one's own, while it does what is known."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from aio_tuned.launch.verify.effect import Asked, Effect, Watch
from aio_tuned.launch.verify.table import in_effect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 8 << 20

# Its threads have written when it says so, and live until it is told to end.
WORKER = """
import mmap, os, sys, threading
path, threads, flags = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
size = os.stat(path).st_size // threads
written, over = threading.Barrier(threads + 1), threading.Event()
def part(number):
    try:
        fd = os.open(path, os.O_WRONLY | flags)
        os.pwrite(fd, mmap.mmap(-1, size), number * size)
    except OSError:
        written.abort()
    written.wait()
    over.wait()
    os.close(fd)
print("ready", flush=True)
sys.stdin.readline()
workers = [threading.Thread(target=part, args=(number,), daemon=True) for number in range(threads)]
for worker in workers: worker.start()
written.wait()
print("done", flush=True)
sys.stdin.readline()
over.set()
"""


def observed(folder: Path, threads: int, flags: int, in_flight: Callable[[], int] = lambda: 0) -> Effect:
    path = folder / "data"
    with path.open("wb") as file:
        file.write(os.urandom(SIZE))
        file.flush()
        os.fsync(file.fileno())  # a page that is dirty already does not count as written
    words = [sys.executable, "-c", WORKER, str(path), str(threads), str(flags)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"  # reading its own files is I/O too
        watch, stop = Watch(process.pid, folder, in_flight).begin(), threading.Event()
        looking = threading.Thread(target=watch.run, args=(stop,))
        looking.start()
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "done\n"
        stop.set()
        looking.join()
        print(file=process.stdin, flush=True)
        process.wait(10)
        return watch.seen(0.0)


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_are_those_that_moved_data(tmp_path: Path, threads: int) -> None:
    found = observed(tmp_path, threads, 0)
    if found.threads is None:
        pytest.skip("this kernel or filesystem does not count the I/O of threads")
    assert found.threads == threads
    assert found.direct is False
    assert found.depth is None


def test_direct_io_is_seen_by_the_flags_of_open_files(tmp_path: Path) -> None:
    try:
        found = observed(tmp_path, 2, os.O_DIRECT, lambda: 7)
    except AssertionError:
        pytest.skip("no direct I/O in the folder of the tests")
    assert found.direct is True
    assert found.bypasses_cache
    assert found.most_in_flight == 7


DIRECT = Asked(threads=4, depth=16, direct=True)


@pytest.mark.parametrize(
    ("asked", "seen", "told"),
    [
        (
            DIRECT,
            Effect(threads=4, depth=16, direct=True, cached=0.0, most_in_flight=30),
            "O_DIRECT in effect; 4 threads; 16 requests in each thread's queue; up to 30 requests at the drive",
        ),
        (
            DIRECT,
            Effect(threads=1, depth=8, direct=True, cached=0.5, most_in_flight=2),
            (
                "O_DIRECT set, but not in effect: 50% of the data in the page cache; 1 thread instead of 4;"
                " 8 requests in each thread's queue instead of 16; up to 2 requests at the drive"
            ),
        ),
        (
            DIRECT,
            Effect(threads=3, depth=None, direct=True, cached=0.0, most_in_flight=9, ended=True),
            (
                "O_DIRECT in effect; at least 3 threads of 4; 16 requests in each thread's queue asked for, not"
                " observable; up to 9 requests at the drive"
            ),
        ),
        (
            Asked(threads=2, depth=None, direct=False),
            Effect(threads=None, depth=None, direct=False, cached=1.0, most_in_flight=3),
            "through the page cache; 2 threads asked for, not observable; up to 3 requests at the drive",
        ),
    ],
)
def test_what_is_not_as_asked_is_told(asked: Asked, seen: Effect, told: str) -> None:
    assert "; ".join(in_effect(asked, seen)) == told
