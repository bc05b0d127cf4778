"""What an agent knows of classes: here, that the store was replaced by another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.fleet.class_reader import POLL_S, ClassReader
from unit.support.builders import SMALL_GRID
from unit.support.fleet import CLASS, class_plan
from unit.support.fleet_node import COORDINATOR_KEY, Site

if TYPE_CHECKING:
    from pathlib import Path


def _put(site: Site, **changes: Any) -> None:  # noqa: ANN401 - any field
    site.store.put_plan(COORDINATOR_KEY.sign(class_plan(rollout=None, **changes)))


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        # The first of the nodes that put their reports again have led to a new plan already.
        ({"generation": 0, "made_at_s": 2_000_000_000}, True),
        # A copy from yesterday.
        ({"generation": 2, "made_at_s": 1_799_900_000}, True),
        ({"generation": 2, "made_at_s": 2_000_000_000}, False),
        ({"generation": 3, "made_at_s": 2_000_000_000}, False),
    ],
)
def test_a_plan_that_is_older_than_the_last_one_is_that_of_another_store(
    tmp_path: Path, changes: dict[str, Any], lost: bool
) -> None:
    site = Site(tmp_path)
    reader = ClassReader(site.store, "n1", (COORDINATOR_KEY.public,), lambda low, _high: low)
    _put(site, generation=2, made_at_s=1_800_000_000)
    assert not reader.poll({CLASS: SMALL_GRID}, (), site.now_s)
    _put(site, **changes)
    site.now_s += POLL_S
    assert reader.poll({CLASS: SMALL_GRID}, (), site.now_s) is lost
    site.now_s += POLL_S
    assert not reader.poll({CLASS: SMALL_GRID}, (), site.now_s)
