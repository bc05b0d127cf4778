"""Two namespaces of one controller: what one does is seen by a sweep of the other, and they are not swept at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.guest import QUICK, wait_for
from vm.rig import nvmet
from vm.rig.guest_shell import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vm.guest import Guest

pytestmark = pytest.mark.long

BUSY = 69
IO_ERROR = 74


@pytest.fixture
def pair(guest: Guest) -> Iterator[list[str]]:
    """Two namespaces with data, of 100 MB/s each."""
    nodes = nvmet.connect(guest, "SHARED1", "Two Namespaces", ["160M", "160M"], mb_per_s=100)
    try:
        for node in nodes:
            guest.sh(f"dd if=/dev/urandom of={node} bs=1M count=160 conv=fsync status=none", 180)
        yield nodes
    finally:
        nvmet.disconnect(guest, "SHARED1")


def test_io_to_another_namespace_taints_what_is_measured(guest: Guest, pair: list[str]) -> None:
    quiet = guest.tune(pair[0])
    assert quiet.profile["evidence"]["tainted_visits"] == 0
    assert {sample["neighbour_bytes"] for sample in quiet.samples} == {0}

    busy = guest.spawn(f"while :; do dd if={pair[1]} of=/dev/null bs=1M iflag=direct status=none; done", 600)
    try:
        refused = guest.run(guest.tune_words(pair[0], QUICK, ""), 300)
    finally:
        busy.kill()
        guest.run("pkill -x dd")
    assert refused.status == IO_ERROR, refused.out + refused.err
    assert "other processes used another namespace of the drive" in refused.err
    assert guest.published() == []


def test_two_namespaces_are_not_swept_at_once(guest: Guest, pair: list[str]) -> None:
    job = guest.start_tune(pair[0], [*QUICK[:-4], "--time-budget", "60s", "--seed", "1"])
    wait_for(job, "read 1/2: ")
    refused = guest.run(
        ["aio-tuned", "--config", "/root/tier.conf", "tune", pair[1], "--out", "/root/out", *QUICK], 180
    )
    job.kill()
    job.wait(60 * PATIENCE)
    assert refused.status == BUSY, refused.out + refused.err
    assert f"{pair[0]}: locked by aio-tuned (process " in refused.err
    assert guest.tune(pair[1]).profile["device"]["nsid"] in (1, 2)
