from __future__ import annotations

import pytest

from aio_tuned.consumers import nixl
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings


def posix(**changes: object) -> dict[str, object]:
    exported = nixl.export(drive(combined=settings(**changes)), "/data", ExportOptions())
    return {str(name): value for (_, name), value in exported.values.items()}


def test_the_whole_table_is_strings() -> None:
    exported = nixl.export(drive(), "/data", ExportOptions())
    assert exported.format == "toml"
    assert exported.values == {
        ("POSIX", "use_aio"): "true",
        ("POSIX", "use_uring"): "false",
        ("POSIX", "use_posix_aio"): "false",
        ("POSIX", "kernel_queue_size"): "32",
    }


def test_queue_is_that_of_reads_and_writes_together() -> None:
    one = drive(read=settings(queue_depth=128), write=settings(queue_depth=64), combined=settings(queue_depth=24))
    assert nixl.export(one, "/data", ExportOptions()).values["POSIX", "kernel_queue_size"] == "48"


@pytest.mark.parametrize(
    ("depth", "threads", "queue"),
    [(1, 1, "16"), (15, 1, "16"), (16, 1, "16"), (17, 1, "17"), (512, 2, "1024"), (1025, 1, "1024"), (512, 8, "1024")],
)
def test_queue_stays_within_what_nixl_takes(depth: int, threads: int, queue: str) -> None:
    assert posix(queue_depth=depth, io_parallelism=threads)["kernel_queue_size"] == queue


@pytest.mark.parametrize(("depth", "noted"), [(15, True), (16, False), (1024, False), (1025, True)])
def test_a_queue_that_was_changed_is_noted(depth: int, noted: bool) -> None:
    notes = nixl.export(drive(combined=settings(queue_depth=depth, io_parallelism=1)), "/data", ExportOptions()).notes
    assert any("16 to 1024" in note and str(depth) in note for note in notes) == noted


@pytest.mark.parametrize(
    ("changes", "parameter", "noted"),
    [
        ({"single_submit": True}, "single_submit", True),
        ({"single_submit": False}, "single_submit", False),
        ({"overlap_events": False}, "overlap_events", True),
        ({"overlap_events": True}, "overlap_events", False),
    ],
)
def test_what_nixl_does_otherwise_than_measured_is_noted(changes: dict[str, bool], parameter: str, noted: bool) -> None:
    notes = nixl.export(drive(combined=settings(**changes)), "/data", ExportOptions()).notes
    assert any(note.startswith(f"{parameter}:") for note in notes) == noted


def test_block_size_is_named_for_the_application() -> None:
    notes = nixl.export(drive(combined=settings(block_size=786432)), "/data", ExportOptions()).notes
    assert any(note.startswith("block_size:") and "786432 bytes" in note for note in notes)


def test_a_cap_of_the_block_size_changes_nothing_but_the_notes() -> None:
    plain, capped = (nixl.export(drive(), "/data", ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert set(capped.notes) - set(plain.notes) == {"max_block_size: ignored, because NIXL has no block size."}


def test_a_release_before_the_parameter_is_refused() -> None:
    with pytest.raises(UsageError, match=r"NIXL 0\.10\.1: has no kernel_queue_size"):
        nixl.export(drive(), "/data", ExportOptions(for_version="0.10.1"))
    assert nixl.export(drive(), "/data", ExportOptions(for_version="1.0.0")).values
