from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import kvikio
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

DRIVE = drive(combined=settings(block_size=512 << 10, queue_depth=8, io_parallelism=4, saturating_concurrency=24))


def test_the_whole_environment() -> None:
    exported = kvikio.export(DRIVE, "/data", ExportOptions())
    assert exported.format == "env"
    assert exported.values == {
        ("KVIKIO_NTHREADS",): 24,
        ("KVIKIO_TASK_SIZE",): 524288,
        ("KVIKIO_BOUNCE_BUFFER_SIZE",): 16777216,
        ("KVIKIO_AUTO_DIRECT_IO_READ",): 1,
        ("KVIKIO_AUTO_DIRECT_IO_WRITE",): 1,
    }


@given(any_drives)
def test_a_task_fits_into_a_bounce_buffer(any_drive: DriveSettings) -> None:
    values = kvikio.export(any_drive, "/data", ExportOptions()).values
    # What is not below the task's size may not be below the default either: unaligned reads need more than a task.
    assert values["KVIKIO_BOUNCE_BUFFER_SIZE",] == max(any_drive.combined.block_size, 16 << 20)


def test_a_cap_is_kept_and_noted() -> None:
    exported = kvikio.export(DRIVE, "/data", ExportOptions(max_block_size=300_000))
    assert exported.values["KVIKIO_TASK_SIZE",] == 262144
    assert exported.notes[0].startswith("KVIKIO_TASK_SIZE: 262144 bytes")


def test_direct_io_is_only_set_where_the_release_reads_it() -> None:
    names = {
        version: kvikio.export(DRIVE, "/data", ExportOptions(for_version=version)) for version in ("25.10.00", "25.12")
    }
    new = names["25.12"].values.keys() - names["25.10.00"].values.keys()
    assert new == {("KVIKIO_AUTO_DIRECT_IO_READ",), ("KVIKIO_AUTO_DIRECT_IO_WRITE",)}
    assert not any("DIRECT_IO" in note for note in names["25.10.00"].notes)
    assert any(note.startswith("KVIKIO_AUTO_DIRECT_IO_READ:") for note in names["25.12"].notes)


def test_what_does_not_exist_is_said() -> None:
    lacking = "KvikIO has no queue_depth, overlap_events or single_submit"
    assert any(lacking in note for note in kvikio.export(DRIVE, "/data", ExportOptions()).notes)


@pytest.mark.parametrize("version", ["24.08.00", "new"])
def test_a_release_that_is_not_known_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="KvikIO"):
        kvikio.export(DRIVE, "/data", ExportOptions(for_version=version))
