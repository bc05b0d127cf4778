from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given

from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.tensornvme import export
from unit.support.consumer_settings import drive, settings
from unit.support.consumer_strategies import any_drives

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings


@given(any_drives)
def test_the_queue_holds_what_saturates_the_drive_and_nothing_else_is_set(given_drive: DriveSettings) -> None:
    made = export(given_drive, "/mnt/models", ExportOptions())
    assert made.format == "json"
    assert made.values == {("n_entries",): given_drive.combined.saturating_concurrency}


def test_what_is_lost_beyond_the_queue_is_told_with_its_length() -> None:
    made = export(drive(combined=settings(saturating_concurrency=48)), "/mnt/models", ExportOptions())
    assert any(note.startswith("n_entries: ") and "after 48 tensors" in note for note in made.notes)


def test_a_cap_on_a_block_size_that_is_not_there_is_told() -> None:
    plain = export(drive(), "/mnt/models", ExportOptions())
    capped = export(drive(), "/mnt/models", ExportOptions(max_block_size=65536))
    assert capped.values == plain.values
    (said,) = set(capped.notes) - set(plain.notes)
    assert said.startswith("max_block_size: ignored")
