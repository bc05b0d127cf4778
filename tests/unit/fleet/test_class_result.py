"""Class results: read back as written, and checked as foreign input."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.consensus import MAX_RESULT_BYTES, MOST_NAMES, ClassResult, Contributor, Refused, Rejected
from unit.support.fleet import NOW_S, POINTS, class_result

_FULL = class_result(
    4,
    write=class_result().read,
    rejected=(Rejected("n7", "nvme-A", "read: 40 % slower than the median"),),
    refused=(Refused("write", POINTS[3], NOW_S),),
    disagreement="read: 2 GB/s on n1, 6 GB/s on n2",
    restores=2,
)


@pytest.mark.parametrize("result", [class_result(), _FULL, replace(_FULL, read=None, combined=None)])
def test_a_result_reads_back_as_it_was_written(result: ClassResult) -> None:
    assert ClassResult.from_json(result.to_json()) == result


def test_the_largest_result_is_read() -> None:
    names = tuple(Contributor("n" * 64, "d" * 200) for _ in range(MOST_NAMES))
    why = tuple(Rejected("n" * 64, "d" * 200, "w" * 200) for _ in range(MOST_NAMES))
    largest = replace(_FULL, contributors=names, rejected=why, refused=_FULL.refused * MOST_NAMES)
    assert len(largest.to_json()) <= MAX_RESULT_BYTES
    assert ClassResult.from_json(largest.to_json()) == largest


def _change(**changes: object) -> str:
    return json.dumps(json.loads(_FULL.to_json()) | changes)


_FOREIGN = {
    "too large": (" " * MAX_RESULT_BYTES + "{}", "larger than"),
    "generation 0": (_change(generation=0), "generation: "),
    "a generation that restores itself": (_change(restores=4), "not older than itself"),
    "a contributor without a drive": (_change(contributors=[["n1"]]), "contributors: not a list of 2 values"),
    "too many contributors": (_change(contributors=[["n1", "d"]] * 65), "contributors: "),
    "a reason with control characters": (_change(rejected=[["n1", "d", "\x1b[2J"]]), "rejected: "),
    "a share of 0": (_change(combined={"setting": [512, 1, 1, 1, 1], "read_share": 0, "write_share": 1}), "read_share"),
    "a refusal of no direction": (_change(refused=[["trim", [512, 1, 1, 1, 1], 0]]), "refused: "),
    "a direction that is text": (_change(read="fast"), "read: not an object"),
    "a direction without its rate": (_change(read={"setting": [512, 1, 1, 1, 1]}), "read: rate is missing"),
}


@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_foreign_input_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        ClassResult.from_json(text)
    assert why in str(refused.value)
    assert str(refused.value).startswith("class result: ")


def test_a_result_without_a_direction_is_none() -> None:
    document = {key: value for key, value in json.loads(_FULL.to_json()).items() if key not in ("read", "write")}
    with pytest.raises(FleetDataError, match="no direction"):
        ClassResult.from_json(json.dumps(document))
