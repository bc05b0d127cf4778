"""Pins: read back as written, and checked as foreign input."""

from __future__ import annotations

import json

import pytest

from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.pin import MAX_PIN_BYTES, Pin
from unit.support.fleet import POINTS, class_pin


@pytest.mark.parametrize(
    "pin", [class_pin(), class_pin(read=None, write=POINTS[1], combined=POINTS[2], restores=4, by="", why="")]
)
def test_a_pin_reads_back_as_it_was_written(pin: Pin) -> None:
    assert Pin.from_json(pin.to_json()) == pin


@pytest.mark.parametrize("char", ["A", '"', "\U0001f600"])
def test_the_longest_pin_is_read(char: str) -> None:
    pin = class_pin(write=POINTS[1], combined=POINTS[2], by=char * 200, why=char * 200)
    assert Pin.from_json(pin.to_json()) == pin


def _change(**changes: object) -> str:
    return json.dumps(json.loads(class_pin().to_json()) | changes)


_FOREIGN = {
    "no JSON": ("{", "not valid JSON"),
    "too large": (" " * MAX_PIN_BYTES + "{}", "larger than"),
    "no class": (_change(**{"class": "../x"}), "class: "),
    "no setting": (_change(read=None), "has no setting"),
    "a setting beyond the helper's limits": (_change(read=[512, 5000, 1, 1, 1]), "read: queue_depth"),
    "a setting of four parameters": (_change(combined=[512, 1, 1, 1]), "combined: "),
    "a reason with control characters": (_change(why="\x1b[2J"), "why: "),
    "a name that is too long": (_change(by="a" * 201), "by: "),
    "a time of no clock": (_change(at=-1), "at: "),
    "a generation of text": (_change(restores="4"), "restores: "),
}


@pytest.mark.parametrize(("text", "why"), _FOREIGN.values(), ids=_FOREIGN.keys())
def test_foreign_input_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        Pin.from_json(text)
    assert why in str(refused.value)
    assert str(refused.value).startswith("pin: ")
