#!/usr/bin/env python3
"""Cut the guest's power, pull its drives, or let anything happen, seed by seed, with a log; cut off, it continues.

    endure.py [--cuts N] [--pulls N] [--soaks N] [--log build/endure.jsonl] [--first SEED]

Each attack is one line of the log: its kind, seed, moment, duration, and `lost`, which is "" if nothing was. Seeds that
the log has are not tried again. It prints how often each was tried, and what was lost. Needs root, and what tests/vm
needs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vm.attacks import PowerCuts, Pulls
from vm.daemon_guest import DaemonGuest
from vm.product import package
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image
from vm.soak import Soak

KINDS: dict[str, type[PowerCuts | Pulls | Soak]] = {"pull": Pulls, "cut": PowerCuts, "soak": Soak}
# Attacks per guest: enough to see faults that accumulate, and few enough not to keep a damaged guest.
A_GUEST = 20
# QEMU sometimes crashes when a drive is pulled with I/O in flight; that is not a loss of aio-tuned.
MAX_CRASHES = 10


def entries(log: Path) -> list[dict[str, object]]:
    """The log's lines; the last one may be torn."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def tried(log: Path, kind: str) -> set[object]:
    """The seeds that the log has."""
    return {entry["seed"] for entry in entries(log) if entry["kind"] == kind}


def note(log: Path, **entry: object) -> None:
    """Append one line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with log.open("a") as file:
        file.write(json.dumps({"at": now, **entry}) + "\n")


def some(kind: str, seeds: list[int], image: Path, deb: Path, log: Path) -> None:
    """Make these attacks in one guest; a loss ends it, and is noted with what the assertion says."""
    seed = seeds[0]
    with DaemonGuest(image, deb) as host:
        target = KINDS[kind](host)
        try:
            for seed in seeds:
                began = time.monotonic()
                moment = target.attack(seed)
                seconds = round(time.monotonic() - began, 1)
                note(log, kind=kind, seed=seed, moment=moment, seconds=seconds, lost="")
                print(f"{kind} {seed}: {moment}; nothing lost, {seconds} s", flush=True)
            target.end()
            target.clean_up()
        except AssertionError as error:
            note(log, kind=kind, seed=seed, moment="", seconds=0, lost=str(error)[:2000] or "an assertion")
            print(f"{kind} {seed}: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--cuts", type=int, default=60)
    parser.add_argument("--pulls", type=int, default=60)
    parser.add_argument("--soaks", type=int, default=0, metavar="ROUNDS")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--log", type=Path, default=Path("build/endure.jsonl"))
    asked = parser.parse_args()
    image, deb = build_image(), package()
    crashes = 0
    for kind, count in (("pull", asked.pulls), ("cut", asked.cuts), ("soak", asked.soaks)):
        wanted = range(asked.first, asked.first + count)
        while left := [seed for seed in wanted if seed not in tried(asked.log, kind)]:
            try:
                some(kind, left[:A_GUEST], image, deb, asked.log)
            except (RigError, CommandError) as error:
                crashes += 1
                print(f"{kind}: no answer of the guest ({crashes}): {error}"[:300], flush=True)
                if crashes == MAX_CRASHES:
                    sys.exit("endure.py: too many of these; run it again: it continues")
    for kind in KINDS:
        of_kind = [entry for entry in entries(asked.log) if entry["kind"] == kind]
        lost = [str(entry["seed"]) for entry in of_kind if entry["lost"]]
        print(f"{kind}: {len(of_kind)} tried, {len(lost)} with a loss{': seeds ' if lost else ''}{', '.join(lost)}")


if __name__ == "__main__":
    main()
