#!/usr/bin/env python3
"""aio-sweep beside fio, with each engine: throughput, CPU time and instructions per request, interleaved in one run.

Both move the same bytes of the same block device with the same engine, block size, depth and threads, O_DIRECT, in as
much memory on huge pages (fio: --mem=mmaphuge, block size x depth; ours: small_buffer.c). fio submits one request at a
time and waits for at least one when its queue is full: our overlap mode with single submit. With
--iodepth_batch_submit and _complete set to the depth it submits a queue and waits for all of it: our sequential mode
with batch submit. With psync, both have threads that read one block after another.

    vs_fio.py [--engines libaio,io_uring,psync] [--rounds 15] [--seconds 1.0] [--cpu-rounds 24] [--passes 24]
              [DEVICE | DIRECTORY]

It reads a block device, or a file of 1 GiB that it makes in DIRECTORY and removes again. Without one it is a loop
device over a file in memory, where the CPU copies the data.

In each round the two run in random order. Throughput: the ratio of the medians. CPU time: user and system together,
because their split is sampled by ticks, and the lower quartiles, because other processes only add to it; of passes that
are long enough for fio's truncation to whole milliseconds, whose mean of 1 ms is added. Intervals are of 95 %, by a
bootstrap over the rounds.

Prints a Markdown table. Needs root, fio, and free memory for huge pages (reserved while it runs).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.beside_fio import (
    SPAN,
    TRANSFER,
    Case,
    Ours,
    file_in,
    fio,
    huge_pages,
    memory_device,
    small_buffer,
    small_buffer_library,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ENGINES = ("libaio", "io_uring", "psync")
RESAMPLES = 2000
# fio reports user and system time in whole milliseconds, each truncated.
FIO_TRUNCATES_MS = 1.0


# Block size in KiB, depth, threads, overlap.
QUEUES = (
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
THREADS = ((4, 1), (4, 16), (16, 8), (64, 4), (128, 1), (128, 4), (128, 16), (256, 8), (512, 4), (1024, 8))


def throughput_cases(engine: str) -> list[Case]:
    """Ten settings of the engine."""
    if engine == "psync":
        return [Case(engine, block << 10, 1, threads, overlap=True) for block, threads in THREADS]
    return [Case(engine, block << 10, depth, threads, overlap) for block, depth, threads, overlap in QUEUES]


def cpu_cases(engine: str) -> list[Case]:
    """Small and large blocks, in both modes or with few and many threads."""
    if engine == "psync":
        return [Case(engine, block << 10, 1, threads, overlap=True) for block in (4, 128) for threads in (1, 16)]
    return [Case(engine, block << 10, 32, 1, overlap) for block in (4, 128) for overlap in (True, False)]


@dataclass(frozen=True)
class Ratio:
    """What we have of what fio has, with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def ratio(ours: Sequence[float], fios: Sequence[float], share: float) -> Ratio:
    """The ratio of the quantiles, and what it is in rounds drawn anew."""
    pairs = np.array([ours, fios])
    drawn = np.random.default_rng(1).integers(0, len(ours), (RESAMPLES, len(ours)))
    quantiles: NDArray[np.float64] = np.quantile(pairs[:, drawn], share, axis=2)
    low, high = np.quantile(quantiles[0] / quantiles[1], (0.025, 0.975))
    own, other = np.quantile(pairs, share, axis=1)
    return Ratio(float(own / other), float(low), float(high))


def in_turns(rounds: int, ours: Callable[[], float], fios: Callable[[], float]) -> tuple[list[float], list[float]]:
    """The figures of both, which run in random order in each round."""
    figures: tuple[list[float], list[float]] = ([], [])
    dice = random.Random(rounds)
    for _ in range(rounds):
        for which in dice.sample((0, 1), 2):
            figures[which].append((ours, fios)[which]())
    return figures


def throughput(device: str, case: Case, library: str, rounds: int, seconds: float) -> Ratio:
    process = Ours(device, small_buffer(library, case))

    def ours() -> float:
        point = process.point(case, f"min_ns={int(seconds * 1e9)}")
        return float(point["bytes"] / point["elapsed_ns"])

    def fios() -> float:
        job = fio(device, case, ["--time_based", f"--runtime={seconds}s", "--ramp_time=0.2"])
        return float(job["read"]["bw_bytes"] / 1e9)

    figures = in_turns(rounds, ours, fios)
    process.close()
    found = ratio(*figures, 0.5)
    own, other = map(statistics.median, figures)
    print(f"| {case} | {own:.2f} | {other:.2f} | {found} |", flush=True)
    return found


