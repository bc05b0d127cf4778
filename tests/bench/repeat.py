#!/usr/bin/env python3
"""Compare sweeps of one drive with each other, and with a long exhaustive reference.

    repeat.py DIRECTORY [--sweeps 5] [--tune "--write-budget 24G"] [--grid KEY=V,V…]…
              [--reference-rounds 20] [--reference-s SECONDS] [--memory] [-o FILE]

Each sweep is an `aio-tuned tune` of DIRECTORY's drive, with its own seed. The reference measures every distinct
point of the same grid once a round, reads and then writes, in a new random order and at the first sweep's transfer
size. Its rounds are spread between the sweeps, so that both see the drive, and the machine, drift alike. As many rounds
as stand between two sweeps are made by one helper process, with its own buffer and scratch file as a sweep has them:
so that the effect of their place in memory is averaged out. A measurement is as long as the first sweep's, or as
--reference-s, for the whole reference, pays for; it has one transfer at least.

Printed are, for reads and for writes: each sweep's choice; whether its published interval covers what the reference has
for that point, as it is, and with the shift that all points of that sweep have in common; and its regret, how much less
it gives than the best point. The highest of many noisy values is too high, so for each round the best is found in all
others (a regret below 0 is noise); what a choice is below the highest value is printed too. Then how many pairs of
sweeps agree on the point (the same system calls), or on points whose reference values are within 1 %; and the
same for DeepSpeed's rule, one visit a point and the highest wins, with each round as such a sweep. What stands behind ±
is a standard error.

With --memory the drive is a loop device over a file in memory, with ext4 on it. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aio_tuned.cli import main as cli_main
from aio_tuned.cli.arguments import read_config
from aio_tuned.config.load import Config, lay_grid
from aio_tuned.errors import AioTunedError
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid
from aio_tuned.search import grid as search_grid
from bench.agreement import Run, show, to_table
from bench.exhaustive import Course, Exhaustive
from bench.place import working_directory
from bench.rounds import MIN_ROUNDS
from bench.tuned import Tuned, tune

if TYPE_CHECKING:
    from collections.abc import Sequence


def configured(directory: Path, options: Sequence[str]) -> Config:
    """The configuration under which `aio-tuned tune` with those options sweeps, as far as the reference needs it."""
    parsed = cli_main.parser().parse_args(["tune", str(directory), *options])
    known = read_config(parsed)
    known = dataclasses.replace(known, grid=lay_grid(dict(parsed.grid), known.grid))
    if parsed.drop_caches is not None:
        known = dataclasses.replace(known, drop_caches=parsed.drop_caches)
    if (budget := parsed.write_budget) is not None:  # the size of the scratch file hangs on it
        known = dataclasses.replace(known, write_budget=budget, write_budget_floor=budget)
    return known


def course(direction: Direction, sweep: Tuned, grid: Grid) -> Course:
    """What the reference has to visit of a direction: all of the grid, as the sweep has visited it."""
    transfer_bytes = sweep.profile[direction]["transfer_bytes"]
    like = sweep.visits(direction)[0]["request"]
    return Course(
        direction=direction,
        transfer_bytes=transfer_bytes,
        visit_ns=like["min_ns"],
        visit_bytes=like["max_bytes"],
        # A sweep may choose the default although the grid lacks it.
        points=search_grid.points(tuple(dict.fromkeys((*search_grid.settings(grid), DEFAULT_SETTING))), transfer_bytes),
    )


def courses_of(sweep: Tuned, grid: Grid, visits_s: float | None) -> tuple[Course, ...]:
    """A course for each direction that was swept; `visits_s`, if given, are for one visit to every point."""
    found = [course(way, sweep, grid) for way in get_args(Direction) if "transfer_bytes" in sweep.profile[way]]
    if visits_s is not None:
        visit_ns = int(visits_s * 1e9 / sum(len(each.points) for each in found))
        found = [dataclasses.replace(each, visit_ns=visit_ns, visit_bytes=0) for each in found]
    return tuple(found)


async def measure(directory: Path, arguments: argparse.Namespace) -> Run:
    """Sweep, part of the rounds, sweep, …"""
    options = [*arguments.tune, *(word for values in arguments.grid for word in ("--grid", values))]
    known = configured(directory, options)
    round_s = arguments.reference_s and arguments.reference_s / arguments.reference_rounds
    dice = random.Random(arguments.seed)
    sweeps: list[Tuned] = []
    courses: tuple[Course, ...] = ()
    for number in range(arguments.sweeps):
        seed = ["--seed", str(arguments.seed + number)]
        sweeps.append(tune(directory, [*options, *seed]))
        print(f"sweep {number + 1}: {sweeps[-1].wall_s:.0f} s", file=sys.stderr)
        courses = courses or courses_of(sweeps[0], known.grid, round_s)
        due = arguments.reference_rounds * (number + 1) // arguments.sweeps
        async with await Exhaustive.start(directory, known, dice) as reference:
            while (made := len(courses[0].rounds)) < due:
                await reference.round(courses)
                print(f"round {made + 1} of {arguments.reference_rounds}", file=sys.stderr)
    return Run(sweeps=tuple(sweeps), courses=courses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sweeps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the first sweep; the others have the next ones")
    parser.add_argument("--tune", type=shlex.split, default=[], metavar="OPTIONS", help="of aio-tuned tune")
    parser.add_argument("--grid", action="append", default=[], metavar="KEY=V,V…", help="as aio-tuned tune's")
    parser.add_argument("--reference-rounds", type=int, default=20)
    parser.add_argument(
        "--reference-s", type=float, help="of the whole reference (default: visits as the first sweep's)"
    )
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="for the figures behind the tables, as JSON")
    arguments = parser.parse_args()
    if not 1 <= arguments.sweeps <= arguments.reference_rounds or arguments.reference_rounds < MIN_ROUNDS:
        parser.error(f"--reference-rounds must be {MIN_ROUNDS} and one a sweep at least, and there must be a sweep")
    try:
        with working_directory(arguments.directory, memory=arguments.memory) as directory:
            run = asyncio.run(measure(directory, arguments))
    except (AioTunedError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"repeat.py: {error}")
    if arguments.output:
        arguments.output.write_text(json.dumps(to_table(run)))
    show(run)


if __name__ == "__main__":
    main()
