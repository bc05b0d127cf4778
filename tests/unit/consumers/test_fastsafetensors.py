from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import fastsafetensors
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

DRIVE = drive(
    read=settings(block_size=512 << 10, direction="read", queue_depth=8, io_parallelism=4, saturating_concurrency=24)
)


def test_the_whole_of_our_part_of_the_file() -> None:
    exported = fastsafetensors.export(DRIVE, "/data", ExportOptions())
    assert exported.format == "json"
    # Two buffers of 512 KiB for each of 24 threads.
    assert exported.values == {("base", "max_threads"): 24, ("base", "bbuf_size_kb"): 24576}


@pytest.mark.parametrize("version", ["0.3.2", "0.3.3", "0.4.0"])
def test_a_thread_of_earlier_releases_has_one_buffer(version: str) -> None:
    exported = fastsafetensors.export(DRIVE, "/data", ExportOptions(for_version=version))
    assert exported.values == {("base", "max_threads"): 24, ("base", "bbuf_size_kb"): 24 * 512}
    assert any("one thread" in note for note in exported.notes)


@pytest.mark.parametrize("version", ["0.5.0", "0.5.1", "1.0"])
def test_named_releases_since_the_common_buffers_have_the_same(version: str) -> None:
    named = fastsafetensors.export(DRIVE, "/data", ExportOptions(for_version=version))
    assert named == fastsafetensors.export(DRIVE, "/data", ExportOptions())


@given(any_drives)
def test_a_buffer_is_a_block_for_as_many_threads_as_there_may_be(any_drive: DriveSettings) -> None:
    values = fastsafetensors.export(any_drive, "/data", ExportOptions()).values
    threads, kib = values["base", "max_threads"], values["base", "bbuf_size_kb"]
    assert threads == min(any_drive.read.saturating_concurrency, 1024)
    assert isinstance(kib, int)
    assert isinstance(threads, int)
    assert kib << 10 == threads * 2 * any_drive.read.block_size


def test_a_cap_is_kept_and_noted() -> None:
    exported = fastsafetensors.export(DRIVE, "/data", ExportOptions(max_block_size=300_000))
    assert exported.values["base", "bbuf_size_kb"] == 24 * 2 * 256
    assert exported.notes[0].startswith("base.bbuf_size_kb: 262144 bytes")


@pytest.mark.parametrize("version", ["0.3.1", "0.2", "new"])
def test_a_release_without_the_file_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="fastsafetensors"):
        fastsafetensors.export(DRIVE, "/data", ExportOptions(for_version=version))
