from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import dynamo
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Engine
    from aio_tuned.reader import DriveSettings


def transfers(given_drive: DriveSettings) -> object:
    return dynamo.export(given_drive, "/data", ExportOptions()).values["DYN_KVBM_MAX_CONCURRENT_TRANSFERS",]


def test_the_whole_environment() -> None:
    given_drive = drive(
        read=settings(direction="read", saturating_concurrency=64),
        write=settings(direction="write", saturating_concurrency=12),
    )
    exported = dynamo.export(given_drive, "/data", ExportOptions())
    assert exported.format == "env"
    assert exported.values == {("DYN_KVBM_MAX_CONCURRENT_TRANSFERS",): 12}


@pytest.mark.parametrize("engine", ["libaio", "io_uring"])
@pytest.mark.parametrize(
    ("reads", "writes", "wanted"), [(16, 1, 1), (17, 1, 2), (160, 4, 10), (161, 4, 11), (64, 9, 9)]
)
def test_a_write_is_a_transfer_and_sixteen_reads_are_one(engine: Engine, reads: int, writes: int, wanted: int) -> None:
    measured = drive(curves=(curve(engine, "read", {2 << 20: reads}), curve(engine, "write", {2 << 20: writes})))
    assert transfers(measured) == wanted


@given(any_drives)
def test_both_directions_saturate_the_drive(any_drive: DriveSettings) -> None:
    number = int(str(transfers(any_drive)))
    assert number >= any_drive.write.saturating_concurrency
    assert number * 16 >= any_drive.read.saturating_concurrency
    smaller = number - 1
    assert smaller < any_drive.write.saturating_concurrency or smaller * 16 < any_drive.read.saturating_concurrency


def test_the_note_says_which_number_counts() -> None:
    measured = drive(curves=(curve("libaio", "read", {2 << 20: 64}), curve("libaio", "write", {2 << 20: 9})))
    notes = dynamo.export(measured, "/data", ExportOptions()).notes
    assert any("9 for 9 writes of a block, or 64 reads in batches of 16" in note for note in notes)
    assert any(note.startswith("DYN_KVBM_DISK_CACHE_DIR: set it to /data ") for note in notes)


def test_a_release_before_the_variable_is_refused() -> None:
    with pytest.raises(UsageError, match=r"KVBM 1\.0\.0: has no DYN_KVBM_MAX_CONCURRENT_TRANSFERS"):
        dynamo.export(drive(), "/data", ExportOptions(for_version="1.0.0"))
    assert dynamo.export(drive(), "/data", ExportOptions(for_version="1.1.1")).values
