from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import given

from aio_tuned.consumers.env import export
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from aio_tuned.reader import DIRECTIONS, Source
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives, caps

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from aio_tuned.consumers.export import Export
    from aio_tuned.reader import DriveSettings

PARAMETERS = ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit")


def variables(made: Export) -> dict[str, str]:
    """What a shell or systemd has from the file."""
    assert made.format == "env"
    lines = [line for line in render(made).splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def value_of(text: str, kind: type) -> object:
    return {"true": True, "false": False}[text] if kind is bool else kind(text)


@given(any_drives)
def test_the_settings_can_be_read_back_from_the_variables(given_drive: DriveSettings) -> None:
    found = variables(export(given_drive, "/mnt/models", ExportOptions()))
    assert all(re.fullmatch(r"AIO_TUNED_[A-Z_]+", name) for name in found)
    for direction in DIRECTIONS:
        wanted = getattr(given_drive, direction)
        for parameter in (*PARAMETERS, "saturating_concurrency"):
            value = getattr(wanted, parameter)
            text = found[f"AIO_TUNED_{direction.upper()}_{parameter.upper()}"]
            assert value_of(text, type(value)) == value
        assert found[f"AIO_TUNED_{direction.upper()}_STATE"] == wanted.source.state


def test_a_throughput_is_there_where_it_was_measured() -> None:
    found = variables(export(drive(), "/mnt/models", ExportOptions()))
    assert found["AIO_TUNED_READ_THROUGHPUT_BYTES_PER_S"] == "6500000000"
    assert found["AIO_TUNED_COMBINED_THROUGHPUT_BYTES_PER_S"] == ""


def test_where_settings_come_from_is_told() -> None:
    found = variables(export(drive(), "/mnt/models", ExportOptions()))
    assert found["AIO_TUNED_STATE"] == "measured"
    assert found["AIO_TUNED_SOURCE"] == "/etc/aio-tuned/nvme-A_1_1.toml"
    assert found["AIO_TUNED_DEVICE"] == "nvme-A_1_1"


def test_the_file_is_named_for_programs_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = settings(source=Source("measured", "profiles/nvme-A_1_1.toml", "nvme-A_1_1", "combined"))
    found = variables(export(drive(combined=given), "/mnt/models", ExportOptions()))
    assert found["AIO_TUNED_SOURCE"] == f"{tmp_path}/profiles/nvme-A_1_1.toml"


def test_without_a_profile_there_is_a_state_and_empty_names() -> None:
    default = settings(source=Source("default"))
    found = variables(export(drive(combined=default), "/mnt/models", ExportOptions()))
    assert found["AIO_TUNED_STATE"] == "default"
    assert found["AIO_TUNED_READ_STATE"] == "measured"
    assert (found["AIO_TUNED_SOURCE"], found["AIO_TUNED_DEVICE"]) == ("", "")


@given(any_drives, caps)
def test_a_cap_holds_and_is_told_for_each_direction(given_drive: DriveSettings, cap: int) -> None:
    made = export(given_drive, "/mnt/models", ExportOptions(max_block_size=cap))
    found = variables(made)
    for direction in DIRECTIONS:
        before = getattr(given_drive, direction)
        name = f"AIO_TUNED_{direction.upper()}_BLOCK_SIZE"
        assert int(found[name]) <= cap
        assert any(note.startswith(f"{name}: ") for note in made.notes) == (int(found[name]) != before.block_size)
