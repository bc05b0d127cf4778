"""A rule that keeps udevd away from the tests' loop devices, which it would read after each write."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from storage import PREFIX, UDEV_CONTROL

_FOLDER = Path("/run/udev/rules.d")
_NAME = "99-aio-tuned-tests-{}.rules"
# Backing files of storage.py, and those in pytest's own folders.
_RULE = 'SUBSYSTEM=="block", ATTRS{{loop/backing_file}}=="*{}*", OPTIONS:="nowatch"\n'


def unwatch() -> None:
    """Write a rule that ends the watch on the tests' devices; without udevd or root do nothing.

    Each test run has its own file, so that a run that ends does not remove the rule of another one.
    """
    if UDEV_CONTROL.exists() and os.geteuid() == 0:
        _FOLDER.mkdir(exist_ok=True)
        for left in _FOLDER.glob(_NAME.format("*")):
            maker = left.stem.rpartition("-")[2]
            if maker.isdigit() and not Path("/proc", maker).exists():
                left.unlink(missing_ok=True)
        _own().write_text(_RULE.format(PREFIX) + _RULE.format("/pytest-of-"))
        _reload()


def watch() -> None:
    """Remove that rule."""
    if _own().exists():
        _own().unlink()
        _reload()


def _own() -> Path:
    return _FOLDER / _NAME.format(os.getpid())


def _reload() -> None:
    subprocess.run(["udevadm", "control", "--reload"], check=False, capture_output=True)
