from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from aio_tuned.consumers.deepspeed import export
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives, caps

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export
    from aio_tuned.reader import DriveSettings

PATH = "/mnt/models"


def section(made: Export) -> dict[str, Any]:
    """The members of "aio", which must be all there is."""
    assert all(path[0] == "aio" and len(path) == 2 for path in made.values)
    return {str(path[1]): value for path, value in made.values.items()}


@given(any_drives)
def test_the_section_has_the_combined_settings_with_the_types_of_json(given_drive: DriveSettings) -> None:
    made = export(given_drive, PATH, ExportOptions())
    aio, wanted = section(made), given_drive.combined
    assert made.format == "json"
    assert aio == {
        "block_size": wanted.block_size,
        "queue_depth": aio["queue_depth"],
        "intra_op_parallelism": wanted.io_parallelism,
        "single_submit": wanted.single_submit,
        "overlap_events": wanted.overlap_events,
    }
    assert [type(value) for value in aio.values()] == [int, int, int, bool, bool]
    assert 1 <= aio["queue_depth"] <= wanted.queue_depth


@given(any_drives)
def test_a_queue_in_sequential_mode_is_as_long_as_can_be_below_2_gib(given_drive: DriveSettings) -> None:
    aio, wanted = section(export(given_drive, PATH, ExportOptions())), given_drive.combined
    if wanted.overlap_events:
        assert aio["queue_depth"] == wanted.queue_depth
    else:
        assert aio["queue_depth"] * aio["block_size"] < 1 << 31
        assert aio["queue_depth"] == wanted.queue_depth or (aio["queue_depth"] + 1) * aio["block_size"] >= 1 << 31


def test_a_shortened_queue_is_told() -> None:
    long = settings(block_size=64 << 20, queue_depth=64, overlap_events=False)
    made = export(drive(combined=long), PATH, ExportOptions())
    assert section(made)["queue_depth"] == 31
    assert any(note.startswith("queue_depth: 31 instead of 64") for note in made.notes)


@given(any_drives, caps)
def test_a_cap_holds_and_is_told(given_drive: DriveSettings, cap: int) -> None:
    made = export(given_drive, PATH, ExportOptions(max_block_size=cap))
    block = section(made)["block_size"]
    assert block <= cap
    told = any(note.startswith("block_size: ") and "because of --max-block-size" in note for note in made.notes)
    assert told == (block != given_drive.combined.block_size)


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("0.3.15", "thread_count"),
        ("0.9", "thread_count"),
        ("0.16.3", "thread_count"),
        ("0.16.3+cu121", "thread_count"),
        ("0.16.4", "intra_op_parallelism"),
        ("0.16.10", "intra_op_parallelism"),
        ("0.17", "intra_op_parallelism"),
        ("0.19.8.dev0", "intra_op_parallelism"),
        ("1.0.0rc1", "intra_op_parallelism"),
    ],
)
def test_each_release_gets_its_own_name_for_the_threads_and_no_other(version: str, key: str) -> None:
    aio = section(export(drive(combined=settings(io_parallelism=5)), PATH, ExportOptions(for_version=version)))
    assert {name: aio[name] for name in aio if name in ("thread_count", "intra_op_parallelism")} == {key: 5}


@pytest.mark.parametrize("version", ["", "latest", "0", "0.", ".16", "-1.2", "0.16.x", "0,16", "0.16.4 or so"])
def test_what_is_no_release_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="not a release"):
        export(drive(), PATH, ExportOptions(for_version=version))


def test_a_release_without_the_section_is_refused() -> None:
    with pytest.raises(UsageError, match=r"0\.3\.15"):
        export(drive(), PATH, ExportOptions(for_version="0.3.14"))


def test_a_block_above_1_mib_is_told_as_the_size_below_which_nothing_is_swapped() -> None:
    def said(block: int) -> list[str]:
        notes = export(drive(combined=settings(block_size=block)), PATH, ExportOptions()).notes
        return [note for note in notes if "does not swap" in note]

    assert said(1 << 20) == []
    assert "4194304 bytes" in said(4 << 20)[0]


def test_the_warning_goes_by_the_capped_block() -> None:
    large = drive(combined=settings(block_size=8 << 20))
    assert any("2097152" in note for note in export(large, PATH, ExportOptions(max_block_size=2 << 20)).notes)
    assert not any("does not swap" in note for note in export(large, PATH, ExportOptions(max_block_size=1 << 20)).notes)


@pytest.mark.parametrize("version", [None, "0.14.5"])
@pytest.mark.parametrize(("threads", "told"), [(1, False), (2, False), (3, True), (6, True), (64, False)])
def test_threads_that_do_not_divide_usual_sizes_are_told_under_their_key(
    threads: int, told: bool, version: str
) -> None:
    made = export(drive(combined=settings(io_parallelism=threads)), PATH, ExportOptions(for_version=version))
    key = "thread_count" if version else "intra_op_parallelism"
    assert any(note.startswith(f"{key}: ") and f"multiple of {threads} times" in note for note in made.notes) == told


def test_that_there_is_one_section_for_all_drives_is_told() -> None:
    assert any(
        note.startswith("aio: DeepSpeed applies this one section")
        for note in export(drive(), PATH, ExportOptions()).notes
    )


@pytest.mark.parametrize(("release", "told"), [("0.7.7", True), ("0.16.3", True), ("0.16.4", False), (None, False)])
def test_old_releases_are_said_to_lose_tensors_at_an_unaligned_address(release: str | None, told: bool) -> None:
    made = export(drive(), PATH, ExportOptions(for_version=release))
    assert any("0.7.7" in note and "address" in note for note in made.notes) == told
