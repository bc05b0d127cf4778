#!/usr/bin/env python3
"""Measure the cost of a full default sweep: wall time, the share of measured I/O, seconds per setting, and the error.

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
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tuned import Tuned, tune

Rates = dict[str, float]


def rates(tuned: Tuned) -> Rates:
    """GB/s by point."""
    found: dict[str, list[float]] = collections.defaultdict(list)
    for direction in ("read", "write"):
        for visit in tuned.visits(direction):
            request = visit["request"]
            point = json.dumps([direction, request["transfer_bytes"], request["setting"]])
            found[point].append(visit["bytes"] / visit["elapsed_ns"])
    return {key: statistics.fmean(values) for key, values in found.items()}


def error(runs: list[Rates]) -> float:
    """Median over the points that all runs have of the relative standard deviation between them."""
    shared = set.intersection(*(set(run) for run in runs))
    return statistics.median(
        statistics.stdev(values) / statistics.fmean(values) for key in shared if (values := [run[key] for run in runs])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("target", type=Path)
    arguments, options = parser.parse_known_args()
    print("| target | wall s | measured I/O s | share | points | visits | s per point | GiB read | GiB written |")
    print("|---|---|---|---|---|---|---|---|---|")
    found = []
    for _ in range(arguments.repeats):
        tuned = tune(arguments.target, options)
        wall, evidence = tuned.wall_s, tuned.profile["evidence"]
        found.append(rates(tuned))
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
