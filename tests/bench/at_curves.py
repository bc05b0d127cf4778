#!/usr/bin/env python3
"""Consumers at the numbers that the curves give: fio's random reads, KvikIO's threads, Run:ai's depth.

    at_curves.py DIRECTORY [--profile FILE] [--rounds 15] [--seconds 1.0] [--only fio,kvikio,runai]

Without --profile `aio-tuned tune DIRECTORY` comes first. On one file of 1 GiB in DIRECTORY:

- fio: `randread` and aio-sweep at six points of the curves, with equal memory, in random order in each round. Printed
  are the ratios of the published figure and of aio-sweep's in this run to fio's, with a 95 % interval.
- KvikIO (its package as tests/consumers/packages.py installs it): one read and one write of the whole file with the
  exported threads, with half and with double, in random order in each round; the ratios to the exported number.
- Run:ai Model Streamer: a model of 1 GiB loaded with the exported depth, with half, with double and with its default,
  and the depth and chunk that its log reports.

Needs root, fio, and free memory for huge pages (reserved while it runs).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import toml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.beside_fio import (
    SPAN,
    Case,
    Ours,
    file_in,
    fio,
    huge_pages,
    small_buffer,
    small_buffer_library,
)
from bench.tuned import tune
from bench.vs_fio import in_turns, ratio
from consumers.packages import package_python
from consumers.stubs import library
from consumers.test_real_kvikio import DRIVER, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

# Sizes that consumers of each engine use: KV pages, tasks, chunks.
POINTS = (
    *(("psync", size) for size in (64 << 10, 512 << 10, 4 << 20)),
    *(("io_uring", size) for size in (64 << 10, 1 << 20, 8 << 20)),
)

KVIKIO = r"""
import json, sys, time
import numpy as np, kvikio, kvikio.defaults
data = np.random.default_rng(1).integers(0, 256, int(sys.argv[2]), dtype=np.uint8)
for line in sys.stdin:
    op, threads = json.loads(line)
    kvikio.defaults.set({"num_threads": threads})
    with kvikio.CuFile(sys.argv[1], "r+") as file:
        start = time.perf_counter()
        (file.pread if op == "read" else file.pwrite)(data).get()
        print(json.dumps(time.perf_counter() - start), flush=True)
"""

RUNAI = r"""
import json, sys, time
from runai_model_streamer import SafetensorsStreamer
with SafetensorsStreamer() as streamer:
    start = time.perf_counter()
    streamer.stream_file(sys.argv[1])
    count = sum(tensor.numel() for name, tensor in streamer.get_tensors())
    print(json.dumps([count, time.perf_counter() - start]))
"""

MODEL = r"""
import sys, torch
from safetensors.torch import save_file
random = torch.Generator().manual_seed(1)
def tensor():
    return torch.randint(0, 256, (64 << 20,), dtype=torch.uint8, generator=random)
