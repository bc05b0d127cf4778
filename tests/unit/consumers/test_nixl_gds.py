from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import nixl_gds
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

MIB = 1 << 20


def test_both_tables_are_strings() -> None:
    given_drive = drive(combined=settings(block_size=MIB, saturating_concurrency=24))
    exported = nixl_gds.export(given_drive, "/data", ExportOptions())
    assert exported.format == "toml"
    assert exported.values == {
        ("GDS_MT", "thread_count"): "24",
        ("GDS", "max_request_size"): "1048576",
        ("GDS", "batch_pool_size"): "256",
    }


def test_threads_are_for_the_descriptors_and_the_request_size_is_of_the_queue() -> None:
    fast, slow = 6_000_000_000, 3_000_000_000
    given_drive = drive(
        curves=(
            curve("psync", "read", {MIB: 7, 16 * MIB: 3}),
            curve("psync", "write", {MIB: 12, 16 * MIB: 2}),
            curve("io_uring", "read", {4 * MIB: 8, 16 * MIB: 4}, {4 * MIB: fast, 16 * MIB: slow}),
        )
    )
    values = nixl_gds.export(given_drive, "/data", ExportOptions()).values
    assert values["GDS_MT", "thread_count"] == "12"
    assert values["GDS", "max_request_size"] == str(4 * MIB)
    assert values["GDS", "batch_pool_size"] == "64"
    sized = nixl_gds.export(given_drive, "/data", ExportOptions(request_bytes=16 * MIB)).values
    assert sized["GDS_MT", "thread_count"] == "3"
    assert sized["GDS", "max_request_size"] == str(16 * MIB)


@given(any_drives)
def test_as_many_bytes_can_be_in_progress_as_by_default(any_drive: DriveSettings) -> None:
    values = nixl_gds.export(any_drive, "/data", ExportOptions()).values
    request, pool = (int(str(values["GDS", name])) for name in ("max_request_size", "batch_pool_size"))
    assert pool >= 16
    assert pool * request >= 16 * 16 * MIB
    assert pool == 16 or (pool - 1) * request < 16 * 16 * MIB


@pytest.mark.parametrize(("size", "noted"), [(16 * MIB, False), (32 * MIB, False), (8 * MIB, True)])
def test_a_larger_pool_is_noted(size: int, noted: bool) -> None:
    notes = nixl_gds.export(drive(combined=settings(block_size=size)), "/data", ExportOptions()).notes
    assert any(note.startswith("GDS.batch_pool_size: ") for note in notes) == noted


def test_a_part_of_a_batch_needs_a_batch() -> None:
    values = nixl_gds.export(drive(), "/data", ExportOptions(request_bytes=12 * MIB)).values
    assert values["GDS", "batch_pool_size"] == "22"  # 256 MiB in pieces of 12 MiB: 21 and a third


def test_a_cap_is_kept_and_noted() -> None:
    exported = nixl_gds.export(drive(combined=settings(block_size=4 * MIB)), "/data", ExportOptions(max_block_size=MIB))
    assert exported.values["GDS", "max_request_size"] == str(MIB)
    assert any(note.startswith("GDS.max_request_size: 1048576 bytes because of") for note in exported.notes)
    with pytest.raises(UsageError, match="below the smallest block"):
        nixl_gds.export(drive(), "/data", ExportOptions(max_block_size=100))
