"""The time budget of `aio-tuned tune` is that of the whole run, by the clock."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import storage
    from daemon.conftest import Tuner

# More settings than the time suffices for.
WHOLE = """
[grid]
block_size = ["128K", "256K", "512K", "1M"]
queue_depth = [4, 8, 16, 32, 64]
io_parallelism = [1, 2, 4]
[sweep]
transfer_bytes = "64M"
write_budget = "64G"
write_budget_floor = "64G"
[choose]
tolerance_percent = 0.1
"""


def around_s(tuner: Tuner, path: Path) -> float:
    """Return the seconds that the start of the interpreter and the last computation may take, now on this machine."""
    started = time.monotonic()
    assert tuner.run(path, "--dry-run").code == 0
    return max(2.0, 2 * (time.monotonic() - started))


def test_a_run_ends_by_its_time_budget(tuner: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem(size_bytes=512 << 20)
    tuner.configure(WHOLE)
    most_s = 1.1 * 12 + around_s(tuner, made.path)
    started = time.monotonic()
    done = tuner.run(made.path, "--time-budget", "12s")
    taken = time.monotonic() - started
    assert done.code == 0, done.stderr
    assert taken < most_s
    assert taken > 9, "the time was not used"


def test_time_that_passes_before_the_target_is_ready_counts(
    tuner: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    """The helper takes 6 s before it fills the scratch file, which is half of the time."""
    made = filesystem(size_bytes=512 << 20)
    tuner.configure(WHOLE)
    most_s = 1.1 * 12 + around_s(tuner, made.path)
    started = time.monotonic()
    done = tuner.run(made.path, "--time-budget", "12s", "--helper", tuner.helper("sleep 6"))
    taken = time.monotonic() - started
    assert done.code == 0, done.stderr
    assert taken < most_s


@pytest.mark.parametrize("quiet", [(), ("--json",)])
def test_a_target_that_is_not_ready_in_time_ends_the_run(
    tuner: Tuner, filesystem: Callable[..., storage.Filesystem], quiet: tuple[str, ...]
) -> None:
    made = filesystem()
    most_s = 1.1 * 4 + around_s(tuner, made.path)
    started = time.monotonic()
    done = tuner.run(made.path, "--time-budget", "4s", "--helper", tuner.helper("exec cat"), *quiet)
    assert time.monotonic() - started < most_s
    assert done.code == 74, done.stderr
    assert "the time budget was spent before the target was filled and ready" in done.last
    assert "--time-budget" in done.last
    assert tuner.published() == {}
