#!/usr/bin/env python3
"""Compare a profile's figures with those of DeepSpeed's own aio_handle: the same settings, in turns, in one run.

    fidelity.py DIRECTORY --deepspeed VENV [--tunes 10] [--rounds 20] [--points 12] [--memory]
                [--tune "--write-budget 24G"]

Each tune is a full `aio-tuned tune` of DIRECTORY's drive. Then the points (the chosen setting, DeepSpeed's default, and
others spread over the whole range of what the tune has measured) are measured again with the tune's own transfer size:
by our helper and by a real aio_handle of the DeepSpeed in VENV, in turns, setting by setting in a new random order
each round, on one file in DIRECTORY. Both have pages that were not freed a moment ago (native/src/io/recycled.h).
Printed are, for reads and writes: the rank correlation (Spearman) of the tune's figures with DeepSpeed's, of the
helper's in the same run, and of half of DeepSpeed's rounds with the other half (what noise leaves of it); the median
ratio of the tune's figures and of the helper's to DeepSpeed's; what share of the best point the chosen one reaches in
DeepSpeed's hands, with its 95 % interval; and in how many tunes that interval reaches 98 %. With --memory the drive is
a loop device over a file in memory, with ext4 on it.

VENV has torch and deepspeed; its async_io operator is built on first use (minutes). Needs root.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aio_tuned.helper.process import find
from aio_tuned.search.estimate import student_t
from bench.place import working_directory
from bench.tuned import Tuned, tune
from native.helper_process import Helper, point

if TYPE_CHECKING:
    from collections.abc import Sequence

Setting = dict[str, Any]
KEYS = ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit")
DEFAULT: Setting = dict(zip(KEYS, (1 << 20, 8, 1, True, False), strict=True))

# Runs in VENV: one aio_handle a setting, one pinned tensor; reads a line, moves the tensor, answers with the seconds.
WORKER = r"""
import json, mmap, os, sys, time
answers = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
import torch
from deepspeed.ops.op_builder import AsyncIOBuilder
aio = AsyncIOBuilder().load()
path, size = sys.argv[1], int(sys.argv[2])
handles = {}
def handle(words):
    key = tuple(words)
    if key not in handles:
        block, depth, threads, overlap, single = words
        handles[key] = aio.aio_handle(block, depth, bool(single), bool(overlap), threads)
    return handles[key]
def taken():
    # As native/src/io/recycled.c: pages that are handed out first and are not typical.
    pages, at = 0, ""
    for words in map(str.split, open("/proc/zoneinfo")):
        if words[0] == "cpu:":
            at = words[1]
        elif words[0] == "count:" and at == str(cpu):
            pages += int(words[1])
    for words in map(str.split, open("/proc/buddyinfo")):
        pages += sum(int(count) << order for order, count in enumerate(words[4:8]))
    memory = mmap.mmap(-1, max(1, pages) * mmap.PAGESIZE)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(pages):
        memory[page * mmap.PAGESIZE] = 1
    return memory
owner = handle([1 << 20, 8, 1, 1, 0])
allowed = os.sched_getaffinity(0)
cpu = min(allowed)
os.sched_setaffinity(0, {cpu})
before = [taken() for _ in range(2)]
tensor = owner.new_cpu_locked_tensor(size, torch.empty(0, dtype=torch.uint8))
del before
os.sched_setaffinity(0, allowed)
tensor.random_(0, 256)
for line in sys.stdin:
    direction, *words = json.loads(line)
    chosen = handle(words)
    start = time.perf_counter()
    move = chosen.pread if direction == "read" else chosen.pwrite
    assert move(tensor, path, False, True) != -1
    chosen.wait()
    print(json.dumps(time.perf_counter() - start), file=answers, flush=True)
"""


class DeepSpeed:
    """One process with a pinned tensor and an aio_handle for each setting."""

    def __init__(self, venv: Path, extensions: Path, path: Path, size: int) -> None:
        environment = {**os.environ, "DS_ACCELERATOR": "cpu", "TORCH_EXTENSIONS_DIR": str(extensions)}
        environment["PATH"] = f"{venv}/bin:{environment['PATH']}"
        self._process = subprocess.Popen(
            [venv / "bin/python", "-c", WORKER, path, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._size = size

    def rate(self, direction: str, setting: Setting) -> float:
        """Bytes per second of one transfer."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([direction, *(int(setting[key]) for key in KEYS)]), file=self._process.stdin, flush=True)
        return self._size / float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


