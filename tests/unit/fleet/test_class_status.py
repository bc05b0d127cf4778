"""Statuses of classes: read back as written, and checked as foreign input."""

from __future__ import annotations

import json

import pytest

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.class_status import MAX_STATUS_BYTES, ClassStatus, Noted
from aio_tuned.fleet.consensus import MOST_NAMES
from unit.support.fleet import class_status


@pytest.mark.parametrize(
    "status",
    [class_status(), class_status(generation=0, rollout=None, noted=(), pinned="by alice: why", disagreement="read")],
)
def test_a_status_reads_back_as_it_was_written(status: ClassStatus) -> None:
    assert ClassStatus.from_json(status.to_json()) == status


@pytest.mark.parametrize("char", ["A", '"', "\U0001f600"])
def test_the_longest_status_fits_and_is_cut(char: str) -> None:
    text = char * 1000
    status = class_status(about=text, decision=text, disagreement=text, pinned=text, noted=(Noted(*[text] * 4),) * 1000)
    read = ClassStatus.from_json(status.to_json())
    assert len(status.to_json().encode()) <= MAX_STATUS_BYTES
    assert (read.about, read.decision, read.noted) == (text[:300], text[:300], (Noted(*[text[:300]] * 4),) * MOST_NAMES)


def test_what_a_node_wrote_does_not_reach_a_terminal_as_it_is() -> None:
    """A node writes keys, and the key of a report that is ignored is noted."""
    status = class_status(noted=(Noted("ignored", "n1", "a\x1b[2J/\ud800", "is\nnone"),))
    assert ClassStatus.from_json(status.to_json()).noted == (Noted("ignored", "n1", "a\\x1b[2J/\\ud800", "is\\nnone"),)


def _change(**changes: object) -> str:
    return json.dumps(json.loads(class_status().to_json()) | changes)


_FOREIGN = {
    "no JSON": ("{", "not valid JSON"),
    "too large": (" " * MAX_STATUS_BYTES + "{}", "larger than"),
    "no class": (_change(**{"class": "0"}), "class: "),
    "drives below 0": (_change(drives=-1), "drives: "),
    "nodes without end": (_change(nodes=1 << 40), "nodes: "),
    "a count that is missing": (
        json.dumps({k: v for k, v in json.loads(_change()).items() if k != "stale"}),
        "stale is missing",
    ),
    "a sentence with control characters": (_change(decision="\x1b[2J"), "decision: "),
    "a sentence that is too long": (_change(pinned="a" * 301), "pinned: "),
    "a drive without a reason": (_change(noted=[["odd", "n1", "d"]]), "noted: not a list of 4 values"),
    "too many drives": (_change(noted=[["odd", "n1", "d", ""]] * (MOST_NAMES + 1)), "noted: "),
    "a rollout of no generation": (_change(rollout=[0, 0, 100, 0, 0]), "rollout: "),
}


@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_foreign_input_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        ClassStatus.from_json(text)
    assert why in str(refused.value)
    assert str(refused.value).startswith("class status: ")
    assert str(refused.value).isprintable()
