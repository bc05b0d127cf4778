#!/usr/bin/env python3
"""repeat.py on throttled NVMe drives, in the guest of tests/vm.

    repeat_guest.py [--drive bandwidth] [--drive requests] [OPTIONS]

Each drive is plugged in, given an ext4, and handed to repeat.py inside, whose tables are printed. OPTIONS are
repeat.py's: --sweeps, --reference-rounds, --tune, --grid and so on. "bandwidth" gives 200 MB/s for reads and 100 MB/s
for writes, whatever the setting. "requests" gives 1000 requests a second and 100 MB/s, so that blocks below 100 KB are
slower; requests that are submitted in one batch may be merged on the way to it. Both limits are QEMU's, and so low that
they decide and not its software emulation. Needs root, and what tests/vm needs.
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
from vm.product import package
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BENCH = Path(__file__).resolve().parent
# A scratch file takes a quarter of it at most, and an eighth of the write budget; it is filled at the drive's speed.
SIZE = "2G"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """A drive with QEMU's limits, and the grid that can tell something on it."""

    limits: Mapping[str, float]
    grid: tuple[str, ...]


MODES = ("io_parallelism=1", "overlap_events=true,false", "single_submit=true,false")
DRIVES = {
    "bandwidth": Throttled(
        limits={"read_bps": 200e6, "write_bps": 100e6}, grid=("block_size=128K,1M", "queue_depth=4,32", *MODES)
    ),
    "requests": Throttled(
        limits={"total_iops": 1000, "total_bps": 100e6},
        grid=("block_size=16K,64K,128K,512K", "queue_depth=32", *MODES),
    ),
}
# While nothing is in flight QEMU saves up what the drive might have moved, for a tenth of a second at most. So that the
# pauses between transfers weigh little these should last most of a second, as with 16 points and this budget.
TUNE = "--time-budget 60s"


def run(guest: Guest, name: str, options: Sequence[str], timeout_s: float) -> str:
    """repeat.py's tables for one drive."""
    # The kernel cuts requests at 512 KiB without mdts.
    drive = guest.hotplug(name.upper(), SIZE, extra={"mdts": 9})
    point = guest.mount(drive.dev)
    guest.throttle(drive.serial, **DRIVES[name].limits)
    # Of several values for one option, and for one parameter of the grid, the last holds: those given come after.
    grid = [f"--grid={values}" for values in DRIVES[name].grid]
    try:
        return guest.sh(["python3", "/root/tests/bench/repeat.py", point, f"--tune={TUNE}", *grid, *options], timeout_s)
    finally:
        guest.sh(f"umount {point}")
        guest.unplug(drive.serial)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--drive", action="append", choices=list(DRIVES))
    parser.add_argument("--timeout-s", type=float, default=7200, help="of one drive")
    arguments, options = parser.parse_known_args()
    try:
        with Guest(build_image(), package()) as guest:
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
