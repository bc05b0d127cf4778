#!/usr/bin/env python3
"""The search over simulated drives: how good its choices are, how far its figures can be trusted, what it costs.

    search.py [--seeds 200] [--models developed|held-back|all|NAME…] [--jobs 2] [--each] [--json FILE]
    search.py --again FILE [--models …] [--each]

One full default sweep, read and write, of each drive model with each seed, in virtual time. Regret is the true best
throughput over that of the chosen setting, less one, on a fresh drive; the truth at level is that with the mean heat
and swing of the phase. With --json everything is kept, so that --again prints the tables without any sweep; --each
prints every model too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aio_tuned.model import Direction
from bench import scores, trial
from fakes.simulated.models import DEVELOPED_WITH, HELD_BACK, MODELS, NAMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.scores import Spread
    from bench.trial import Trial

THIRDS = {"developed": DEVELOPED_WITH, "held-back": HELD_BACK, "all": MODELS}
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
GIB = 1 << 30
# Seeds that one process does at a time: small enough to keep all of them busy to the end.
_CHUNK = 10


def names(words: Sequence[str]) -> tuple[str, ...]:
    """The models that the words say, in the order in which they are listed."""
    wanted = {model.name for word in words for model in THIRDS.get(word, ())}
    wanted |= {word for word in words if word not in THIRDS}
    if unknown := wanted - set(NAMED):
        sys.exit(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(NAMED)}")
    return tuple(name for name in NAMED if name in wanted)


def sweeps(name: str, seeds: range) -> list[Trial]:
    return [trial.run(name, seed)[0] for seed in seeds]


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


def chunks(seeds: int) -> Iterator[range]:
    return (range(first, min(first + _CHUNK, seeds)) for first in range(0, seeds, _CHUNK))


def groups(found: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of the models developed with, of those held back, and all; what is empty is left out."""
    found = list(found)
    of_third = {third: [each for each in found if NAMED[each.model] in models] for third, models in THIRDS.items()}
    return {third: trials for third, trials in of_third.items() if trials}


def each_model(found: Iterable[Trial]) -> dict[str, list[Trial]]:
    of_model: dict[str, list[Trial]] = {}
    for each in found:
        of_model.setdefault(each.model, []).append(each)
    return of_model


def percent(value: float) -> str:
    return f"{value:.2%}"


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|")


def header(*cells: str) -> None:
    print()
    row(*cells)
    print("|" + "---|" * len(cells))


def quality(of_group: dict[str, list[Trial]]) -> None:
    header(
        "models",
        "direction",
        "sweeps",
        "regret: mean",
        "median",
        "p95",
        "worst",
        "at 256 MiB: mean",
        "p95",
        "within 1 %",
        "same program",
        "within 1 % of each other",
        "settled",
        "ties",
    )
    for group, trials in of_group.items():
        for direction in DIRECTIONS:
            regret = scores.of_direction(trials, direction, lambda found: found.regret)
            if not regret:
                continue
            own = scores.spread(regret)
            configured = scores.spread(scores.of_direction(trials, direction, lambda found: found.regret_configured))
            good = scores.of_direction(trials, direction, lambda found: found.share >= 1 - scores.ALIKE)
            pairs = scores.agreement(scores.picks(trials, direction))
            row(
                group,
                direction,
                sum(map(len, regret.values())),
                *map(percent, (own.mean, own.median, own.p95, own.most, configured.mean, configured.p95)),
                f"{scores.mean(good):.1%}",
                f"{pairs.same:.1%}",
                f"{pairs.alike:.1%}",
                f"{scores.mean(scores.of_direction(trials, direction, lambda found: found.settled)):.1%}",
                f"{scores.mean(scores.of_direction(trials, direction, lambda found: found.ties)):.0f}",
            )


def honesty(of_group: dict[str, list[Trial]]) -> None:
    header(
        "models",
        "direction",
        "phases",
        "covers the truth at level",
        "covers the fresh truth",
        "half width",
        "|drift|",
        "noise",
        "left out: behind a cliff",
        "of models",
        "transfer, MiB",
    )
    for group, trials in of_group.items():
        for direction in DIRECTIONS:
            if not scores.of_direction(trials, direction, lambda found: found.regret):
                continue
            covered = scores.coverage(trials, direction)
            transfers = scores.of_direction(trials, direction, lambda found: found.transfer_bytes)
            row(
                group,
                direction,
                covered.phases,
                f"{covered.level:.1%}",
                f"{covered.fresh:.1%}",
                percent(covered.half_width),
                percent(scores.mean(scores.of_direction(trials, direction, lambda found: abs(found.drift)))),
                percent(scores.mean(scores.of_direction(trials, direction, lambda found: found.noise))),
                covered.cliffs,
                covered.cliff_models,
                f"{scores.mean(transfers) / 2**20:.0f}",
            )


def _cells(found: Spread, digits: int) -> list[str]:
    return [f"{value:.{digits}f}" for value in (found.mean, found.p95, found.most)]


def cost(of_group: dict[str, list[Trial]]) -> None:
    header(
        "models",
        *("I/O s: mean", "p95", "most"),
        *("wall s: mean", "p95", "most"),
        *("GiB written: mean", "p95", "most"),
        "GiB read",
        "visits",
        "Python ms",
    )
    for group, trials in of_group.items():
        whole = [each for each in trials if each.found]
        if not whole:
            continue
        io_s = scores.by_model(whole, lambda each: sum(found.io_s for found in each.found))
        read = scores.of_direction(whole, "read", lambda found: found.bytes / GIB)
        row(
            group,
            *_cells(scores.spread(io_s), 1),
            *_cells(scores.spread(scores.by_model(whole, lambda each: each.wall_s)), 1),
            *_cells(scores.spread(scores.by_model(whole, lambda each: each.written_bytes / GIB)), 1),
            f"{scores.mean(read):.1f}",
            f"{scores.mean(scores.by_model(whole, lambda each: sum(found.visits for found in each.found))):.0f}",
            f"{scores.mean(scores.by_model(whole, lambda each: each.cpu_s)) * 1e3:.0f}",
        )


def tables(found: Sequence[Trial], *, each: bool) -> None:
    for of_group in (groups(found), *([each_model(found)] if each else [])):
        quality(of_group)
        honesty(of_group)
        cost(of_group)
    if failed := [one for one in found if one.error]:
        print(f"\n{len(failed)} sweeps failed, the first ({failed[0].model}, seed {failed[0].seed}): {failed[0].error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--models", nargs="+", default=["all"], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--each", action="store_true", help="every model's own figures too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything there")
    parser.add_argument("--again", type=Path, metavar="FILE", help="print the tables of a kept run")
    arguments = parser.parse_args()
    chosen = names(arguments.models)
    if arguments.again:
        kept = json.loads(arguments.again.read_text())
        found = [trial.parsed(each) for each in kept["trials"] if each["model"] in chosen]
    else:
        tasks = [partial(sweeps, name, seeds) for name in chosen for seeds in chunks(arguments.seeds)]
        found = run(tasks, arguments.jobs)
    if arguments.json:
        arguments.json.write_text(json.dumps({"trials": [asdict(each) for each in found]}))
    tables(found, each=arguments.each)


if __name__ == "__main__":
    main()