class Ours:
    """One aio-sweep process on the same file."""

    def __init__(self, path: Path, size: int) -> None:
        sizes = (f"--span-bytes={size}", f"--max-transfer-bytes={size}")
        self._helper = Helper(find(), [f"--file={path}", *sizes, "--allow-write", "--drop-caches=never"])
        self._size = size
        self._next("hello")

    def _next(self, kind: str) -> dict[str, Any]:
        message = self._helper.receive()
        if message["type"] != kind:
            sys.exit(f"aio-sweep: {message}")
        return message

    def rate(self, direction: str, setting: Setting) -> float:
        """Bytes per second of one transfer."""
        words = {key: int(setting[key]) for key in KEYS}
        self._helper.send(point(op=direction, transfer_bytes=self._size, min_ns=0, min_transfers=1, **words))
        found = self._next("point")
        return float(found["bytes"] * 1e9 / found["elapsed_ns"])

    def close(self) -> None:
        self._helper.finish()


def setting_of(text: str) -> Setting:
    """A point in the words of ds_nvme_tune, with its strings for booleans and its name for the threads mended."""
    given = json.loads(text)
    given = given.get("aio", given)
    words = {"true": True, "false": False}
    given["io_parallelism"] = given.get("num_threads", given.get("intra_op_parallelism", 1))
    return {key: words.get(given[key], given[key]) if isinstance(given[key], str) else given[key] for key in KEYS}


def ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    for rank, place in enumerate(order):
        found[place] = float(rank)
    return found


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    return statistics.correlation(ranks(one), ranks(other))


class Share(NamedTuple):
    """A share of the best point, with its 95 % interval."""

    value: float
    low: float
    high: float


def fair_share(rates: list[list[float]], at: int) -> Share:
    """What share of the best point that point has.

    The highest of twelve noisy figures is too high. So the best is found in every second round, and compared in the
    others, round by round, since both then have the same minute; then the other way round.
    """
    logs, variance, rounds = [], 0.0, 0
    for parity in (0, 1):
        search = [statistics.median(each[parity::2]) for each in rates]
        best = search.index(max(search))
        pairs = zip(rates[at][1 - parity :: 2], rates[best][1 - parity :: 2], strict=True)
        ratios = [math.log(one / other) for one, other in pairs]
        logs.append(statistics.fmean(ratios))
        variance += statistics.variance(ratios) / len(ratios)
        rounds += len(ratios)
    middle, half = statistics.fmean(logs), student_t(0.95, rounds - 2) * math.sqrt(variance) / 2
    return Share(*map(math.exp, (middle, middle - half, middle + half)))


def tuned_rates(tuned: Tuned, direction: str) -> dict[str, float]:
    """Bytes per second by setting."""
    found: dict[str, list[float]] = {}
    for visit in tuned.visits(direction):
        key = json.dumps([visit["request"]["setting"][name] for name in KEYS])
        found.setdefault(key, []).append(visit["bytes"] * 1e9 / visit["elapsed_ns"])
    return {key: statistics.median(some) for key, some in found.items()}


