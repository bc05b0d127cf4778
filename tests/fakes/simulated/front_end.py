"""The simulated drive as a program that follows native/PROTOCOL.md over standard input and output, in virtual time."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, get_args

from aio_tuned.model.measurement import BufferPages, Engine
from fakes.fake_aio_sweep import device_number
from fakes.simulated.drive import Drive
from fakes.simulated.helper import MEAN_RUN_BYTES, THP_POLICY
from fakes.simulated.models import NAMED
from fakes.simulated.request_line import BadRequestError, Limits, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Direction
    from fakes.simulated.model import DriveModel

DRIVE_VARIABLE, SEED_VARIABLE = "AIO_SWEEP_DRIVE", "AIO_SWEEP_SEED"
_VERSION = "simulated"
_USAGE, _BAD_LINE = 64, 65
# A visit has one tick for each virtual second, up to this many.
_MAX_TICKS = 100
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _LeaveError(Exception):
    """A signal has asked the program to end."""


def say(**message: object) -> None:
    print(json.dumps(message, separators=(",", ":")), flush=True)


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        say(type="error", code=_USAGE, op="usage", errno=0, name="", message=message)
        self.exit(_USAGE, f"{message}\n")


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of aio-sweep, with the drive and the seed as options or from the environment."""
    parser = _Options(prog="simulated_aio_sweep", allow_abbrev=False)
    target = parser.add_mutually_exclusive_group(required=True)
    for kind in ("scratch", "file", "device"):
        target.add_argument(f"--{kind}", metavar="PATH")
    parser.add_argument("--span-bytes", type=int, required=True)
    parser.add_argument("--offset-bytes", type=int, default=0)
    parser.add_argument("--max-transfer-bytes", type=int, required=True)
    parser.add_argument("--allow-write", action="store_true")
    parser.add_argument("--trim", action="store_true")
    parser.add_argument("--drop-caches", choices=("auto", "always", "file", "never"), default="auto")
    parser.add_argument("--counters", default="")
    parser.add_argument("--protocol", type=int, choices=(1, 2), default=1)
    parser.add_argument("--buffer", choices=get_args(BufferPages), default="consumer")
    for ignored in ("--expect-device", "--expect-diskseq", "--min-free-bytes", "--ballast-bytes", "--key"):
        parser.add_argument(ignored, help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"simulated_aio_sweep {_VERSION}")
    parser.add_argument("--drive", choices=NAMED, default=os.environ.get(DRIVE_VARIABLE, "pm9a3"))
    parser.add_argument("--seed", type=int, default=os.environ.get(SEED_VARIABLE, "1"))
    found = parser.parse_args(arguments)
    if found.drive not in NAMED:
        parser.error(f"{DRIVE_VARIABLE}={found.drive}: no such drive")
    if not 0 < found.max_transfer_bytes <= found.span_bytes:
        parser.error(f"--max-transfer-bytes={found.max_transfer_bytes}: not from 1 to --span-bytes")
    return found


def _say_hello(asked: argparse.Namespace, model: DriveModel, filled: int, fill_ns: int) -> None:
    kind, path = next(
        (kind, path) for kind in ("scratch", "file", "device") if (path := getattr(asked, kind)) is not None
    )
    huge_bytes = 0 if asked.buffer == "consumer" else asked.max_transfer_bytes
    engines = {"engines": dict.fromkeys(get_args(Engine), "")} if asked.protocol > 1 else {}
    say(
        type="hello",
        protocol=asked.protocol,
        helper="simulated-aio-sweep",
        version=f"{_VERSION} {model.name}",
        target={
            "kind": kind,
            "path": path,
            "offset_bytes": asked.offset_bytes,
            "span_bytes": asked.span_bytes,
            "device_number": device_number(path),
        },
        dio_alignment_bytes=model.logical_block_bytes,
        logical_block_bytes=model.logical_block_bytes,
        allow_write=asked.allow_write,
        buffer={
            "bytes": asked.max_transfer_bytes,
            "backing": {"huge": "thp", "hugetlb": "hugetlb"}.get(asked.buffer, "pages"),
            "huge_bytes": huge_bytes,
            "locked": True,
            "thp_policy": THP_POLICY,
            "mean_run_bytes": MEAN_RUN_BYTES,
        },
        page_cache={"policy": asked.drop_caches, "drop_caches": True, "residency": "none", "reason": ""},
        counters={"path": "", "live": model.counters},
        fill_bytes=filled,
        fill_ns=fill_ns,
        setup_ns=fill_ns + 1_000_000,
        **engines,
    )


