"""Start a consumer's own code by `aio-tuned run`, on the drive of a folder that has a profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from unit.support.builders import PROJECT
from unit.support.own_drive import publish

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.size_curve import SizeCurve


class Started(NamedTuple):
    """What a script has printed last, in JSON, and the line of `aio-tuned run` before it."""

    answer: Any
    line: str


def started(
    folder: Path, curves: tuple[SizeCurve, ...], python: Path, script: str, *arguments: str | Path, **environment: str
) -> Started:
    """Run the script by `aio-tuned run --path folder` with a profile of these curves.

    Raise AssertionError with all that it said if it fails.
    """
    profiles = folder / "profiles"
    publish(folder, profiles, curves=curves)
    ours: list[str | Path] = [sys.executable, "-m", "aio_tuned", "run", "--profiles", profiles, "--path", folder]
    # The consumer's interpreter must not find our packages, so the folder of ours is only in the path of our own.
    own = ["env", "-u", "PYTHONPATH"]
    done = subprocess.run(
        [*ours, "--require", "--", *own, python, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT / "daemon"), "XDG_RUNTIME_DIR": str(folder)} | environment,
        timeout=240,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    line = next(line for line in done.stderr.splitlines() if line.startswith("aio-tuned: "))
    return Started(json.loads(done.stdout.splitlines()[-1]), line)
