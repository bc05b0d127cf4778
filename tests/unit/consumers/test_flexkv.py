from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import flexkv
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings


def entries(given_drive: DriveSettings, request_bytes: int | None = None) -> object:
    options = ExportOptions(request_bytes=request_bytes)
    return flexkv.export(given_drive, "/data", options).values["FLEXKV_IOURING_ENTRIES",]


def test_the_whole_environment() -> None:
    exported = flexkv.export(drive(combined=settings(saturating_concurrency=300)), "/data", ExportOptions())
    assert exported.format == "env"
    assert exported.values == {("FLEXKV_IOURING_ENTRIES",): 600}


def test_half_of_the_entries_saturate_reads_and_writes() -> None:
    measured = drive(curves=(curve("io_uring", "read", {2 << 20: 257}), curve("io_uring", "write", {2 << 20: 400})))
    assert entries(measured) == 800
    assert entries(drive(curves=measured.curves[:1])) == 514
    assert entries(measured, request_bytes=4 << 20) == 800
    notes = flexkv.export(measured, "/data", ExportOptions()).notes
    assert any("800 for 400 requests in flight" in note for note in notes)


@pytest.mark.parametrize(("requests", "ring"), [(1, 512), (256, 512), (257, 514)])
def test_the_ring_is_never_smaller_than_flexkvs_own(requests: int, ring: int) -> None:
    assert entries(drive(combined=settings(saturating_concurrency=requests))) == ring


@given(any_drives)
def test_the_ring_is_even_and_never_larger_than_the_kernel_allows(any_drive: DriveSettings) -> None:
    number = int(str(entries(any_drive)))
    assert number >= 2 * any_drive.combined.saturating_concurrency
    assert 512 <= number <= 32768
    assert number % 2 == 0


def test_a_ring_that_the_kernel_would_refuse_is_made_smaller() -> None:
    assert entries(drive(combined=settings(saturating_concurrency=20_000))) == 32768


def test_a_cap_of_the_block_size_changes_nothing_but_the_notes() -> None:
    plain, capped = (flexkv.export(drive(), "/data", ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert [note for note in capped.notes if note not in plain.notes] == [
        "max_block_size: ignored, because FlexKV's requests have the size of its blocks."
    ]


def test_what_the_user_decides_is_named() -> None:
    notes = flexkv.export(drive(), "/mnt/nvme", ExportOptions()).notes
    assert any(note.startswith("FLEXKV_SSD_CACHE_DIR: set it to /mnt/nvme") for note in notes)
    assert any(note.startswith("FLEXKV_CONFIG_PATH: ") for note in notes)
    assert not any("divide by" in note for note in notes)  # each process has a ring that is not below FlexKV's own


def test_a_release_before_the_variable_is_refused() -> None:
    with pytest.raises(UsageError, match=r"FlexKV 1\.1\.0: has no FLEXKV_IOURING_ENTRIES"):
        flexkv.export(drive(), "/data", ExportOptions(for_version="1.1.0"))
    assert flexkv.export(drive(), "/data", ExportOptions(for_version="1.2.0")).values
