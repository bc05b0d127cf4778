from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given

from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.json_document import export
from aio_tuned.consumers.rendering import render
from aio_tuned.reader import DIRECTIONS, DriveSettings, Settings, Source
from unit.support.consumer_settings import drive
from unit.support.consumer_strategies import any_drives, caps

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export


def document(made: Export) -> dict[str, Any]:
    """What a program has from the file."""
    assert made.format == "json"
    found: dict[str, Any] = json.loads(render(made))
    return found


def settings_of(table: dict[str, Any]) -> Settings:
    source = Source(**table["source"])
    return Settings(**{"throughput_bytes_per_s": None, **table, "source": source})


@given(any_drives)
def test_the_settings_come_back_from_the_document_with_their_types(given_drive: DriveSettings) -> None:
    found = document(export(given_drive, "/mnt/models", ExportOptions()))
    assert found.pop("path") == "/mnt/models"
    assert found.keys() == set(DIRECTIONS)
    read, write, combined = (settings_of(found[name]) for name in ("read", "write", "combined"))
    back = DriveSettings(read, write, combined)
    assert back == given_drive
    assert types_of(back) == types_of(given_drive)


def types_of(given_drive: DriveSettings) -> list[list[type]]:
    return [[type(value) for value in getattr(given_drive, direction)] for direction in DIRECTIONS]


def test_what_was_not_measured_is_null() -> None:
    found = document(export(drive(), "/mnt/models", ExportOptions()))
    assert found["write"]["throughput_bytes_per_s"] == 4_000_000_000
    assert found["combined"]["throughput_bytes_per_s"] is None


@given(any_drives, caps)
def test_a_cap_holds_and_is_told_for_each_direction(given_drive: DriveSettings, cap: int) -> None:
    made = export(given_drive, "/mnt/models", ExportOptions(max_block_size=cap))
    found = document(made)
    for direction in DIRECTIONS:
        before = getattr(given_drive, direction)
        block = found[direction]["block_size"]
        assert block <= cap
        assert any(note.startswith(f"{direction}.block_size: ") for note in made.notes) == (block != before.block_size)