def _say_point(sample: Sample) -> None:
    request, requests = sample.request, sample.requests
    for second in range(1, 1 + min(_MAX_TICKS, sample.elapsed_ns // 10**9)):
        done = sample.bytes * second * 10**9 // sample.elapsed_ns
        say(type="tick", phase="point", id=request.id, bytes=done, total_bytes=0)
    p50, p99 = sample.latency_p50_ns, sample.latency_p99_ns
    say(
        type="point",
        id=request.id,
        op="mixed" if request.read_percent else request.direction,
        transfers_ns=sample.transfers_ns,
        transfer_bytes=request.transfer_bytes,
        bytes=sample.bytes,
        written_bytes=sample.written_bytes,
        elapsed_ns=sample.elapsed_ns,
        wall_ns=sample.wall_ns,
        requests=requests,
        submits=requests,
        reaps=requests,
        again=sample.again,
        return_ns=sample.return_ns,
        latency_ns={"p50": p50, "p90": (p50 + p99) // 2, "p99": p99, "p999": p99 * 2, "max": p99 * 2},
        cpu_user_ns=0,
        cpu_system_ns=sample.cpu_ns,
        cache={"dropped": sample.cache_dropped, "resident_bytes": 0, "verdict": sample.cache_verdict},
        counters={"read_bytes": sample.device_read_bytes, "write_bytes": sample.device_write_bytes},
        device_ios=requests,
        device_merges=0,
        host_cpu_ns=sample.cpu_ns,
        **({"groups_ns": sample.groups_ns} if sample.groups_ns else {}),
    )


def _signals_as_input() -> int:
    """Return a descriptor that becomes readable with the first signal, one that was blocked until now included."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for each in _SIGNALS:
        signal.signal(each, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return readable


def _lines(signals: int) -> Iterator[str]:
    """Yield each line of standard input, or raise _LeaveError at a signal.

    A handler that raised would be too late for a read that begins just after the interpreter last looked for signals.
    """
    stdin, begun = sys.stdin.fileno(), b""
    while True:
        ready, _, _ = select.select([stdin, signals], [], [])
        if signals in ready:
            raise _LeaveError
        chunk = os.read(stdin, 1 << 16)
        if not chunk:
            return
        *lines, begun = (begun + chunk).split(b"\n")
        for line in lines:
            yield line.decode()


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code."""
    signals = _signals_as_input()
    asked = options(arguments)
    model = NAMED[asked.drive]
    drive = Drive(model, asked.seed, asked.buffer)
    filled, fill_ns = 0, 0
    if asked.scratch is not None:
        filled = asked.span_bytes
        fill_ns = int(drive.fill(filled) * 1e9)
        say(type="tick", phase="fill", bytes=filled, total_bytes=filled)
    _say_hello(asked, model, filled, fill_ns)
    limits = Limits(
        alignment_bytes=model.logical_block_bytes,
        max_transfer_bytes=asked.max_transfer_bytes,
        allow_write=asked.allow_write,
        protocol=asked.protocol,
        scratch=asked.scratch is not None,
    )
    moved: dict[Direction, int] = {"read": 0, "write": filled}
    points, reason = 0, "eof"
    try:
        for line in _lines(signals):
            sample = drive.visit(parse(line, limits))
            moved["write"] += sample.written_bytes
            moved["read"] += sample.read_bytes
            points += 1
            _say_point(sample)
    except _LeaveError:
        reason = "signal"
    except BadRequestError as error:
        known = {} if error.number is None else {"id": error.number}
        say(
            type="error",
            code=_BAD_LINE,
            op="request",
            errno=0,
            name="",
            message=str(error),
            **known,
            line=line[:200],
        )
        return _BAD_LINE
    say(type="end", reason=reason, points=points, bytes_read=moved["read"], bytes_written=moved["write"])
    return 0
