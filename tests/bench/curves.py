#!/usr/bin/env python3
"""Measure the curves by request size on simulated drives: how near they are to the truth, and what they cost.

    curves.py [--seeds 24] [--models developed|held-back|all|NAME…] [--jobs 1] [--each] [--wrong N] [--json FILE]
    curves.py --again FILE [--models …] [--each] [--wrong N]

A size is right if the published number of requests in flight is at most one doubling from the least that gives 95 % of
the size's best, and the published throughput is within 3 % of the true one with that number, on a drive as warm and as
disturbed as it was meanwhile. A p99 is right within 20 %. Curves that went over a cliff (a full SLC cache, spent
credits) have another truth, and are left out.

--each prints every model too, and --wrong the N worst sizes. With --json everything is kept for --again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before numpy is imported: with two threads a sweep takes ten times as long.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from bench import curve_tables, curve_trial
from bench.curve_trial import CurveTrial, Judged
from bench.search import chunks, names
from bench.search import run as run_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seeds that one process does at a time: few enough to keep all of them busy to the end.
_CHUNK = 4


def trials(name: str, seeds: range) -> list[CurveTrial]:
    return [curve_trial.run(name, seed) for seed in seeds]


def parsed(kept: Mapping[str, Any]) -> CurveTrial:
    """Return the trial that was kept as a table."""
    return CurveTrial(**{**kept, "judged": tuple(Judged(**each) for each in kept["judged"])})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--models", nargs="+", default=["all"], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="every model's own figures too")
    parser.add_argument("--wrong", type=int, default=0, metavar="N", help="the N worst sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything there")
    parser.add_argument("--again", type=Path, metavar="FILE", help="print the tables of a kept run")
    arguments = parser.parse_args()
    chosen = names(arguments.models)
    if arguments.again:
        found = [parsed(each) for each in json.loads(arguments.again.read_text()) if each["model"] in chosen]
    else:
        tasks = [partial(trials, name, seeds) for name in chosen for seeds in chunks(arguments.seeds, _CHUNK)]
        found = run_tasks(tasks, arguments.jobs)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in found]))
    curve_tables.tables(found, each=arguments.each, wrong=arguments.wrong)


if __name__ == "__main__":
    main()
