"""drop_caches by its four policies, where the target's pages are cached: every read is still the device's."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import storage
from daemon.conftest import EXPERIMENTS
from unit.support.builders import FAKE_HELPER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20


def cache(path: Path, size_bytes: int) -> None:
    """Read all of it through the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(min(size_bytes, 4 * MIB)):
            pass


@pytest.fixture(params=["file", "node"])
def cached(request: pytest.FixtureRequest, disk: Callable[..., LoopDrive], mount: Callable[..., Path]) -> Path:
    """A target with pages in the cache: a file on ext4 or a disk that holds data."""
    made = disk(size_bytes=512 * MIB if request.param == "file" else 96 * MIB)
    if request.param == "node":
        made.write(0, os.urandom(made.size_bytes))
        target = made.node
    else:
        storage.run(*storage.MAKE["ext4"], made.node)
        target = mount(made.node) / "file"
        target.write_bytes(os.urandom(32 * MIB))
        storage.run("sync", target)  # what is written back later is foreign to the sweep
    cache(target, made.size_bytes)
    return target


@pytest.mark.timeout(900)  # a drop waits until all that others have written is on their disks
@pytest.mark.parametrize("policy", ["auto", "always", "file", "never"])
def test_drop_caches(quick: Tuner, cached: Path, policy: str) -> None:
    # Each drop writes back all that the machine has not written yet, and that is time too.
    profile = quick.profile(cached, "--drop-caches", policy, "--time-budget", "10s")
    evidence = profile["evidence"]
    assert evidence["drop_caches"] == policy
    assert evidence["cache_verdict"] == "device"
    assert evidence["tainted_visits"] == 0
    if policy == "auto":
        assert evidence["caches_dropped"] == 1
    else:
        assert evidence["caches_dropped"] == (evidence["visits"] if policy == "always" else 0)


def test_pages_that_come_back_in_the_sweep_cost_no_other_drop(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    made.write(0, os.urandom(made.size_bytes))
    quick.configure(EXPERIMENTS)
    run = quick.start(made.node, "--json", "--drop-caches", "auto", "--time-budget", "10s")
    with made.node.open("rb", buffering=0) as device:
        while run.process.poll() is None:
            device.seek(0)
            device.read(made.size_bytes)
    done = run.end()
    assert done.code in (0, 74), done.stderr
    if done.code == 0:
        evidence = json.loads(done.stdout)["profile"]["evidence"]
        assert evidence["cache_verdict"] == "device"
        assert evidence["caches_dropped"] == 1
    else:
        assert "read: no usable measurement" in done.last


@pytest.mark.parametrize(("policy", "said"), [("auto", True), ("always", True), ("file", False), ("never", False)])
def test_a_drop_is_said_before_it_is_made(
    quick: Tuner, disk: Callable[..., LoopDrive], policy: str, *, said: bool
) -> None:
    made = disk()
    made.write(0, os.urandom(made.size_bytes))
    done = quick.start(made.node, "--helper", FAKE_HELPER, "--drop-caches", policy).end()
    assert done.code == 0, done.stderr
    before, _, _ = done.stderr.partition("read 1/")
    assert ("host page cache: dropped" in before) is said
