"""Keeps a udevd that runs on this machine away from the tests' own loop devices, which it reads after each write."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from storage import PREFIX, UDEV_CONTROL

RULES = Path("/run/udev/rules.d/99-aio-tuned-tests.rules")
# Backing files of storage.py, and those in pytest's own folders.
_RULE = 'SUBSYSTEM=="block", ATTRS{{loop/backing_file}}=="*{}*", OPTIONS:="nowatch"\n'


def unwatch() -> None:
    """Write a rule that ends the watch on the tests' devices; without udevd or root do nothing."""
    if UDEV_CONTROL.exists() and os.geteuid() == 0:
        RULES.parent.mkdir(exist_ok=True)
        RULES.write_text(_RULE.format(PREFIX) + _RULE.format("/pytest-of-"))
        _reload()


def watch() -> None:
    """Remove that rule."""
    if RULES.exists():
        RULES.unlink()
        _reload()


def _reload() -> None:
    subprocess.run(["udevadm", "control", "--reload"], check=False, capture_output=True)
