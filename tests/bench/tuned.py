"""`aio-tuned tune` as a user runs it, with its results: the profile, and every measurement of the sweep."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """One tune: `wall_s` is of the whole process, `samples` are all visits in the order in which they were made."""

    wall_s: float
    profile: dict[str, Any]
    samples: tuple[dict[str, Any], ...]

    def visits(self, direction: str) -> list[dict[str, Any]]:
        """The direction's visits of the five parameters that count: calibration only warms up."""
        return [
            sample
            for sample in self.samples
            if (request := sample["request"])["direction"] == direction
            and request["purpose"] in ("reference", "pass", "repeat")
        ]


def tune(target: Path, options: Sequence[str] = ()) -> Tuned:
    """Sweep the target's drive; CalledProcessError if that fails, and what it said is on standard error."""
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "aio_tuned", "tune", str(target), "--json", "--out", out, *options]
        started = time.monotonic()
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        wall_s = time.monotonic() - started
        document = json.loads(done.stdout)
        lines = Path(document["samples_file"]).read_text().splitlines()
        return Tuned(wall_s=wall_s, profile=document["profile"], samples=tuple(json.loads(line) for line in lines))
