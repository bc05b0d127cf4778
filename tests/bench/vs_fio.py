#!/usr/bin/env python3
"""aio-sweep beside fio: throughput, CPU time and instructions per request, interleaved in one run.

Both move the same bytes of the same block device with the same block size, depth and threads, O_DIRECT, through libaio,
from huge-page buffers (fio: --mem=mmaphuge; ours: one buffer on huge pages). fio submits one request
at a time and waits for at least one when its queue is full: our overlap mode with single submit. With
--iodepth_batch_submit and _complete set to the depth it submits a queue and waits for all of it: our sequential mode
with batch submit.

    vs_fio.py [--rounds 7] [--seconds 1.0] [DEVICE | DIRECTORY]

It reads a block device, or a file of 1 GiB that it makes in DIRECTORY and removes again. Without
one it is a loop device over a file in memory: there the CPU copies the data, and it matters most whose buffer fits its
caches: fio's is block size x depth, ours is the whole transfer, as a consumer's is. So ours is run a second time with
as little memory as fio (small_buffer.c).

Prints a Markdown table. Needs root, fio, and free memory for huge pages (reserved while it runs).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
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
    block_size: int
    queue_depth: int
    threads: int
    overlap: bool

    def __str__(self) -> str:
        mode = "overlap, single" if self.overlap else "sequential, batch"
        return f"{self.block_size >> 10}K, depth {self.queue_depth}, {self.threads} thread(s), {mode}"


THROUGHPUT_CASES = tuple(
    Case(block << 10, depth, threads, overlap)
    for block, depth, threads, overlap in (
        (4, 32, 1, True),
        (16, 32, 1, True),
        (128, 4, 1, True),
        (128, 32, 1, True),
        (128, 32, 2, True),
        (128, 32, 2, False),
        (256, 16, 2, True),
        (512, 8, 1, False),
        (1024, 8, 1, True),
        (1024, 16, 2, False),
    )
)
CPU_CASES = tuple(Case(block << 10, 32, 1, overlap) for block in (4, 128) for overlap in (True, False))


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

    def __init__(self, device: str, wrap: tuple[str, ...] = (), small_buffer: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [
                *wrap,
                str(find()),
                f"--{'device' if Path(device).is_block_device() else 'file'}={device}",
                f"--span-bytes={SPAN}",
                f"--max-transfer-bytes={TRANSFER}",
                "--drop-caches=never",
                # small_buffer.c takes the place of a mapping that is whole huge pages.
                "--buffer=hugetlb" if small_buffer else "--buffer=huge",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (small_buffer or {}),
        )
        self._next("hello")
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
            f" transfer_bytes={TRANSFER} {words}\n"
        )
        self.process.stdin.flush()
        return self._next("point")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def fio_words(device: str, case: Case) -> list[str]:
    share = SPAN // case.threads
    words = [
        "fio",
        "--name=bench",
        f"--filename={device}",
        "--readonly",
        "--rw=read",
        "--direct=1",
        "--ioengine=libaio",
        "--mem=mmaphuge",
        "--thread",
        f"--bs={case.block_size}",
        f"--iodepth={case.queue_depth}",
        f"--numjobs={case.threads}",
        f"--offset_increment={share}",
        f"--size={share}",
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


def throughput(device: str, rounds: int, seconds: float) -> None:
    """Ours with its own buffer, ours with as little memory as fio uses, and fio, in turns."""
    print("| setting | aio-sweep GB/s | with fio's memory | fio | ratio of medians | with fio's memory |")
    print("|---|---|---|---|---|---|")
    ratios: tuple[list[float], list[float]] = ([], [])
    whole = Ours(device)
    with small_buffer_library() as library:
        for case in THROUGHPUT_CASES:
            small = Ours(device, small_buffer=small_buffer(library, case))
            found: tuple[list[float], list[float], list[float]] = ([], [], [])
            for _ in range(rounds):
                for ours, rates in zip((whole, small), found, strict=False):
                    point = ours.point(case, f"min_ns={int(seconds * 1e9)}")
                    rates.append(point["bytes"] / point["elapsed_ns"])
                job = fio(device, case, ["--time_based", f"--runtime={seconds}s", "--ramp_time=0.2"])
                found[2].append(job["read"]["bw_bytes"] / 1e9)
            small.close()
            a, b, c = (statistics.median(rates) for rates in found)
            ratios[0].append(a / c)
            ratios[1].append(b / c)
            print(f"| {case} | {a:.2f} | {b:.2f} | {c:.2f} | {a / c:.3f} | {b / c:.3f} |", flush=True)
    whole.close()
    for name, values in zip(("own buffer", "fio's memory"), ratios, strict=True):
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"\n{name}: median ratio {middle:.3f}, from {low:.3f} to {high:.3f}")


def cpu(device: str, rounds: int) -> None:
    """CPU time of the same number of requests: one pass over the span with small blocks, four with large ones."""
    print("\n| setting | aio-sweep CPU µs per request | with fio's memory | fio | ratio | with fio's memory |")
    print("|---|---|---|---|---|---|")
    whole = Ours(device)
    with small_buffer_library() as library:
        for case in CPU_CASES:
            small = Ours(device, small_buffer=small_buffer(library, case))
            passes = 1 if case.block_size < 1 << 16 else 4
            found: tuple[list[float], list[float], list[float]] = ([], [], [])
            for _ in range(rounds):
                for ours, costs in zip((whole, small), found, strict=False):
                    point = ours.point(case, f"min_transfers={passes * SPAN // TRANSFER}")
                    costs.append((point["cpu_user_ns"] + point["cpu_system_ns"]) / 1e3 / point["requests"])
                job = fio(device, case, [f"--loops={passes}"])
                busy_ms = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"]
                found[2].append(busy_ms * 1e3 / job["read"]["total_ios"])
            small.close()
            a, b, c = (statistics.median(costs) for costs in found)
            print(f"| {case} | {a:.2f} | {b:.2f} | {c:.2f} | {a / c:.3f} | {b / c:.3f} |", flush=True)
    whole.close()


def callgrind_instructions(run: Any, requests: int) -> float:  # noqa: ANN401 - a callable of two shapes
    """User-space instructions per request by callgrind: a long run less a short one, so start-up is out."""
    with tempfile.TemporaryDirectory() as folder:
        counts = []
        for passes in (1, 3):
            out = f"{folder}/out.%p"
            run(("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q", "--trace-children=no"), passes)
            totals = [
                int(found[1])
                for path in Path(folder).glob("out.*")
                if (found := re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE))
            ]
            counts.append(max(totals))
            for path in Path(folder).glob("out.*"):
                path.unlink()
        return (counts[1] - counts[0]) / (2 * requests)


def instructions(device: str) -> None:
    if shutil.which("valgrind") is None:
        print("\n(no valgrind: instructions not counted)")
        return
    print("\n| setting | aio-sweep user instructions per request | fio | ratio |")
    print("|---|---|---|---|")
    for case in CPU_CASES:
        requests = TRANSFER // case.block_size

        def run_ours(wrap: tuple[str, ...], passes: int, case: Case = case) -> None:
            ours = Ours(device, wrap)
            ours.point(case, f"min_transfers={passes}")
            ours.close()

        def run_fio(wrap: tuple[str, ...], passes: int, case: Case = case) -> None:
            fio(device, case, [f"--io_size={TRANSFER * passes}"], wrap)

        a, b = callgrind_instructions(run_ours, requests), callgrind_instructions(run_fio, requests)
        print(f"| {case} | {a:.0f} | {b:.0f} | {a / b:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as held:
        held.enter_context(huge_pages(300))
        target = arguments.target
        if target is None:
            target = held.enter_context(memory_device())
        elif Path(target).is_dir():
            target = held.enter_context(file_in(target))
        throughput(target, arguments.rounds, arguments.seconds)
        cpu(target, arguments.rounds)
        instructions(target)


if __name__ == "__main__":
    main()
