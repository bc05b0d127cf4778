#!/usr/bin/env python3
"""Measure the search on simulated drives: the quality of its choices, the accuracy of its figures, and its cost.

    search.py [--seeds 24] [--models developed|held-back|all|NAME…] [--drive-tb 1 2 7.68] [--jobs 2] [--each]
              [--json FILE] [--max-transfer-ms MS] [--rivals [--rival-seeds 10]]
    search.py --again FILE [--models …] [--each]

One default sweep, read and write, of each drive model with each seed, in virtual time, with the write budget that a
drive of each of those sizes gets. Regret is the true best throughput over that of the chosen setting, less one, on a
fresh drive; the truth at level is that with the mean heat and swing of the phase. q95 is the shortfall that is
published, and held if the true one is no larger. Phases that went over a cliff (a full SLC cache, spent credits) are
left out of the intervals. --max-transfer-ms limits what a transfer takes, as the daemon does to 50 ms, so that others
wait no longer.

With --rivals other ways to search play on fresh drives with the same seeds and transfer sizes: DeepSpeed's (each
setting once, after a transfer that warms up, highest figure; for each direction, and its own way, the highest sum of
both), and sequential halving with what our sweep has spent.

With --json everything is kept, so that --again prints the tables without any sweep; --each prints every model too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before numpy is imported: with two threads a sweep takes ten times as long.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from bench import rivals, tables, trial
from fakes.simulated.models import NAMED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.rivals import Played
    from bench.trial import Trial

# Seeds that one process does at a time: few enough to keep all of them busy to the end.
_CHUNK = 10
_RIVAL_CHUNK = 2


def names(words: Sequence[str]) -> tuple[str, ...]:
    """The models that the words say, in the order in which they are listed."""
    wanted = {model.name for word in words for model in tables.THIRDS.get(word, ())}
    wanted |= {word for word in words if word not in tables.THIRDS}
    if unknown := wanted - set(NAMED):
        sys.exit(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(NAMED)}")
    return tuple(name for name in NAMED if name in wanted)


def sweeps(name: str, seeds: range, size: int, max_transfer_ns: int | None) -> list[Trial]:
    return [trial.run(name, trial.order(seed, size, max_transfer_ns), size)[0] for seed in seeds]


def contests(name: str, seeds: range, size: int, max_transfer_ns: int | None) -> list[Played]:
    """The rivals' play, against a sweep of ours with each seed: it gives the transfer sizes and the budgets."""
    return [
        played for ours in sweeps(name, seeds, size, max_transfer_ns) if ours.found for played in rivals.contest(ours)
    ]


def _call(task: partial[list[Any]]) -> list[Any]:
    return task()


def run(tasks: Sequence[partial[list[Any]]], jobs: int) -> list[Any]:
    """The results of all tasks, in their order whatever `jobs` is."""
    found: list[Any] = []
    with multiprocessing.Pool(jobs) as pool:
        for done, each in enumerate(pool.imap(_call, tasks), start=1):
            found += each
            if sys.stderr.isatty():
                print(f"\r{done}/{len(tasks)}", end="" if done < len(tasks) else "\n", file=sys.stderr, flush=True)
    return found


def chunks(seeds: int, size: int) -> Iterator[range]:
    return (range(first, min(first + size, seeds)) for first in range(0, seeds, size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--models", nargs="+", default=["all"], metavar="NAME")
    parser.add_argument("--drive-tb", nargs="+", type=float, default=[1, 2, 7.68], metavar="TB")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--max-transfer-ms", type=float, metavar="MS")
    parser.add_argument("--rivals", action="store_true", help="other ways to search, on the same drives")
    parser.add_argument("--rival-seeds", type=int, default=10, help="with so many of the seeds")
    parser.add_argument("--each", action="store_true", help="every model's own figures too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything there")
    parser.add_argument("--again", type=Path, metavar="FILE", help="print the tables of a kept run")
    arguments = parser.parse_args()
    chosen = names(arguments.models)
    limit_ns = int(arguments.max_transfer_ms * 1e6) if arguments.max_transfer_ms else None
    sizes = [int(each * trial.TB) for each in arguments.drive_tb]
    played: list[Played] = []
    if arguments.again:
        kept = json.loads(arguments.again.read_text())
        found = [trial.parsed(each) for each in kept["trials"] if each["model"] in chosen]
        played = [rivals.parsed(each) for each in kept["played"] if each["model"] in chosen]
    else:
        found = run(
            [
                partial(sweeps, name, seeds, size, limit_ns)
                for size in sizes
                for name in chosen
                for seeds in chunks(arguments.seeds, _CHUNK)
            ],
            arguments.jobs,
        )
        if arguments.rivals:
            seeds = min(arguments.seeds, arguments.rival_seeds)
            played = run(
                [
                    partial(contests, name, some, sizes[0], limit_ns)
                    for name in chosen
                    for some in chunks(seeds, _RIVAL_CHUNK)
                ],
                arguments.jobs,
            )
    if arguments.json:
        kept = {"trials": [asdict(each) for each in found], "played": [asdict(each) for each in played]}
        arguments.json.write_text(json.dumps(kept))
    tables.tables(found, each=arguments.each)
    if played:
        tables.rivalry(found, played, each=arguments.each)


if __name__ == "__main__":
    main()
