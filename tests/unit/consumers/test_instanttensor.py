from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import instanttensor
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

DRIVE = drive(read=settings(direction="read", block_size=512 << 10, saturating_concurrency=24))


def test_the_whole_environment() -> None:
    exported = instanttensor.export(DRIVE, "/data", ExportOptions())
    assert exported.format == "env"
    assert exported.values == {("INSTANTTENSOR_IO_DEPTH",): 48, ("INSTANTTENSOR_CHUNK_SIZE",): 524288}


@pytest.mark.parametrize(("reads", "slots"), [(1, 3), (2, 4), (7, 14), (512, 1024), (513, 1024)])
def test_half_of_the_slots_are_for_reads_in_flight(reads: int, slots: int) -> None:
    measured = drive(curves=(curve("io_uring", "read", {8 << 20: reads}),))
    exported = instanttensor.export(measured, "/data", ExportOptions())
    assert exported.values["INSTANTTENSOR_IO_DEPTH",] == slots
    assert any(f"{slots} slots for {reads} reads in flight" in note for note in exported.notes)


@given(any_drives)
def test_the_depth_is_within_the_loaders_limits(any_drive: DriveSettings) -> None:
    values = instanttensor.export(any_drive, "/data", ExportOptions()).values
    assert 3 <= int(str(values["INSTANTTENSOR_IO_DEPTH",])) <= 1024


def test_libaio_stands_in_for_io_uring() -> None:
    measured = drive(curves=(curve("libaio", "read", {8 << 20: 5}), curve("psync", "read", {8 << 20: 9})))
    exported = instanttensor.export(measured, "/data", ExportOptions())
    assert exported.values["INSTANTTENSOR_IO_DEPTH",] == 10
    assert any("no curve of io_uring" in note for note in exported.notes)


def test_a_cap_is_kept_and_noted() -> None:
    exported = instanttensor.export(DRIVE, "/data", ExportOptions(max_block_size=300_000))
    assert exported.values["INSTANTTENSOR_CHUNK_SIZE",] == 262144
    assert exported.notes[0].startswith("INSTANTTENSOR_CHUNK_SIZE: 262144 bytes")


def test_a_read_that_is_too_large_is_refused() -> None:
    assert instanttensor.export(DRIVE, "/data", ExportOptions(request_bytes=1 << 30)).values
    with pytest.raises(UsageError, match=r"--request-size 2147483648: above .*; pass 1073741824 or less"):
        instanttensor.export(DRIVE, "/data", ExportOptions(request_bytes=2 << 30))


@pytest.mark.parametrize("version", ["0.1.9", "new"])
def test_a_release_that_is_not_known_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="InstantTensor"):
        instanttensor.export(DRIVE, "/data", ExportOptions(for_version=version))
