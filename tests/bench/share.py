#!/usr/bin/env python3
"""Which share of a full default sweep's wall time is measured I/O, and how long and how many bytes it takes.

    share.py TARGET [tune options…]      # e.g. share.py /mnt/nvme --write-budget 16G

Runs `aio-tuned tune TARGET --json` as a user would, clocks the whole process from outside, and prints one Markdown row.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time


def main() -> None:
    target, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "aio_tuned", "tune", target, "--json", "--out", out, *options],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        wall = time.monotonic() - started
    evidence = json.loads(done.stdout)["profile"]["evidence"]
    print("| target | wall s | measured I/O s | share | points | visits | s per point | GiB read | GiB written |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {evidence['target']} | {wall:.1f} | {evidence['io_seconds']:.1f} | {evidence['io_seconds'] / wall:.1%}"
        f" | {evidence['points_measured']} | {evidence['visits']} | {wall / evidence['points_measured']:.3f}"
        f" | {evidence['bytes_read'] / 2**30:.1f} | {evidence['bytes_written'] / 2**30:.1f} |"
    )


if __name__ == "__main__":
    main()
