#!/usr/bin/env python3
"""Our sweep beside DeepSpeed's own tuner, ds_nvme_tune: seconds a point, and how far two samples of a point differ.

    vs_deepspeed.py DIRECTORY --deepspeed VENV [--repeats 3] [--transfer 256M]

VENV is a virtual environment with torch and deepspeed in which the async_io operator has been built once. Both tune the
same eight settings, read and write, in DIRECTORY with the same bytes a transfer, turn by turn, so that a machine that
speeds up or slows down meets both. The error is the standard deviation between the runs' figures for one point,
relative to their mean; its median over the points is printed. ds_nvme_tune takes one sample a point, after one
warm-up. ds_nvme_tune runs `sudo`, which must be installed.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Key = tuple[Any, ...]
GRID = {
    "block_size": ("256K", "1M"),
    "queue_depth": (8, 32),
    "io_parallelism": (1, 2),
    "overlap_events": (True,),
    "single_submit": (False,),
}
BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int:
    return int(text[:-1]) * BYTES[text[-1]] if text[-1] in BYTES else int(text)


def ours(directory: str, transfer: str) -> tuple[float, int, dict[Key, float]]:
    """(wall seconds, points, GB/s by point) of one run of ours."""
    with tempfile.TemporaryDirectory() as out:
        conf = Path(out) / "bench.conf"
        conf.write_text(f'[sweep]\ntransfer_bytes = "{transfer}"\nspan_bytes = "{transfer}"\n')
        words = [sys.executable, "-m", "aio_tuned", "--config", str(conf), "tune", directory, "--json", "--out", out]
        for key, values in GRID.items():
            words += ["--grid", f"{key}={','.join(str(value).lower() for value in values)}"]
        words += ["--time-budget", "8s", "--write-budget", "64G"]
        started = time.monotonic()
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        wall = time.monotonic() - started
        document = json.loads(done.stdout)
        rates: dict[Key, list[float]] = collections.defaultdict(list)
        for line in Path(document["samples_file"]).read_text().splitlines():
            sample = json.loads(line)
            request = sample["request"]
            if request["purpose"] == "calibrate":
                continue
            setting = request["setting"]
            point: Key = (
                request["direction"],
                setting["block_size"],
                setting["queue_depth"],
                setting["io_parallelism"],
            )
            rates[point].append(sample["bytes"] / sample["elapsed_ns"])
    return wall, len(rates), {key: statistics.fmean(found) for key, found in rates.items()}


def deepspeed(directory: str, transfer: str, venv: Path, extensions: str) -> tuple[float, int, dict[Key, float]]:
    """(wall seconds, points, GB/s by point) of one run of ds_nvme_tune."""
    environment = os.environ | {
        "DS_ACCELERATOR": "cpu",
        "TORCH_EXTENSIONS_DIR": extensions,
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
    }
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sweep.json"
        config.write_text(
            json.dumps(
                {
                    "block_size": list(GRID["block_size"]),
                    "queue_depth": list(GRID["queue_depth"]),
                    "io_parallel": list(GRID["io_parallelism"]),
                    "sequential_requests": [False],
                    "single_submit": [False],
                }
            )
        )
        logs = Path(folder) / "logs"
        started = time.monotonic()
        done = subprocess.run(
            [
                f"{venv}/bin/ds_nvme_tune",
                *("--nvme_dir", directory, "--sweep_config", str(config)),
                *("--io_size", transfer, "--log_dir", str(logs), "--flush_page_cache"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.monotonic() - started
        if done.returncode:
            sys.exit(f"ds_nvme_tune failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        rates: dict[Key, float] = {}
        for log in logs.rglob("*.txt"):
            speed = re.search(r"E2E (?:Read|Write) Speed\D*([\d.]+)", log.read_text())
            if speed:
                rates[log.stem,] = float(speed[1])
    return wall, len(rates), rates


def error(runs: list[dict[Key, float]]) -> float:
    """Median over points of the relative standard deviation between runs."""
    spreads = [
        statistics.stdev(values) / statistics.fmean(values)
        for key in runs[0]
        if len(values := [run[key] for run in runs if key in run]) == len(runs)
    ]
    return statistics.median(spreads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--deepspeed", type=Path, required=True)
    parser.add_argument("--extensions", default=str(Path("~/.cache/torch_extensions").expanduser()))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--transfer", default="256M")
    arguments = parser.parse_args()
    mine, theirs = [], []
    for _ in range(arguments.repeats):
        mine.append(ours(arguments.directory, arguments.transfer))
        theirs.append(deepspeed(arguments.directory, arguments.transfer, arguments.deepspeed, arguments.extensions))
    print("| | wall s | points | s per point | error of a point |")
    print("|---|---|---|---|---|")
    for name, runs in (("aio-tuned", mine), ("ds_nvme_tune", theirs)):
        wall = statistics.median(run[0] for run in runs)
        points = runs[0][1]
        print(f"| {name} | {wall:.1f} | {points} | {wall / points:.2f} | {error([run[2] for run in runs]):.2%} |")


if __name__ == "__main__":
    main()
