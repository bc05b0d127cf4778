"""Orders to the daemon: read back as written, with the class result as it was signed, and checked as foreign input."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.consensus import MAX_RESULT_BYTES, MOST_NAMES, Contributor, Rejected
from aio_tuned.fleet.order import MAX_ORDER_BYTES, Order, Task
from aio_tuned.fleet.signature import Keyring, SigningKey
from unit.support.fleet import class_result, fleet_order

COORDINATOR = SigningKey(Ed25519PrivateKey.generate())
RESULT = COORDINATOR.sign(class_result(3))


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("result", ["", RESULT.text], ids=["no result", "a result"])
def test_an_order_reads_back_as_it_was_written(task: Task, result: str) -> None:
    order = fleet_order(task=task, result=result)
    assert Order.from_json(order.to_json()) == order


def test_the_signature_of_the_result_holds_after_the_way_through_an_order() -> None:
    """Whatever spaces and line ends a file has."""
    spaced = json.dumps(json.loads(fleet_order(result=RESULT.text).to_json()), indent=2)
    read = Order.from_json(spaced).result
    assert Keyring.of(coordinators=[COORDINATOR.public]).read_result(read) == RESULT


def test_the_largest_result_fits_and_the_sentence_is_cut() -> None:
    names = tuple(Contributor("n" * 64, "d" * 200) for _ in range(MOST_NAMES))
    rejected = tuple(Rejected("n" * 64, "d" * 200, "\U0001f600" * 95) for _ in range(MOST_NAMES))
    largest = COORDINATOR.sign(class_result(contributors=names, rejected=rejected))
    assert MAX_RESULT_BYTES - 3000 < len(largest.document.to_json().encode()) <= MAX_RESULT_BYTES
    order = fleet_order(drive="d" * 200, said="\U0001f600" * 400, result=largest.text)
    assert len(order.to_json().encode()) <= MAX_ORDER_BYTES
    assert Order.from_json(order.to_json()) == replace(order, said="\U0001f600" * 200)


def _change(**changes: object) -> str:
    return json.dumps(json.loads(fleet_order().to_json()) | changes)


_FOREIGN = {
    "no JSON": ("{", "not valid JSON"),
    "no UTF-8": (b"\xff", "not valid JSON"),
    "too large": (" " * MAX_ORDER_BYTES + "{}", "larger than 65536 bytes"),
    "a path": (_change(drive="../../etc/passwd"), "drive: "),
    "no class": (_change(**{"class": "0"}), "class: "),
    "an unknown task": (_change(task="reboot"), "task: "),
    "a sentence with control characters": (_change(said="\x1b[2J"), "said: "),
    "a result that is text": (_change(result=RESULT.text), "result: not an object"),
    "a number without end": (_change(result={"a": 1}).replace('"a": 1', '"a": 1e999'), "not valid JSON"),
    "a time of text": (_change(made_at="now"), "made_at: "),
}


@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_foreign_input_is_refused_with_its_reason(text: str | bytes, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        Order.from_json(text)
    assert why in str(refused.value)
    assert str(refused.value).startswith("fleet order: ")
