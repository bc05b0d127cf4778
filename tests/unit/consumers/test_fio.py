from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.fio import export
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives, caps

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export
    from aio_tuned.reader import DriveSettings, Settings

PATH = "/mnt/models"
GIB = 1 << 30


def sections(made: Export) -> dict[str, dict[str, Any]]:
    assert made.format == "fio"
    found: dict[str, dict[str, Any]] = {}
    for (section, option), value in made.values.items():
        found.setdefault(str(section), {})[str(option)] = value
    return found


def both(
    given_drive: DriveSettings, options: ExportOptions | None = None
) -> tuple[tuple[dict[str, Any], Settings], ...]:
    found = sections(export(given_drive, PATH, options or ExportOptions()))
    return (found["aio-tuned-read"], given_drive.read), (found["aio-tuned-write"], given_drive.write)


@given(any_drives)
def test_each_direction_has_its_own_settings(given_drive: DriveSettings) -> None:
    for options, wanted in both(given_drive):
        found = (options["bs"], options["iodepth"], options["numjobs"])
        assert found == (wanted.block_size, wanted.queue_depth, wanted.io_parallelism)
        assert (options["iodepth_batch_submit"] == 1) == (wanted.single_submit or wanted.queue_depth == 1)
        assert (options["iodepth_batch_complete_min"] == 1) == (wanted.overlap_events or wanted.queue_depth == 1)
        assert {"ioengine": "libaio", "direct": 1, "thread": 1}.items() <= options.items()


@given(any_drives)
def test_threads_move_whole_blocks_of_one_file_side_by_side(given_drive: DriveSettings) -> None:
    for options, _ in both(given_drive):
        assert options["size"] == options["offset_increment"]
        assert options["size"] % options["bs"] == 0
        assert options["filesize"] == options["size"] * options["numjobs"]
        # A gibibyte, or as many blocks as there are threads; what is lost is less than a block a thread.
        spare = options["bs"] * options["numjobs"]
        assert GIB - spare < options["filesize"] <= max(GIB, spare)


@given(any_drives)
def test_values_are_what_a_job_file_can_hold(given_drive: DriveSettings) -> None:
    for options, _ in both(given_drive):
        assert all(type(value) in (int, str) for value in options.values())


def test_reads_last_some_time_and_writes_are_counted() -> None:
    (read, _), (write, _) = both(drive())
    assert (read["rw"], read["time_based"], read["runtime"]) == ("read", 1, 10)
    assert (write["rw"], write["overwrite"]) == ("write", 1)
    assert write["io_size"] * write["numjobs"] == 4 * GIB
    assert not {"time_based", "runtime", "loops"} & set(write)
    without = "to skip that, run fio --section=aio-tuned-read --section=aio-tuned-remove."
    assert any(f"writes 5.0 GiB; {without}" in note for note in export(drive(), PATH, ExportOptions()).notes)


@given(any_drives)
def test_no_section_names_anything_but_a_file_of_its_own(given_drive: DriveSettings) -> None:
    for options in sections(export(given_drive, PATH, ExportOptions())).values():
        assert (options["directory"], options["filename"]) == (PATH, "aio-tuned-fio.tmp")


@given(any_drives)
def test_the_last_section_alone_removes_the_file_with_one_thread(given_drive: DriveSettings) -> None:
    *measured, last = sections(export(given_drive, PATH, ExportOptions())).values()
    assert last["unlink"] == last["stonewall"] == 1
    assert (last["rw"], last["size"]) == ("read", 4096)
    assert not {"numjobs", "overwrite", "time_based"} & set(last)
    assert not any("unlink" in options for options in measured)


def test_where_nothing_was_measured_there_is_no_file_to_remove() -> None:
    read, write = drive().read, drive().write
    swapped = drive(
        read=read._replace(source=read.source._replace(section="write")),
        write=write._replace(source=write.source._replace(section="read")),
    )
    assert not sections(export(swapped, PATH, ExportOptions()))


def test_a_colon_in_the_directory_is_escaped() -> None:
    found = sections(export(drive(), "/mnt/a:b c", ExportOptions()))
    assert {options["directory"] for options in found.values()} == {"/mnt/a\\:b c"}


@pytest.mark.parametrize("path", ["/dev", "/dev/nvme0n1", "/dev/disk/by-id/nvme-A"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="pass a folder on the drive's filesystem"):
        export(drive(), path, ExportOptions())


@pytest.mark.parametrize("path", ["/mnt/a#b", "/mnt/a;b", "/mnt/$HOME", "/mnt/a\\b", "/mnt/a\nb", "/mnt/a "])
def test_a_name_that_a_job_file_cannot_hold_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="not possible in a fio job file"):
        export(drive(), path, ExportOptions())


@given(any_drives, caps)
def test_a_cap_holds_in_both_sections_and_is_told(given_drive: DriveSettings, cap: int) -> None:
    options = ExportOptions(max_block_size=cap)
    notes = export(given_drive, PATH, options).notes
    for (job, wanted), section in zip(both(given_drive, options), ("aio-tuned-read", "aio-tuned-write"), strict=True):
        assert job["bs"] <= cap
        assert job["size"] % job["bs"] == 0
        assert any(note.startswith(f"bs of {section}: ") for note in notes) == (job["bs"] != wanted.block_size)


def test_memory_is_told_to_differ() -> None:
    same = settings(block_size=4096, queue_depth=1)
    assert any(note.startswith("mem: ") for note in export(drive(read=same), PATH, ExportOptions()).notes)


def test_a_direction_that_was_not_measured_is_left_out() -> None:
    read = settings(direction="read")
    borrowed = read._replace(direction="write", source=read.source._replace(note="[write] has none"))
    made = export(drive(read=read, write=borrowed), PATH, ExportOptions())
    assert list(sections(made)) == ["aio-tuned-read", "aio-tuned-remove"]
    assert any(note.startswith("aio-tuned-write: left out") for note in made.notes)