def cpu(device: str, case: Case, library: str, rounds: int, passes: int) -> Ratio:
    """CPU time of the same number of requests; one pass of small blocks has as many as 32 of large ones."""
    process = Ours(device, small_buffer(library, case))
    passes = 1 + passes * case.block_size // (128 << 10)

    def ours() -> float:
        point = process.point(case, f"min_transfers={passes * SPAN // TRANSFER}")
        return float((point["cpu_user_ns"] + point["cpu_system_ns"]) / 1e3 / point["requests"])

    def fios() -> float:
        job = fio(device, case, [f"--loops={passes}"])
        busy_ms = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] + FIO_TRUNCATES_MS * case.threads
        return float(busy_ms * 1e3 / job["read"]["total_ios"])

    figures = in_turns(rounds, ours, fios)
    process.close()
    found = ratio(*figures, 0.25)
    own, other = ("{1:.2f} ({0:.2f} to {2:.2f})".format(*np.quantile(each, (0, 0.25, 0.75))) for each in figures)
    print(f"| {case} | {own} | {other} | {found} |", flush=True)
    return found


def summary(name: str, found: Sequence[Ratio]) -> None:
    values = [each.value for each in found]
    print(f"\n{name}: median ratio {statistics.median(values):.3f}, from {min(values):.3f} to {max(values):.3f}")


def usable(device: str, library: str, engines: Sequence[str]) -> list[str]:
    """The engines that work here; why the others do not is printed."""
    process = Ours(device, small_buffer(library, Case("libaio", 4096, 1, 1, overlap=True)))
    process.close()
    for name in engines:
        if name in process.missing:
            print(f"({name}: {process.missing[name]})")
    return [name for name in engines if name not in process.missing]


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


def instructions(device: str, library: str, cases: Sequence[Case]) -> None:
    if shutil.which("valgrind") is None:
        print("\n(no valgrind: instructions not counted)")
        return
    print("\n| setting | aio-sweep user instructions per request | fio | ratio |")
    print("|---|---|---|---|")
    for case in cases:
        requests = TRANSFER // case.block_size

        def run_ours(wrap: tuple[str, ...], passes: int, case: Case = case) -> None:
            ours = Ours(device, small_buffer(library, case), wrap)
            ours.point(case, f"min_transfers={passes}")
            ours.close()

        def run_fio(wrap: tuple[str, ...], passes: int, case: Case = case) -> None:
            fio(device, case, [f"--io_size={TRANSFER * passes // case.threads}"], wrap)

        a, b = callgrind_instructions(run_ours, requests), callgrind_instructions(run_fio, requests)
        print(f"| {case} | {a:.0f} | {b:.0f} | {a / b:.3f} |", flush=True)


def compare(device: str, library: str, arguments: argparse.Namespace) -> None:
    engines = usable(device, library, arguments.engines.split(","))
    for engine in engines:
        print("\n| setting | aio-sweep GB/s | fio | ratio (95 %) |\n|---|---|---|---|")
        cases = throughput_cases(engine)
        summary(engine, [throughput(device, case, library, arguments.rounds, arguments.seconds) for case in cases])
    for engine in engines:
        print("\n| setting | aio-sweep CPU µs per request, lower quartile (least to upper) | fio | ratio (95 %) |")
        print("|---|---|---|---|")
        summary(
            engine,
            [cpu(device, case, library, arguments.cpu_rounds, arguments.passes) for case in cpu_cases(engine)],
        )
    if "libaio" in engines:
        instructions(device, library, cpu_cases("libaio"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--cpu-rounds", type=int, default=24)
    parser.add_argument("--passes", type=int, default=24)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as held:
        held.enter_context(huge_pages(300))
        library = held.enter_context(small_buffer_library())
        target = arguments.target
        if target is None:
            target = held.enter_context(memory_device())
        elif Path(target).is_dir():
            target = held.enter_context(file_in(target))
        compare(target, library, arguments)


if __name__ == "__main__":
    main()