def spread(rates: dict[str, float], given: Sequence[Setting], count: int, dice: random.Random) -> list[Setting]:
    """The points given, and others: one from each of as many slices of all points by their figures."""
    points = {json.dumps([setting[key] for key in KEYS]) for setting in given}
    ordered = sorted((key for key in rates if key not in points), key=rates.__getitem__)
    rest = count - len(points)
    picked = [dice.choice(ordered[len(ordered) * at // rest : len(ordered) * (at + 1) // rest]) for at in range(rest)]
    return [dict(zip(KEYS, json.loads(key), strict=True)) for key in (*sorted(points), *picked)]


def compare(
    direction: str, profile: dict[str, Any], rates: dict[str, float], directory: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    section = profile[direction]
    chosen = {key: section[key] for key in KEYS}
    dice = random.Random(profile["evidence"]["seed"])
    points = spread(rates, [chosen, DEFAULT, *filter(None, [arguments.also])], arguments.points, dice)
    # aio_handle wants a transfer that its threads divide; ours takes the same bytes.
    size = section["transfer_bytes"]
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".aio-tuned-bench-") as file:
        for _ in range(0, size, 1 << 22):
            file.write(os.urandom(1 << 22))
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())
        ours = Ours(Path(file.name), size)
        theirs = DeepSpeed(arguments.deepspeed, arguments.extensions, Path(file.name), size)
        mine: list[list[float]] = [[] for _ in points]
        his: list[list[float]] = [[] for _ in points]
        for turn in range(arguments.rounds + 1):
            for at in dice.sample(range(len(points)), len(points)):
                pair: list[tuple[Ours | DeepSpeed, list[list[float]]]] = [(ours, mine), (theirs, his)]
                for engine, into in pair if dice.random() < 0.5 else reversed(pair):
                    rate = engine.rate(direction, points[at])
                    if turn:  # the first round is a warm-up, as ds_nvme_tune makes one
                        into[at].append(rate)
        ours.close()
        theirs.close()
    in_run = [statistics.median(each) for each in mine]
    deepspeed = [statistics.median(each) for each in his]
    promised = [
        section["throughput_bytes_per_s"]
        if point == chosen
        else rates.get(json.dumps([point[key] for key in KEYS]), section["default_throughput_bytes_per_s"])
        for point in points
    ]
    at = points.index(chosen)
    share = fair_share(his, at)
    return {
        "direction": direction,
        "transfer_bytes": size,
        "points": points,
        "promised": promised,
        "helper": in_run,
        "deepspeed": deepspeed,
        "rank_promised": spearman(promised, deepspeed),
        "rank_helper": spearman(in_run, deepspeed),
        "ratio_promised": statistics.median(a / b for a, b in zip(promised, deepspeed, strict=True)),
        "ratio_helper": statistics.median(a / b for a, b in zip(in_run, deepspeed, strict=True)),
        "chosen_of_best": share.value,
        "chosen_of_best_ci95": (share.low, share.high),
        "chosen_of_highest": deepspeed[at] / max(deepspeed),
        "default_of_best": fair_share(his, points.index(DEFAULT)).value,
        "also_of_best": fair_share(his, points.index(arguments.also)).value if arguments.also else None,
        "rank_noise": spearman(
            [statistics.median(each[::2]) for each in his], [statistics.median(each[1::2]) for each in his]
        ),
        "spread": max(deepspeed) / min(deepspeed),
        "noise": statistics.median(statistics.stdev(each) / statistics.fmean(each) for each in his),
    }


def show(results: list[dict[str, Any]], seconds: list[float]) -> None:
    print(
        "| | ranks, DeepSpeed to itself | ranks, tune to DeepSpeed | ranks, helper to DeepSpeed | tune / DeepSpeed |"
        " helper / DeepSpeed | chosen, share of the best | half of its interval | interval reaches 98 % |"
        " within 2 % | default, share of the best | best / worst point |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for direction in ("read", "write"):
        some = [each for each in results if each["direction"] == direction]
        if not some:
            continue

        def median(key: str, some: list[dict[str, Any]] = some) -> float:
            return float(statistics.median(each[key] for each in some))

        shares = [each["chosen_of_best"] for each in some]
        if some[0]["also_of_best"] is not None:
            also = f"{median('also_of_best'):.3f} (worst {min(each['also_of_best'] for each in some):.3f})"
            print(f"\n{direction}: the other tuner's point has this share of the best: {also}\n", file=sys.stderr)
        within = sum(share >= 0.98 for share in shares)
        reaches = sum(each["chosen_of_best_ci95"][1] >= 0.98 for each in some)
        half = statistics.median((high - low) / 2 for low, high in (each["chosen_of_best_ci95"] for each in some))
        print(
            f"| {direction} | {median('rank_noise'):.2f} | {median('rank_promised'):.2f} |"
            f" {median('rank_helper'):.2f} | {median('ratio_promised'):.3f} | {median('ratio_helper'):.3f} |"
            f" {statistics.median(shares):.3f} (worst {min(shares):.3f}) | {half:.1%} | {reaches} of {len(shares)} |"
            f" {within} of {len(shares)} |"
            f" {median('default_of_best'):.3f} | {median('spread'):.1f} |"
        )
    print(f"\n{len(seconds)} tunes of {statistics.median(seconds):.0f} s each (median)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--deepspeed", type=Path, required=True)
    parser.add_argument("--extensions", type=Path, default=Path("~/.cache/torch_extensions").expanduser())
    parser.add_argument("--tunes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--also", type=setting_of, metavar="JSON", help="one point more: what ds_nvme_tune has printed")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument(
        "--tune", type=shlex.split, default=[], metavar="OPTIONS", help="further ones of aio-tuned tune"
    )
    arguments = parser.parse_args()
    results, seconds = [], []
    with working_directory(arguments.directory, memory=arguments.memory) as directory:
        for _ in range(arguments.tunes):
            tuned = tune(directory, arguments.tune)
            seconds.append(tuned.profile["evidence"]["seconds"])
            for direction in ("read", "write"):
                rates = tuned_rates(tuned, direction)
                results.append(compare(direction, tuned.profile, rates, directory, arguments))
                print(json.dumps({key: results[-1][key] for key in results[-1] if key != "points"}), file=sys.stderr)
            if arguments.output:
                arguments.output.write_text(json.dumps({"results": results, "seconds": seconds}, indent=1))
    show(results, seconds)


if __name__ == "__main__":
    main()