save_file({f"t{i}": tensor() for i in range(16)}, sys.argv[1])
"""


def exported(consumer: str, directory: str, profiles: Path) -> dict[str, str]:
    """The variables that `aio-tuned export` prints."""
    words = [sys.executable, "-m", "aio_tuned", "export", consumer, directory, "--profiles", str(profiles)]
    lines = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


# --- fio -------------------------------------------------------------------------------------------------


def published(profile: dict[str, Any], engine: str, size: int) -> tuple[int, float] | None:
    """The requests in flight and the GB/s of that curve at that size."""
    curve = profile.get(f"curve_{engine}_read")
    if curve is None or size not in curve["request_bytes"]:
        return None
    at = curve["request_bytes"].index(size)
    return curve["in_flight"][at], curve["throughput_bytes_per_s"][at] / 1e9


def beside_fio(profile: dict[str, Any], directory: str, rounds: int, seconds: float) -> None:
    print("\n| point | published GB/s | aio-sweep | fio | published / fio | aio-sweep / fio (95 %) |")
    print("|---|---|---|---|---|---|")
    with huge_pages(300), small_buffer_library() as code, file_in(directory) as file:
        for engine, size in POINTS:
            if (known := published(profile, engine, size)) is None:
                print(f"({engine} at {size}: not in the profile)")
                continue
            in_flight, figure = known
            depth, threads = (1, in_flight) if engine == "psync" else (in_flight, 1)
            case = Case(engine, size, depth, threads, overlap=True, is_random=True)
            process = Ours(file, small_buffer(code, case))

            def ours(process: Ours = process, case: Case = case) -> float:
                point = process.point(case, f"min_ns={int(seconds * 1e9)}")
                return float(point["bytes"] / point["elapsed_ns"])

            def fios(case: Case = case) -> float:
                job = fio(file, case, ["--time_based", f"--runtime={seconds}s", "--ramp_time=0.2"])
                return float(job["read"]["bw_bytes"] / 1e9)

            figures = in_turns(rounds, ours, fios)
            process.close()
            own, other = map(statistics.median, figures)
            found = ratio(*figures, 0.5)
            print(f"| {case} | {figure:.2f} | {own:.2f} | {other:.2f} | {figure / other:.3f} | {found} |", flush=True)


# --- KvikIO ----------------------------------------------------------------------------------------------


def against(name: str, base: Sequence[float], others: dict[str, Sequence[float]]) -> None:
    """Print a row: the exported number's GB/s, and the others' ratios to it."""
    rest = " | ".join(str(ratio(rates, base, 0.5)) for rates in others.values())
    print(f"| {name} | {statistics.median(base):.2f} | {rest} |", flush=True)


def kvikio(directory: str, profiles: Path, rounds: int) -> None:
    python = package_python("kvikio")
    given = exported("kvikio", directory, profiles)
    threads = int(given["KVIKIO_NTHREADS"])
    print(f"\nKvikIO, exported: {threads} threads, tasks of {given['KVIKIO_TASK_SIZE']} bytes\n")
    print(f"| | {threads} threads, GB/s | {max(1, threads // 2)} threads / {threads} | {threads * 2} / {threads} | 1 |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as stubs, file_in(directory) as file:
        library(
            "".join(f"int cu{name}{v}(void){{return 0;}}" for name in DRIVER for v in VERSIONS),
            Path(stubs) / "libcuda.so.1",
        )
        extra = {"LD_LIBRARY_PATH": stubs, "KVIKIO_COMPAT_MODE": "ON"}
        process = subprocess.Popen(
            [python, "-c", KVIKIO, file, str(SPAN)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | given | extra,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        dice = random.Random(1)
        counts = [threads, max(1, threads // 2), threads * 2, 1]
        for op in ("read", "write"):
            rates: list[list[float]] = [[] for _ in counts]
            for turn in range(rounds + 1):
                for at in dice.sample(range(len(counts)), len(counts)):
                    print(json.dumps([op, counts[at]]), file=process.stdin, flush=True)
                    rate = SPAN / 1e9 / float(process.stdout.readline())
                    if turn:  # the first round is a warm-up
                        rates[at].append(rate)
            against(op, rates[0], {str(count): each for count, each in zip(counts[1:], rates[1:], strict=True)})
        process.communicate()


# --- Run:ai ----------------------------------------------------------------------------------------------


def runai(directory: str, profiles: Path, rounds: int) -> None:
    python = package_python("runai")
    given = exported("runai", directory, profiles)
    key = "RUNAI_STREAMER_FS_QUEUE_DEPTH"
    depth = int(given[key])
    ways: dict[str, dict[str, str]] = {
        "exported": given,
        "half": given | {key: str(max(3, depth // 2))},
        "double": given | {key: str(depth * 2)},
        "its default": {},
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    logged: dict[str, set[str]] = {name: set() for name in ways}
    with tempfile.TemporaryDirectory(dir=directory, prefix=".aio-tuned-bench-") as folder:
        model, log = Path(folder) / "model.safetensors", Path(folder) / "log"
        subprocess.run([python, "-c", MODEL, model], check=True)
        dice = random.Random(1)
        for _ in range(rounds):
            for name in dice.sample(list(ways), len(ways)):
                log.unlink(missing_ok=True)
                logging = {"RUNAI_STREAMER_LOG_LEVEL": "DEBUG", "RUNAI_STREAMER_LOG_FILE": str(log)}
                done = subprocess.run(
                    [python, "-c", RUNAI, model], check=True, stdout=subprocess.PIPE, text=True,
                    env=os.environ | ways[name] | logging,
                )  # fmt: skip
                count, seconds = json.loads(done.stdout.splitlines()[-1])
                rates[name].append(count / 1e9 / seconds)
                if found := re.search(r"(\w+), async io: depth (\d+) .*chunk (\d+) bytes", log.read_text()):
                    logged[name].add(f"{found[1]}, depth {found[2]}, chunk {found[3]}")
    print("\n| Run:ai | its log | GB/s | exported / this (95 %) |\n|---|---|---|---|")
    for name, each in rates.items():
        said = "; ".join(sorted(logged[name]))
        print(
            f"| {name} | {said} | {statistics.median(each):.2f} | {ratio(rates['exported'], each, 0.5)} |", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", type=lambda text: text.split(","), default=["fio", "kvikio", "runai"])
    arguments = parser.parse_args()
    with contextlib.ExitStack() as held:
        if arguments.profile is None:
            profiles = Path(held.enter_context(tempfile.TemporaryDirectory()))
            profile = tune(Path(arguments.directory), ["--out", str(profiles)]).profile
        else:
            profiles = arguments.profile.parent
            profile = toml.loads(arguments.profile.read_text())
        if "fio" in arguments.only:
            beside_fio(profile, arguments.directory, arguments.rounds, arguments.seconds)
        if "kvikio" in arguments.only:
            kvikio(arguments.directory, profiles, arguments.rounds)
        if "runai" in arguments.only:
            runai(arguments.directory, profiles, arguments.rounds)


if __name__ == "__main__":
    main()
