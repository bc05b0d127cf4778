"""A whole sweep as on Linux 5.0, which has none of the calls that came later; docs/reference/platforms.md."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from daemon.conftest import EXPERIMENTS
from old_kernel import BEFORE_5_1, NO_POPULATE, NO_STATX, under

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.conftest import Tuner
    from storage import Filesystem

MIB = 1 << 20


def test_a_sweep_gives_a_measured_profile(quick: Tuner, filesystem: Callable[..., Filesystem]) -> None:
    folder = filesystem(size_bytes=640 * MIB).path
    quick.configure(EXPERIMENTS)
    done = quick.run(folder, "--json", under=under(BEFORE_5_1, NO_STATX, NO_POPULATE))
    assert done.code == 0, done.stderr
    profile = json.loads(done.stdout)["profile"]
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert profile["evidence"]["cache_verdict"] == "device"
    (said,) = [each for each in profile["evidence"]["findings"] if each.startswith("engines: io_uring")]
    assert "this kernel has no io_uring; use Linux 5.6 or newer" in said
    assert {key.split("_")[1] for key in profile if key.startswith("curve_")} == {"psync"}
