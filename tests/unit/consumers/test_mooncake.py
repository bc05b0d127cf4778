from __future__ import annotations

from aio_tuned.consumers import mooncake
from aio_tuned.consumers.export import ExportOptions
from unit.support.consumer_settings import drive, settings

DRIVE = drive(combined=settings(saturating_concurrency=24))


def test_the_whole_environment() -> None:
    exported = mooncake.export(DRIVE, "/data/cache", ExportOptions())
    assert exported.format == "env"
    assert exported.values == {
        ("MOONCAKE_OFFLOAD_FILE_STORAGE_PATH",): "/data/cache",
        ("MOONCAKE_OFFLOAD_USE_URING",): "true",
    }


def test_a_drive_that_takes_one_request_at_a_time_needs_no_ring() -> None:
    exported = mooncake.export(drive(combined=settings(saturating_concurrency=1)), "/data", ExportOptions())
    assert exported.values["MOONCAKE_OFFLOAD_USE_URING",] == "false"
    assert not any("ulimit" in note for note in exported.notes)


def test_what_does_not_exist_is_said() -> None:
    (note,) = (note for note in mooncake.export(DRIVE, "/data", ExportOptions()).notes if "only tunable" in note)
    for parameter in ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit"):
        assert parameter in note
    assert "32 requests per thread" in note
    assert "24 requests" in note


def test_a_cap_of_the_block_size_changes_nothing_but_the_notes() -> None:
    plain, capped = (mooncake.export(DRIVE, "/data", ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert [note.partition(":")[0] for note in set(capped.notes) - set(plain.notes)] == ["max_block_size"]
