"""The command tune."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.cli.arguments import argument, path, read_config
from aio_tuned.config import parsing
from aio_tuned.config.load import GRID_KEYS, lay_grid
from aio_tuned.errors import Exit, OutputError
from aio_tuned.model.measurement import DropCaches
from aio_tuned.model.profile import Effort
from aio_tuned.profiles import codec
from aio_tuned.report.terminal import preview, progress, summary
from aio_tuned.search.threads import limit_threads

if TYPE_CHECKING:
    from aio_tuned.sweep.one_shot import Tuned
    from aio_tuned.sweep.request import TuneRequest


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


def _write_budget(text: str) -> int:
    if re.fullmatch(r"0+(\.0*)?\s*[kmgt]?(ib|b)?", text.strip(), re.IGNORECASE | re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: no bytes to write; to measure no writes, pass --read-only")
    return argument(parsing.size_bytes)(text)


def add_command(commands: Any) -> None:  # noqa: ANN401 - argparse's class of subparsers is private
    """Add the command to the parser of the whole command line."""
    tune = commands.add_parser(
        "tune",
        help="measure a drive and publish its profile",
        description="Measure TARGET's drive with every combination of AIO settings and publish the best one. Writes go"
        " to an unlinked scratch file on a mounted filesystem. A raw device is only read, unless it is blank and the"
        ' configuration has raw_write = "blank".',
    )
    tune.add_argument("target", type=path, metavar="TARGET", help="directory, file or block device on the drive")
    tune.add_argument("--raw", action="store_true", help="sweep the block device itself, even if it is mounted")
    tune.add_argument(
        "--dry-run", action="store_true", help="print what the sweep would do, with its limits, and do nothing"
    )
    tune.add_argument("--out", type=path, metavar="DIR", help="folder of profile and samples (default: as configured)")
    tune.add_argument(
        "--grid",
        type=_grid_word,
        action="append",
        default=[],
        metavar="KEY=V,V...",
        help="values of a parameter; repeatable",
    )
    tune.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="seed for the order of the measurements (default: random; the profile records it)",
    )
    output = tune.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    output.add_argument(
        "-q", "--quiet", action="store_true", help="print the path of the profile and warnings, and nothing else"
    )
    tune.add_argument("--read-only", action="store_true", help="measure no writes")
    tune.add_argument(
        "--thin-writes",
        action="store_true",
        help="measure writes even if they take space from a thin pool or a sparse file",
    )
    tune.add_argument(
        "--effort",
        choices=get_args(Effort),
        help="quick: a fifth of the settings in 20 s, for a provisional profile; thorough: up to four times the time,"
        " with sustained writes until the drive is steady (default: as configured)",
    )
    tune.add_argument(
        "--time-budget",
        type=argument(parsing.duration_s),
        metavar="TIME",
        help="time limit for preparation and measurement, e.g. 90s, 3m (default: as configured)",
    )
    tune.add_argument(
        "--write-budget",
        type=_write_budget,
        metavar="SIZE",
        help="limit of the bytes written, e.g. 8G (default: as configured)",
    )
    tune.add_argument("--replace", action="store_true", help="publish the profile even if the present one is better")
    tune.add_argument(
        "--drop-caches", choices=get_args(DropCaches), help="when to drop the page cache (default: as configured)"
    )
    tune.add_argument("--helper", type=path, metavar="PATH", help="program to run in place of aio-sweep")
    tune.set_defaults(run=_run)


def _named_helper() -> Path | None:
    """Return the program to run in place of aio-sweep, from the environment, which the daemon ignores."""
    named = os.environ.get("AIO_TUNED_HELPER")
    return Path(named) if named else None


def _run(arguments: argparse.Namespace) -> int:
    began_ns = time.monotonic_ns()
    limit_threads()
    # Imported here because these load numpy and asyncio, which only this command needs.
    import secrets

    from aio_tuned.helper.process import find
    from aio_tuned.service.worker import memory
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
        ballast_bytes=memory.ballast(memory.available_memory(), settings.transfer_bytes),
        began_ns=began_ns,
    )
    if arguments.dry_run:
        return _dry_run(request, arguments)
    # The catalog must have full sweeps only: the daemon would take a part of the grid for one.
    remember = arguments.out is None and not arguments.grid and settings.effort != "quick"
    with progress.watcher(quiet=arguments.quiet, silent=arguments.json) as watcher:
        tuned = one_shot.tune(request, watcher, arguments.out, remember=remember, replaces=arguments.replace)
    _add_verdicts(tuned, settings.state, arguments)
    if tuned.kept:
        print(
            f"aio-tuned: {tuned.path}: kept, because this sweep is worse: {tuned.kept}; this sweep is in the history;"
            " to publish its result anyway, repeat it with --replace",
            file=sys.stderr,
        )
    if tuned.trouble:
        print(f"aio-tuned: {tuned.trouble}; the profile is published, but the history lacks it", file=sys.stderr)
    try:
        _print(tuned, arguments)
        sys.stdout.flush()
    except OutputError as error:
        if error.exit_code == Exit.CLOSED_PIPE:
            raise
        done = "the sweep is in the history" if tuned.kept else f"the profile is published: {tuned.path}"
        raise OutputError(f"{error}; {done}", error.exit_code) from None
    return Exit.OK


def _add_verdicts(tuned: Tuned, state: Path, arguments: argparse.Namespace) -> None:
    """Put the kept verdicts into the profile that was published in the configured folder, as the daemon does."""
    from aio_tuned.consumers import proven
    from aio_tuned.storage import verified

    if arguments.out is None and not tuned.kept:
        verified.refresh(tuned.path, state, proven.holds)


def _dry_run(request: TuneRequest, arguments: argparse.Namespace) -> int:
    from aio_tuned.sweep import one_shot

    found, profile = one_shot.preview(request, arguments.out)
    if arguments.json:
        document = {
            "dry_run": True,
            "file": str(profile),
            "target": {"kind": found.target.kind, "path": str(found.target.path)},
            "settings": dict(found.measured),
            "time_budget_s": found.time_s,
            "write_budget_bytes": found.written_bytes,
            "drop_caches": found.drop_caches,
            "after_choice": {
                "engines": list(found.engines),
                "processes": list(found.processes),
                "time_budget_s": found.after_s,
                "write_budget_bytes": found.after_bytes,
            },
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(preview.plan(found, profile)))
    return Exit.OK


def _print(tuned: Tuned, arguments: argparse.Namespace) -> None:
    """Print the result to standard output."""
    if arguments.json:
        document = {
            "profile": codec.to_table(tuned.report.profile),
            "file": str(tuned.path),
            "samples_file": str(tuned.samples_path),
            "kept_because": tuned.kept,
        }
        print(json.dumps(document, indent=2))
        return
    if arguments.quiet:
        for finding in tuned.report.profile.evidence.findings:
            print(f"! {finding}", file=sys.stderr)
        print(tuned.path)
        return
    summary.show(tuned.report.profile, tuned.report.curves)
    print(f"\nprofile: {tuned.path}")
    if not tuned.kept:
        options = [] if arguments.out is None else ["--profiles", str(arguments.out)]
        command = shlex.join(["aio-tuned", "export", "deepspeed", *options, str(arguments.target)])
        print("\nto paste:\n")
        print("\n".join(summary.to_paste(tuned.report.profile, command)))
