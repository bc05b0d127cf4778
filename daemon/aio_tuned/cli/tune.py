"""The command tune."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from aio_tuned.cli.arguments import argument, read_config
from aio_tuned.config import parsing
from aio_tuned.config.load import GRID_KEYS, lay_grid
from aio_tuned.errors import Exit
from aio_tuned.model.measurement import DropCaches
from aio_tuned.model.profile import Effort
from aio_tuned.profiles import codec
from aio_tuned.report.terminal import progress, summary
from aio_tuned.search.threads import limit_threads


def _grid_word(text: str) -> tuple[str, list[object]]:
    key, separator, values = text.partition("=")
    if not separator or key not in GRID_KEYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE,VALUE... with KEY one of {', '.join(GRID_KEYS)}")
    words: dict[str, object] = {"true": True, "false": False}
    parsed = [words.get(word, int(word) if word.isdecimal() else word) for word in values.split(",")]
    try:
        GRID_KEYS[key](parsed)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{key}: {error}") from None
    return key, parsed


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):  # noqa: PLR2004 - the seed must fit a TOML integer
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of up to 18 digits")
    return int(text)


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    tune = commands.add_parser(
        "tune",
        help="sweep one target and publish its profile",
        description="Sweep TARGET's drive through every combination of AIO settings and publish the best."
        " Writes go to an unlinked scratch file on a mounted filesystem; a raw device is only read, unless the"
        ' configuration says raw_write = "blank" and it is blank.',
    )
    tune.add_argument("target", type=Path, metavar="TARGET", help="a directory, a file, or a block device")
    tune.add_argument("--raw", action="store_true", help="sweep the block device itself, even where it is mounted")
    tune.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the profile and the samples go (default: as configured)",
    )
    tune.add_argument(
        "--grid",
        type=_grid_word,
        action="append",
        default=[],
        metavar="KEY=V,V...",
        help="values of a parameter; repeatable",
    )
    tune.add_argument(
        "--seed", type=_seed, metavar="N", help="order of the points (default: random; the profile says it)"
    )
    tune.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    tune.add_argument("--read-only", action="store_true", help="measure no writes")
    tune.add_argument(
        "--thin-writes",
        action="store_true",
        help="write to TARGET even where that takes space from a thin pool or a sparse file",
    )
    tune.add_argument(
        "--effort",
        choices=get_args(Effort),
        help="quick: a fifth of the points in 20 s, provisional; thorough: up to four times the time, and half of the"
        " bytes to write on until the drive is steady (default: as configured)",
    )
    tune.add_argument(
        "--time-budget",
        type=argument(parsing.duration_s),
        metavar="TIME",
        help="measuring time at most, e.g. 90s, 3m",
    )
    tune.add_argument(
        "--write-budget",
        type=argument(parsing.size_bytes),
        metavar="SIZE",
        help="bytes to write at most, e.g. 8G",
    )
    tune.add_argument(
        "--replace",
        action="store_true",
        help="publish the profile even if the drive's present one is better: complete, or surer",
    )
    tune.add_argument("--drop-caches", choices=get_args(DropCaches), help="when to drop the page cache")
    tune.add_argument("--helper", type=Path, metavar="PATH", help="a stand-in for aio-sweep (native/PROTOCOL.md)")
    tune.set_defaults(run=_run)


def _named_helper() -> Path | None:
    """Return the stand-in for aio-sweep that the caller's environment names; the daemon takes none from there."""
    named = os.environ.get("AIO_TUNED_HELPER")
    return Path(named) if named else None


def _run(arguments: argparse.Namespace) -> int:
    limit_threads()
    # Imported here because these load numpy and asyncio, which only this command needs.
    import secrets

    from aio_tuned.helper.process import find
    from aio_tuned.sweep import one_shot
    from aio_tuned.sweep.request import TuneRequest

    settings = read_config(arguments)
    settings = replace(settings, grid=lay_grid(dict(arguments.grid), settings.grid))
    if arguments.effort is not None:
        settings = replace(settings, effort=arguments.effort)
    if arguments.time_budget is not None:
        settings = replace(settings, time_budget=arguments.time_budget)
    if arguments.write_budget is not None:
        # A budget from the command line applies unchanged, whatever the drive's size.
        settings = replace(settings, write_budget=arguments.write_budget, write_budget_floor=arguments.write_budget)
    if arguments.drop_caches is not None:
        settings = replace(settings, drop_caches=arguments.drop_caches)
    request = TuneRequest(
        target=arguments.target,
        config=settings,
        seed=secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed,
        helper=find(arguments.helper or _named_helper()),
        raw=arguments.raw,
        read_only=arguments.read_only,
        thin_writes=arguments.thin_writes,
    )
    # The catalog must have full sweeps only: the daemon would take a part of the grid for one.
    remember = arguments.out is None and not arguments.grid and settings.effort != "quick"
    with progress.watcher(quiet=arguments.json) as watcher:
        tuned = one_shot.tune(request, watcher, arguments.out, remember=remember, replaces=arguments.replace)
    if tuned.kept:
        print(
            f"aio-tuned: {tuned.path} is kept, since this sweep is worse: {tuned.kept}; it is in the history"
            " (aio-tuned history); --replace publishes it",
            file=sys.stderr,
        )
    if tuned.trouble:
        print(f"aio-tuned: {tuned.trouble}: the sweep is published, but not in its history", file=sys.stderr)
    if arguments.json:
        document = {
            "profile": codec.to_table(tuned.report.profile),
            "file": str(tuned.path),
            "samples_file": str(tuned.samples_path),
            "kept_because": tuned.kept,
        }
        print(json.dumps(document, indent=2))
    else:
        summary.show(tuned.report.profile, tuned.report.curves)
        print(f"\n{tuned.path}")
    return Exit.OK
