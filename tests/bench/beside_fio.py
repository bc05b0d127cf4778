"""Processes of aio-sweep and fio that do the same, and what they read: a block device, a file or memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.helper.process import find

if TYPE_CHECKING:
    from collections.abc import Iterator

SPAN = 1 << 30
TRANSFER = 256 << 20
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")


@dataclass(frozen=True)
class Case:
    engine: str
    block_size: int
    queue_depth: int
    threads: int
    overlap: bool
    is_random: bool = False

    def __str__(self) -> str:
        size = f"{self.engine}, {'random ' if self.is_random else ''}{self.block_size >> 10}K"
        if self.engine == "psync":
            return f"{size}, {self.threads} thread(s)"
        mode = "overlap, single" if self.overlap else "sequential, batch"
        return f"{size}, depth {self.queue_depth}, {self.threads} thread(s), {mode}"


@contextlib.contextmanager
def memory_device() -> Iterator[str]:
    """A loop device with 4 KiB blocks over a file in memory."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="aio-tuned-bench-") as backing:
        os.posix_fallocate(backing.fileno(), 0, SPAN)
        made = subprocess.run(
            ["losetup", "--direct-io=on", "-b", "4096", "-f", "--show", backing.name],
            check=True,
            capture_output=True,
            text=True,
        )
        device = made.stdout.strip()
        try:
            yield device
        finally:
            subprocess.run(["losetup", "-d", device], check=True)


@contextlib.contextmanager
def file_in(directory: str) -> Iterator[str]:
    """A file full of incompressible bytes."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".aio-tuned-bench-") as file:
        for _ in range(SPAN >> 24):
            file.write(os.urandom(1 << 24))
        file.flush()
        os.fsync(file.fileno())
        yield file.name


@contextlib.contextmanager
def huge_pages(count: int) -> Iterator[None]:
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text(str(count))
    try:
        yield
    finally:
        HUGE_PAGES.write_text(before)


class Ours:
    """One aio-sweep process; its counts are of the requests alone, not of its start."""

    def __init__(self, device: str, small_buffer: dict[str, str], wrap: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [
                *wrap,
                str(find()),
                f"--{'device' if Path(device).is_block_device() else 'file'}={device}",
                f"--span-bytes={SPAN}",
                f"--max-transfer-bytes={TRANSFER}",
                "--drop-caches=never",
                # small_buffer.c takes the place of a mapping that is whole huge pages.
                "--buffer=hugetlb",
                "--protocol=2",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | small_buffer,
        )
        self.missing = {name: why for name, why in self._next("hello")["engines"].items() if why}
        self.count = 0

    def _next(self, kind: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message: dict[str, Any] = json.loads(line)
            if message["type"] == kind:
                return message
            if message["type"] != "tick":
                sys.exit(f"aio-sweep: {line}")
        sys.exit("aio-sweep ended")

    def point(self, case: Case, words: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.count += 1
        self.process.stdin.write(
            f"point id={self.count} op=read block_size={case.block_size} queue_depth={case.queue_depth}"
            f" io_parallelism={case.threads} overlap_events={int(case.overlap)} single_submit={int(case.overlap)}"
            f" transfer_bytes={TRANSFER} engine={case.engine}"
            f" access={'random' if case.is_random else 'sequential'} {words}\n"
        )
        self.process.stdin.flush()
        return self._next("point")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def fio_words(device: str, case: Case) -> list[str]:
    share = SPAN // case.threads
    # Random places are anywhere in the file for each thread, as ours are.
    places = [f"--size={SPAN}"] if case.is_random else [f"--offset_increment={share}", f"--size={share}"]
    words = [
        "fio",
        "--name=bench",
        f"--filename={device}",
        "--readonly",
        f"--rw={'randread' if case.is_random else 'read'}",
        "--direct=1",
        f"--ioengine={case.engine}",
        "--mem=mmaphuge",
        "--thread",
        f"--bs={case.block_size}",
        f"--iodepth={case.queue_depth}",
        f"--numjobs={case.threads}",
        *places,
        "--invalidate=0",
        "--group_reporting",
        "--output-format=json",
    ]
    if not case.overlap:
        depth = case.queue_depth
        words += [f"--iodepth_batch_{what}={depth}" for what in ("submit", "complete_min", "complete_max")]
        words.append("--iodepth_low=0")
    return words


def fio(device: str, case: Case, words: list[str], wrap: tuple[str, ...] = ()) -> dict[str, Any]:
    done = subprocess.run(
        [*wrap, *fio_words(device, case), *words], capture_output=True, text=True, check=True, cwd="/tmp"
    )
    document: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return document


@contextlib.contextmanager
def small_buffer_library() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/small_buffer.so"
        source = Path(__file__).with_name("small_buffer.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, str(source), "-ldl"], check=True)
        yield library


def small_buffer(library: str, case: Case) -> dict[str, str]:
    """The environment in which ours has no more memory than fio has for the case, in whole huge pages."""
    in_flight = case.block_size * case.queue_depth * case.threads
    window = 1 << max(21, (in_flight - 1).bit_length())
    return {"LD_PRELOAD": library, "SMALL_BUFFER_BYTES": str(window)}
