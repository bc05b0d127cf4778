"""A sweep where udevd runs. All other tests show what is where it does not, or is wherever they are run."""

# Not beside the daemon's tests: a daemon that begins meanwhile listens to udevd, and hears nothing once that has ended.

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from processes import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon.conftest import Tuner

PROGRAM = Path("/lib/systemd/systemd-udevd")
RUN = Path("/run/udev")


def runs_already() -> bool:
    """Whether there is an udevd."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has just ended
            if "udevd" in comm.read_text():
                return True
    return False


@pytest.fixture
def udevd() -> Iterator[subprocess.Popen[bytes]]:
    """Run udevd, which is not there otherwise."""
    if runs_already():
        pytest.skip("udevd runs here, so all tests show that it may; where it does not, both are shown")
    if not PROGRAM.exists():
        pytest.skip(f"there is no {PROGRAM} here that could be started")
    before = RUN.exists()
    process = subprocess.Popen([PROGRAM], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: (RUN / "control").exists() or process.poll() is not None)
        yield process
    finally:
        process.terminate()
        process.wait()
        (RUN / "control").unlink(missing_ok=True)
        if not before:
            shutil.rmtree(RUN, ignore_errors=True)


def test_a_filesystem_is_measured(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], udevd: subprocess.Popen[bytes]
) -> None:
    made = filesystem()
    assert made.device is not None
    storage.run("udevadm", "settle", "--timeout=60")
    profile = quick.profile(made.path)
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert profile["read"]["throughput_bytes_per_s"] > 0
    assert profile["write"]["throughput_bytes_per_s"] > 0
    storage.run("udevadm", "settle", "--timeout=60")
    assert udevd.poll() is None
