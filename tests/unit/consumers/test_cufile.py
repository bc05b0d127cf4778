from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import cufile
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

DRIVE = drive(combined=settings(block_size=512 << 10, queue_depth=8, io_parallelism=4, saturating_concurrency=24))


def test_the_whole_of_our_part_of_the_file() -> None:
    exported = cufile.export(DRIVE, "/data", ExportOptions())
    assert exported.format == "json"
    assert exported.values == {
        ("properties", "max_direct_io_size_kb"): 512,
        ("properties", "per_buffer_cache_size_kb"): 512,
        ("execution", "parallel_io"): True,
        ("execution", "max_io_threads"): 24,
        ("execution", "max_request_parallelism"): 8,
    }


@given(any_drives)
def test_every_value_is_one_that_the_library_starts_with(any_drive: DriveSettings) -> None:
    values = cufile.export(any_drive, "/data", ExportOptions()).values
    request, buffer, threads, parts = (
        values[key]
        for key in (
            ("properties", "max_direct_io_size_kb"),
            ("properties", "per_buffer_cache_size_kb"),
            ("execution", "max_io_threads"),
            ("execution", "max_request_parallelism"),
        )
    )
    assert isinstance(request, int)
    assert isinstance(buffer, int)
    assert isinstance(threads, int)
    assert isinstance(parts, int)
    assert 64 <= buffer <= request <= 16384
    assert request % 64 == buffer % 64 == 0
    assert 1 <= parts <= threads <= 128
    assert parts <= 8


@pytest.mark.parametrize(
    ("block", "kib"),
    [(4096, 64), (64 << 10, 64), (96 << 10, 64), (192 << 10, 192), (16 << 20, 16384), (64 << 20, 16384)],
)
def test_a_request_is_a_multiple_of_64_kib_and_its_change_is_noted(block: int, kib: int) -> None:
    exported = cufile.export(drive(combined=settings(block_size=block)), "/data", ExportOptions())
    assert exported.values["properties", "max_direct_io_size_kb"] == kib
    changed = any(note.startswith("properties.max_direct_io_size_kb:") for note in exported.notes)
    assert changed == (kib << 10 != block)


def test_bounce_buffers_stay_as_large_as_usual_for_large_requests() -> None:
    exported = cufile.export(drive(combined=settings(block_size=4 << 20)), "/data", ExportOptions())
    assert exported.values["properties", "per_buffer_cache_size_kb"] == 1024


def test_too_many_threads_are_made_what_there_may_be_and_that_is_noted() -> None:
    exported = cufile.export(drive(combined=settings(saturating_concurrency=129)), "/data", ExportOptions())
    assert exported.values["execution", "max_io_threads"] == 128
    assert any(note.startswith("execution.max_io_threads: 128 instead of 129") for note in exported.notes)
    most = cufile.export(drive(combined=settings(saturating_concurrency=128)), "/data", ExportOptions())
    assert not any("instead of" in note for note in most.notes)


def test_no_more_parts_than_threads() -> None:
    exported = cufile.export(drive(combined=settings(saturating_concurrency=3)), "/data", ExportOptions())
    assert exported.values["execution", "max_request_parallelism"] == 3


def test_a_cap_is_kept_and_noted() -> None:
    exported = cufile.export(DRIVE, "/data", ExportOptions(max_block_size=300_000))
    assert exported.values["properties", "max_direct_io_size_kb"] == 256
    assert exported.notes[0].startswith("properties.max_direct_io_size_kb: 262144 bytes")


def test_a_cap_below_the_smallest_request_is_refused() -> None:
    with pytest.raises(UsageError, match="65536"):
        cufile.export(DRIVE, "/data", ExportOptions(max_block_size=65535))
    small = drive(combined=settings(block_size=4096))
    assert (
        cufile.export(small, "/data", ExportOptions(max_block_size=65536)).values["properties", "max_direct_io_size_kb"]
        == 64
    )
