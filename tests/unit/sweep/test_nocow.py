from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.search import grid
from aio_tuned.sweep import nocow
from aio_tuned.sweep.observer import NullObserver
from aio_tuned.sweep.order import Order, PhaseOutcome, SweepOutcome
from unit.support.builders import HELLO, MIB, SMALL_GRID, phase, sample, scratch_target

if TYPE_CHECKING:
    from pathlib import Path

BTRFS = replace(scratch_target(), filesystem="btrfs")
ORDER = Order(
    settings={"write": grid.settings(SMALL_GRID)},
    max_transfer_bytes=MIB,
    time_budget_ns=10**9,
    write_budget_bytes=100 * MIB,
    tolerance=0.1,
    seed=1,
)
WRITES = phase(direction="write")
PASSED = replace(sample(direction="write"), passing_bytes=MIB)


@pytest.mark.parametrize(("code", "op"), [(75, "space"), (74, "open")])
def test_the_sweep_is_kept_where_the_second_scratch_file_comes_to_nothing(tmp_path: Path, code: int, op: str) -> None:
    """Others' need for the space is no reason to throw the finished sweep away, nor is an error."""
    helper = tmp_path / "helper"
    said = json.dumps({"type": "error", "code": code, "op": op, "message": "/mnt: no"})
    helper.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
    helper.chmod(0o755)
    swept = SweepOutcome(
        hello=HELLO,
        phases=(PhaseOutcome(first_pass=WRITES, race=None, phase=WRITES, passed="", ended="", settled=True),),
        samples=(PASSED,),
        written_bytes=0,
    )
    found = asyncio.run(
        nocow.measure(helper, lambda *_, **__: ("--x",), ORDER, BTRFS, swept, NullObserver(), grace_s=5)
    )
    assert found.bytes_per_s is None
    assert found.written_bytes > 0
