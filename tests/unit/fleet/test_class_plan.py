"""Plans of classes: read back as written, and checked as foreign input."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire
from aio_tuned.fleet.plan import MAX_PLAN_BYTES, MOST_SLOTS, ClassPlan
from unit.support.fleet import class_plan

# A class with nothing yet: no report, no result.
_NEW = class_plan(swept=0, open_slots=(), racks=(), generation=0, result_made_at_s=0, rollout=None)


@pytest.mark.parametrize("plan", [class_plan(), _NEW])
def test_a_plan_reads_back_as_it_was_written(plan: ClassPlan) -> None:
    assert ClassPlan.from_json(plan.to_json()) == plan


def test_every_drive_of_a_fleet_may_have_swept_and_16_racks_are_told() -> None:
    """As in a fleet whose drives had profiles before it was one."""
    racks = tuple(f"{number:064}" for number in range(80_000))
    plan = class_plan(swept=80_000, wanted=wire.MOST_DRIVES, open_slots=tuple(range(MOST_SLOTS)), racks=racks)
    assert len(plan.to_json()) <= MAX_PLAN_BYTES
    assert ClassPlan.from_json(plan.to_json()) == replace(plan, racks=racks[:MOST_SLOTS])


def _change(**changes: object) -> str:
    return json.dumps(json.loads(class_plan().to_json()) | changes)


_FOREIGN = {
    "no JSON": ("{", "not valid JSON"),
    "too large": (" " * MAX_PLAN_BYTES + "{}", "larger than 4096 bytes"),
    "another schema": (_change(schema=2), "schema 2 is not supported"),
    "no class": (_change(**{"class": "0"}), "class: "),
    "half a sweep": (_change(swept=0.5), "swept: "),
    "sweeps below 0": (_change(wanted=-1), "wanted: "),
    "a slot that is none": (_change(open=[MOST_SLOTS]), "open: "),
    "a slot that is a flag": (_change(open=[True]), "open: "),
    "too many slots": (_change(open=[0] * (MOST_SLOTS + 1)), "open: "),
    "a rack that is a path": (_change(racks=["../x"]), "racks: "),
    "a generation that is text": (_change(generation="2"), "generation: "),
    "a time beyond all clocks": (_change(made_at=1 << 40), "made_at: "),
    "a result's time that is missing": (
        json.dumps({k: v for k, v in json.loads(_change()).items() if k != "result_made_at"}),
        "result_made_at is missing",
    ),
    "a rollout that is an object": (_change(rollout={}), "rollout: not a list of 5 values"),
    "a step that is none": (_change(rollout=[2, 3, 100, 0, 1]), "rollout: "),
}


@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_foreign_input_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        ClassPlan.from_json(text)
    assert why in str(refused.value)
    assert str(refused.value).startswith("class plan: ")
