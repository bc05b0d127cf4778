#!/usr/bin/env python3
"""repeat.py on throttled NVMe drives, in the guest of tests/vm.

    repeat_guest.py [--drive bandwidth] [--drive requests] [--tune "--time-budget 60s"] [--grid KEY=V,V…]… [OPTIONS]

Each drive is plugged in, given an ext4, and handed to repeat.py inside, whose tables are printed; its options are
repeat.py's, too. "bandwidth" gives 200 MB/s for reads and 100 MB/s for writes, whatever the setting: nearly all points
tie. "requests" gives 1000 requests a second and 100 MB/s: blocks below 100 KB are slower, and so are requests that are
submitted one at a time, for those of a batch are merged on the way. Both limits are QEMU's, and far below what its
software emulation could do. Needs root, and what tests/vm needs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vm.guest import Guest
from vm.product import wheels
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BENCH = Path(__file__).resolve().parent
PYTHON = "/opt/aio-tuned/bin/python"
# A scratch file takes a quarter of it at most, and an eighth of the write budget; it is filled at the drive's speed.
SIZE = "2G"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """A drive with QEMU's limits, and the grid that can tell something on it."""

    limits: Mapping[str, float]
    grid: tuple[str, ...]


MODES = ("overlap_events=true,false", "single_submit=true,false")
DRIVES = {
    "bandwidth": Throttled(
        limits={"read_bps": 200e6, "write_bps": 100e6},
        grid=("block_size=128K,1M", "queue_depth=4,32", "io_parallelism=1,2", *MODES),
    ),
    "requests": Throttled(
        limits={"total_iops": 1000, "total_bps": 100e6},
        grid=("block_size=16K,64K,128K,512K", "queue_depth=8,32", "io_parallelism=1", *MODES),
    ),
}


def run(guest: Guest, name: str, options: Sequence[str], timeout_s: float) -> str:
    """repeat.py's tables for one drive."""
    # The kernel cuts requests at 512 KiB without mdts.
    drive = guest.hotplug(name.upper(), SIZE, extra={"mdts": 9})
    point = guest.mount(drive.dev)
    guest.throttle(drive.serial, **DRIVES[name].limits)
    # Of several lists for one parameter the last holds: the options' own come after the drive's.
    grid = [f"--grid={values}" for values in DRIVES[name].grid]
    try:
        return guest.sh([PYTHON, "/root/tests/bench/repeat.py", point, *grid, *options], timeout_s)
    finally:
        guest.sh(f"umount {point}")
        guest.unplug(drive.serial)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drive", action="append", choices=list(DRIVES))
    parser.add_argument("--timeout-s", type=float, default=7200, help="of one drive")
    arguments, options = parser.parse_known_args()
    try:
        with Guest(build_image(), hotplug="pciehp") as guest:
            guest.install(wheels())
            if trouble := guest.foreign_helper():
                sys.exit(f"repeat_guest.py: the helper as built here does not run on the guest's Debian 12: {trouble}")
            guest.push(BENCH, "/root/tests/bench")
            for name in arguments.drive or DRIVES:
                started = time.monotonic()
                limits = ", ".join(f"{key} {value:g}" for key, value in DRIVES[name].limits.items())
                print(f"\n## {name}: {limits}")
                print(run(guest, name, options, arguments.timeout_s))
                print(f"\n{shlex.join(options)}: {time.monotonic() - started:.0f} s in all", flush=True)
    except (RigError, CommandError) as error:
        sys.exit(f"repeat_guest.py: {error}")


if __name__ == "__main__":
    main()
