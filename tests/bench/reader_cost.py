#!/usr/bin/env python3
"""Measure the cost of reading settings: importing aio_tuned.reader in a new interpreter, first and later calls.

    reader_cost.py PATH [--profiles DIR] [--repeats 20]

PATH is on a drive that has a profile. CPU milliseconds, the least and the median of all repeats; the interpreter's own
start is not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

PROBE = """
import json, sys, time
start = time.process_time()
import aio_tuned.reader as reader
imported = time.process_time()
reader.settings_for(sys.argv[1], profiles=sys.argv[2])
called = time.process_time()
for _ in range(100):
    reader.settings_for(sys.argv[1], profiles=sys.argv[2])
print(json.dumps([imported - start, called - imported, (time.process_time() - called) / 100]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--profiles", default="/etc/aio-tuned")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    words = [sys.executable, "-c", PROBE, arguments.path, arguments.profiles]
    runs = [json.loads(subprocess.check_output(words)) for _ in range(arguments.repeats)]
    print("| | least, ms | median, ms |\n|---|---|---|")
    for name, costs in zip(("import", "first call", "warm call"), zip(*runs, strict=True), strict=True):
        print(f"| {name} | {min(costs) * 1e3:.2f} | {statistics.median(costs) * 1e3:.2f} |")


if __name__ == "__main__":
    main()
