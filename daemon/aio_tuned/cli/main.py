"""The parser of the whole command line, and the commands tune, show, check-config and those of the daemon."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from aio_tuned import __version__
from aio_tuned.cli import read, sweeps
from aio_tuned.cli.arguments import argument, read_config
from aio_tuned.config import parsing
from aio_tuned.config.load import DEFAULT_PATH, GRID_KEYS, config_sources, describe_config, lay_grid, load_config
from aio_tuned.errors import AioTunedError, Exit, ProfileError
from aio_tuned.model.measurement import DropCaches
from aio_tuned.model.profile import Effort
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from aio_tuned.report.terminal import progress, summary
from aio_tuned.search.threads import limit_threads
from aio_tuned.service import status
from aio_tuned.storage import profile_store, targets
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Parser(argparse.ArgumentParser):
    """A parser that exits with the code of sysexits(3) for wrong usage."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; exit() does not return
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n")


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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = _Parser(prog="aio-tuned", description="Measures NVMe drives and publishes their best Linux AIO settings.")
    top.add_argument("--version", action="version", version=f"aio-tuned {__version__}")
    top.add_argument("--config", type=Path, metavar="FILE", help=f"configuration (default: {DEFAULT_PATH})")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

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
    tune.set_defaults(run=_tune)

    show = commands.add_parser("show", help="show published profiles")
    show.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="a profile's name or file, or any target of tune (default: all)",
    )
    show.add_argument("--out", type=Path, metavar="DIR", help="where the profiles are (default: as configured)")
    show.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    show.set_defaults(run=_show)

    read.add_commands(commands)
    sweeps.add_commands(commands)
    _add_daemon_commands(commands)

    check = commands.add_parser("check-config", help="check the configuration and say what it comes to")
    check.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a file to check (default: the one in use)")
    check.set_defaults(run=_check_config)
    return top


def _add_daemon_commands(commands: argparse._SubParsersAction[_Parser]) -> None:
    daemon = commands.add_parser(
        "daemon",
        help="watch for drives and tune them, until SIGTERM",
        description="Watch udev for NVMe drives, publish what is known of each at once, and sweep those that need it,"
        " one at a time. SIGHUP reads the configuration again. systemd runs this as aio-tuned.service.",
    )
    daemon.add_argument("--helper", type=Path, metavar="PATH", help="a stand-in for aio-sweep (native/PROTOCOL.md)")
    daemon.set_defaults(run=_daemon)

    shown = commands.add_parser("status", help="what the daemon does: every drive, its state, and why")
    shown.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    shown.set_defaults(run=_status)

    retune = commands.add_parser(
        "retune",
        help="have the daemon look at a drive again, now",
        description="Have the daemon look at TARGET's drive again: one that has failed, or was stopped. With --force it"
        " is swept in full, whatever is known of it.",
    )
    retune.add_argument("target", metavar="TARGET", help="a drive's name as in status, or any target of tune")
    retune.add_argument("--force", action="store_true", help="sweep it in full even if its profile holds")
    retune.set_defaults(run=_retune)

    stop = commands.add_parser(
        "stop",
        help="end the daemon's sweep of a drive, and leave it alone",
        description="End the sweep of TARGET's drive. When this returns no scratch file is left, and its filesystem can"
        " be unmounted. The drive is left alone until aio-tuned retune, until it is plugged in again, or until the"
        " daemon is started again.",
    )
    stop.add_argument("target", metavar="TARGET", help="a drive's name as in status, or any target of tune")
    stop.set_defaults(run=_stop)


def _named_helper() -> Path | None:
    """Return the stand-in for aio-sweep that the caller's environment names; the daemon takes none from there."""
    named = os.environ.get("AIO_TUNED_HELPER")
    return Path(named) if named else None


def _tune(arguments: argparse.Namespace) -> int:
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


def _show(arguments: argparse.Namespace) -> int:
    config = None if arguments.out else read_config(arguments)
    directory = config.profiles if config else arguments.out
    register = NameRegister(directory, config.state if config else arguments.out)
    found, broken = [], []
    for path in profile_store.find_profiles(directory, arguments.target, register):
        try:
            found.append((path, load_profile(path)))
        except ProfileError as error:
            broken.append(error)
    if arguments.json and (found or not broken):
        print(json.dumps([{"file": str(path), "profile": codec.to_table(one)} for path, one in found], indent=2))
    elif not arguments.json:
        for path, one in found:
            summary.show(one)
            print(f"\n{path}\n")
        if not found and not broken:
            print(f"no profiles in {directory}: run aio-tuned tune TARGET", file=sys.stderr)
    # A damaged file must not hide the other profiles.
    for problem in broken:
        print(f"aio-tuned: {problem}", file=sys.stderr)
    return Exit.DATA if broken else Exit.OK


def _daemon(arguments: argparse.Namespace) -> int:
    from aio_tuned.service import main as service_main

    settings = service_main.load_config(arguments.config)
    service_main.run(settings, service_main.loader(arguments.config, settings), arguments.helper)
    return Exit.OK


def _status(arguments: argparse.Namespace) -> int:
    found = status.read(read_config(arguments).runtime)
    print(json.dumps(asdict(found), indent=2) if arguments.json else status.describe(found))
    return Exit.OK


def _name(target: str, register: NameRegister) -> str:
    """Return the name by which the daemon knows the target; raise TargetError if it is on no drive."""
    # os.path.exists() is used because Path.exists() raises if the current folder may not be searched.
    missing = f"{target}: no such file or directory"
    found = targets.find_drive(target, lambda name: not os.path.exists(name), missing, register, profiles=False)  # noqa: PTH110
    return found.name


def _ask(arguments: argparse.Namespace, request: dict[str, object]) -> int:
    """Print the daemon's answer to a request about the target."""
    from aio_tuned.service import control  # loads asyncio: a third of the time that --version takes

    config = read_config(arguments)
    name = _name(arguments.target, NameRegister(config.profiles, config.state))
    print(control.ask(config.runtime, {**request, "name": name}))
    return Exit.OK


def _retune(arguments: argparse.Namespace) -> int:
    return _ask(arguments, {"do": "retune", "force": arguments.force})


def _stop(arguments: argparse.Namespace) -> int:
    return _ask(arguments, {"do": "stop"})


def _check_config(arguments: argparse.Namespace) -> int:
    # A file to check is not in use, so it may belong to anybody; `--config` and the default are read as they are used.
    loaded = load_config(arguments.file, must_exist=True, owners=None) if arguments.file else read_config(arguments)
    path = arguments.file or arguments.config or DEFAULT_PATH
    used = config_sources(path)
    print(
        "read: " + (", ".join(str(source) for source in used) or f"nothing ({path} does not exist): the defaults hold")
    )
    print(describe_config(loaded))
    return Exit.OK


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an AioTunedError is printed as one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may be limited to ASCII
    arguments = parser().parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except AioTunedError as error:
        print(f"aio-tuned: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe, which is no error; buffered output must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return code
