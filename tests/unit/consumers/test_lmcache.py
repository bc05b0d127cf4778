from __future__ import annotations

import pytest

from aio_tuned.consumers import lmcache
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings


def test_the_whole_of_the_yaml() -> None:
    one = drive(
        read=settings(saturating_concurrency=24),
        write=settings(saturating_concurrency=5),
        combined=settings(saturating_concurrency=12, queue_depth=8, io_parallelism=4),
    )
    exported = lmcache.export(one, "/data/cache", ExportOptions())
    assert exported.format == "yaml"
    assert exported.values == {("extra_config", "disk_io_threads"): 12, ("extra_config", "use_odirect"): True}


def test_where_the_cache_is_and_its_size_are_the_persons_to_say() -> None:
    exported = lmcache.export(drive(), "/data/cache", ExportOptions())
    assert any(
        note.startswith("local_disk:") and "/data/cache" in note and "max_local_disk_size" in note
        for note in exported.notes
    )
    assert not {("local_disk",), ("max_local_disk_size",)} & set(exported.values)


def test_a_cap_of_the_block_size_changes_nothing_but_the_notes() -> None:
    plain, capped = (lmcache.export(drive(), "/data", ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert [note.partition(":")[0] for note in set(capped.notes) - set(plain.notes)] == ["max_block_size"]


def test_a_release_before_the_key_is_refused() -> None:
    with pytest.raises(UsageError, match=r"LMCache 0\.5\.0: has no disk_io_threads"):
        lmcache.export(drive(), "/data", ExportOptions(for_version="0.5.0"))
    assert lmcache.export(drive(), "/data", ExportOptions(for_version="0.5.1")).values
