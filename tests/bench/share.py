#!/usr/bin/env python3
"""What a full default sweep costs: wall time, the share of it that is measured I/O, seconds a point, and its error.

    share.py [--repeats 3] TARGET [tune options…]      # e.g. share.py /mnt/nvme --write-budget 16G

Runs `aio-tuned tune TARGET --json` as a user would, clocks the whole process from outside, and prints a Markdown table.
The error is the standard deviation between the runs' figures for one point, relative to their mean; its median over the
points is given.
"""

from __future__ import annotations

import argparse
import collections
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Rates = dict[str, float]


def run(target: str, options: list[str]) -> tuple[float, dict[str, Any], Rates]:
    """(wall seconds, evidence, GB/s by point) of one sweep."""
    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "aio_tuned", "tune", target, "--json", "--out", out, *options],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        wall = time.monotonic() - started
        document = json.loads(done.stdout)
        rates: dict[str, list[float]] = collections.defaultdict(list)
        for line in Path(document["samples_file"]).read_text().splitlines():
            sample = json.loads(line)
            request = sample["request"]
            if request["purpose"] != "calibrate":
                point = json.dumps([request["direction"], request["transfer_bytes"], request["setting"]])
                rates[point].append(sample["bytes"] / sample["elapsed_ns"])
        return wall, document["profile"]["evidence"], {key: statistics.fmean(found) for key, found in rates.items()}


def error(runs: list[Rates]) -> float:
    """Median over the points that all runs have of the relative standard deviation between them."""
    shared = set.intersection(*(set(rates) for rates in runs))
    return statistics.median(
        statistics.stdev(values) / statistics.fmean(values)
        for key in shared
        if (values := [rates[key] for rates in runs])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("target")
    arguments, options = parser.parse_known_args()
    print("| target | wall s | measured I/O s | share | points | visits | s per point | GiB read | GiB written |")
    print("|---|---|---|---|---|---|---|---|---|")
    found = []
    for _ in range(arguments.repeats):
        wall, evidence, rates = run(arguments.target, options)
        found.append(rates)
        print(
            f"| {evidence['target']} | {wall:.1f} | {evidence['io_seconds']:.1f} | {evidence['io_seconds'] / wall:.1%}"
            f" | {evidence['points_measured']} | {evidence['visits']} | {wall / evidence['points_measured']:.3f}"
            f" | {evidence['bytes_read'] / 2**30:.1f} | {evidence['bytes_written'] / 2**30:.1f} |",
            flush=True,
        )
    if len(found) > 1:
        print(f"\nerror of a point: {error(found):.2%}")


if __name__ == "__main__":
    main()
