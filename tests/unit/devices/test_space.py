from __future__ import annotations

from pathlib import Path

import pytest

from aio_tuned.devices import space
from unit.support.builders import GIB, MIB

MOUNT = Path("/mnt/thin")


@pytest.mark.parametrize(("kept", "said"), [(0, False), (128 * MIB, False), (129 * MIB, True), (GIB, True)])
def test_space_that_stays_taken_is_a_finding(kept: int, said: bool) -> None:
    found = space.finding({"pool": GIB, "file": 0}, {"pool": GIB + kept, "file": 0}, GIB, MOUNT)
    assert bool(found) is said
    if said:
        assert f"pool has {kept // MIB} MiB more in use" in found
        assert "fstrim /mnt/thin" in found


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({"pool": 1}, {}), ({}, {"pool": 1})])
def test_without_a_figure_it_is_said_that_nothing_is_known(before: dict[str, int], after: dict[str, int]) -> None:
    assert "usage below the filesystem cannot be read" in space.finding(before, after, GIB, MOUNT)
