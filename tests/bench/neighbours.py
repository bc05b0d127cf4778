#!/usr/bin/env python3
"""Measure the loss of other processes on a drive while the daemon sweeps it, in the guest of tests/vm.

    neighbours.py [--windows N] [--seconds S] [--only KIND]...

A throttled drive with an ext4 is given a neighbour of each kind: `stream` reads 1 MiB requests as fast as it can,
`reads` 4 KiB requests, 200 a second, `commits` is fdatasync 50 times a second, `checkpoint` writes a file through the
page cache and syncs it, `load` reads a file that the page cache has. Each is measured in pairs of windows, one without
a sweep and one that a sweep begins in, as the daemon does it by default. The table has the medians over the pairs:
throughput, p50 and p99 without a sweep, and with one as a share of these. `back` is how long after the neighbour's
start it had 90 % of its throughput. Needs root, and what tests/vm needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vm.daemon_guest import DaemonGuest
from vm.guest import READ_BYTES_PER_S, WRITE_BYTES_PER_S
from vm.product import package
from vm.rig.machine import build_image

SIZE = "2G"
SERIAL = "NEXT1"
FOLDER = "/mnt/x/neighbour"
# The sweep outlasts the window: all of the default grid, and none of the pauses is shortened.
CONFIG = "[sweep]\ntime_budget = 600\n[daemon]\nsettle = 0.5\n"
KINDS = {
    "stream": "--rw=read --bs=1M --iodepth=8 --ioengine=libaio --direct=1 --size=256M",
    "reads": "--rw=randread --bs=4k --iodepth=1 --ioengine=psync --direct=1 --rate_iops=200 --size=256M",
    "commits": "--rw=write --bs=4k --iodepth=1 --ioengine=psync --fdatasync=1 --rate_iops=50 --size=64M",
    "checkpoint": "--rw=write --bs=1M --ioengine=psync --fsync=64 --size=256M",
    "load": "--rw=read --bs=1M --ioengine=psync --invalidate=0 --thinktime=100ms --size=64M",
}
# fio's figures of the latency that its user sees.
LATENCY = {"commits": "sync"}
BACK_SHARE = 0.9
LOG_MS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The figures of a neighbour in one window; latencies in ms."""

    bytes_per_s: float
    p50_ms: float
    p99_ms: float
    back_s: float


def back(log: str, bytes_per_s: float) -> float:
    """When the neighbour first had its share of that throughput and kept it for a second, from fio's log."""
    rates = [int(line.split(",")[1]) * 1024 for line in log.splitlines()]
    needed = 1000 // LOG_MS
    for first in range(len(rates) - needed + 1):
        if statistics.fmean(rates[first : first + needed]) >= BACK_SHARE * bytes_per_s:
            return first * LOG_MS / 1000
    return len(rates) * LOG_MS / 1000


def window(host: DaemonGuest, kind: str, seconds: int, usual: float) -> Window:
    """Let the neighbour work."""
    words = f"--name=n --directory={FOLDER} --filename={kind} {KINDS[kind]} --time_based --runtime={seconds}"
    log = f"--write_bw_log=/run/n --log_avg_msec={LOG_MS} --per_job_logs=0"
    said = host.sh(f"cd /run && fio --output-format=json --percentile_list=50:99 {words} {log}", seconds + 120)
    job = json.loads(said[said.index("{") :])["jobs"][0]
    of = job["read"] if job["read"]["total_ios"] else job["write"]
    latency = job["sync"]["lat_ns"] if LATENCY.get(kind) else of["clat_ns"]
    percentile = latency["percentile"]
    return Window(
        bytes_per_s=of["bw_bytes"],
        p50_ms=percentile["50.000000"] / 1e6,
        p99_ms=percentile["99.000000"] / 1e6,
        back_s=back(host.read("/run/n_bw.log").decode(), usual) if usual else 0.0,
    )


def pairs(host: DaemonGuest, kind: str, count: int, seconds: int) -> list[tuple[Window, Window]]:
    """Measure `count` windows without a sweep and with one, by turns."""
    node = host.drives[SERIAL].dev
    found = []
    for _ in range(count):
        host.sh(f"aio-tuned stop {node}", 120)
        host.until(lambda: not host.helper_runs(), 60, "no sweep")
        without = window(host, kind, seconds, 0)
        host.sh(f"aio-tuned retune --force {node}")
        host.until_sweeping(SERIAL, "read: ", 300)
        found.append((without, window(host, kind, seconds, without.bytes_per_s)))
        print(f"{kind}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def row(kind: str, found: list[tuple[Window, Window]]) -> str:
    """A line of the table."""

    def shares(name: str) -> str:
        ratios = sorted(getattr(after, name) / max(getattr(before, name), 1e-9) for before, after in found)
        quarter = len(ratios) // 4
        return f"{statistics.median(ratios):.3f} ({ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})"

    usual = [statistics.median(getattr(before, name) for before, _ in found) for name in Window.__dataclass_fields__]
    return (
        f"| {kind} | {len(found)} | {usual[0] / 1e6:.2f} | {usual[1]:.2f} | {usual[2]:.2f}"
        f" | {shares('bytes_per_s')} | {shares('p50_ms')} | {shares('p99_ms')}"
        f" | {statistics.median(after.back_s for _, after in found):.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--only", action="append", choices=sorted(KINDS), metavar="KIND")
    asked = parser.parse_args()
    print("| neighbour | pairs | MB/s | p50 ms | p99 ms | throughput | p50 | p99 | back s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with DaemonGuest(build_image(), package()) as host:
        drive = host.hotplug(SERIAL, SIZE, read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
        host.mount(drive.dev)
        host.sh(f"mkdir {FOLDER}")
        host.begin(CONFIG)
        host.until_stage(SERIAL, "queued", "sweeping")
        for kind in asked.only or KINDS:
            host.sh(f"aio-tuned stop {drive.dev}", 120)
            host.sh(f"fio --name=n --directory={FOLDER} --filename={kind} {KINDS[kind]} --create_only=1", 300)
            print(row(kind, pairs(host, kind, asked.windows, asked.seconds)), flush=True)


if __name__ == "__main__":
    main()
