from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import runai
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

DRIVE = drive(
    read=settings(block_size=512 << 10, direction="read", queue_depth=8, io_parallelism=4, saturating_concurrency=24)
)


def test_the_whole_environment() -> None:
    exported = runai.export(DRIVE, "/data", ExportOptions())
    assert exported.format == "env"
    assert exported.values == {
        ("RUNAI_STREAMER_FS_QUEUE_DEPTH",): 24,
        ("RUNAI_STREAMER_FS_CHUNK_BYTESIZE",): 524288,
    }


@pytest.mark.parametrize("version", ["0.17.0", "0.17.1", "1.0"])
def test_named_releases_since_the_asynchronous_readers_have_the_same(version: str) -> None:
    assert runai.export(DRIVE, "/data", ExportOptions(for_version=version)) == runai.export(
        DRIVE, "/data", ExportOptions()
    )


def test_the_threads_of_earlier_releases_read_at_least_2_mib() -> None:
    exported = runai.export(DRIVE, "/data", ExportOptions(for_version="0.16.1"))
    assert exported.values == {("RUNAI_STREAMER_CONCURRENCY",): 24, ("RUNAI_STREAMER_CHUNK_BYTESIZE",): 2 << 20}
    assert exported.notes[0].startswith("RUNAI_STREAMER_CHUNK_BYTESIZE: 2097152 bytes")
    assert any("page cache" in note for note in exported.notes)


def test_larger_blocks_go_to_the_threads_as_they_are() -> None:
    large = drive(read=settings(block_size=8 << 20))
    exported = runai.export(large, "/data", ExportOptions(for_version="0.16.1"))
    assert exported.values["RUNAI_STREAMER_CHUNK_BYTESIZE",] == 8 << 20
    assert not any(note.startswith("RUNAI_STREAMER_CHUNK_BYTESIZE:") for note in exported.notes)


@given(any_drives)
def test_no_more_in_flight_than_the_streamer_takes(any_drive: DriveSettings) -> None:
    wanted = any_drive.read.saturating_concurrency
    depth = min(wanted, 1024)
    made = runai.export(any_drive, "/data", ExportOptions())
    assert made.values["RUNAI_STREAMER_FS_QUEUE_DEPTH",] == max(3, depth)
    assert any("the streamer takes 3 to 1024" in note for note in made.notes) is not (3 <= wanted <= 1024)
    before = runai.export(any_drive, "/data", ExportOptions(for_version="0.16.0"))
    assert before.values["RUNAI_STREAMER_CONCURRENCY",] == depth


def test_a_cap_is_kept_and_noted() -> None:
    exported = runai.export(DRIVE, "/data", ExportOptions(max_block_size=300_000))
    assert exported.values["RUNAI_STREAMER_FS_CHUNK_BYTESIZE",] == 262144
    assert exported.notes[0].startswith("RUNAI_STREAMER_FS_CHUNK_BYTESIZE: 262144 bytes")


def test_a_cap_that_the_threads_cannot_keep_is_refused() -> None:
    with pytest.raises(UsageError, match="2097152"):
        runai.export(DRIVE, "/data", ExportOptions(max_block_size=(2 << 20) - 1, for_version="0.16.1"))
    assert runai.export(DRIVE, "/data", ExportOptions(max_block_size=2 << 20, for_version="0.16.1")).values


@pytest.mark.parametrize("version", ["0.14.0", "new"])
def test_a_release_that_is_not_known_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="runai-model-streamer"):
        runai.export(DRIVE, "/data", ExportOptions(for_version=version))
