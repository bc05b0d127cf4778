from __future__ import annotations

import pytest

from aio_tuned.consumers import vllm
from aio_tuned.consumers.export import Entry, ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings

DRIVE = drive(
    read=settings(direction="read", saturating_concurrency=24, queue_depth=8, io_parallelism=4),
    write=settings(direction="write", saturating_concurrency=5, queue_depth=8, io_parallelism=1),
)


def test_the_whole_of_the_connectors_json() -> None:
    exported = vllm.export(DRIVE, "/data/cache", ExportOptions())
    extra = "kv_connector_extra_config"
    tier = Entry((("type", "fs"), ("root_dir", "/data/cache")))
    assert exported.format == "json"
    assert exported.values == {
        ("kv_connector",): "OffloadingConnector",
        ("kv_role",): "kv_both",
        (extra, "spec_name"): "TieringOffloadingSpec",
        (extra, "secondary_tiers", tier, "n_read_threads"): 24,
        (extra, "secondary_tiers", tier, "n_write_threads"): 5,
    }


def test_what_is_the_persons_to_say_is_noted_and_not_set() -> None:
    exported = vllm.export(DRIVE, "/data", ExportOptions())
    assert any(note.startswith("cpu_bytes_to_use:") for note in exported.notes)
    assert not any("cpu_bytes_to_use" in key for key in exported.values)


@pytest.mark.parametrize(
    ("read", "write", "said"),
    [(1 << 20, 1 << 20, "about 1048576 bytes"), (1 << 20, 1 << 18, "about 262144 to 1048576 bytes")],
)
def test_the_best_sizes_of_a_chunk_are_named(read: int, write: int, said: str) -> None:
    one = drive(read=settings(block_size=read), write=settings(block_size=write))
    assert any(
        note.startswith("block_size:") and said in note for note in vllm.export(one, "/data", ExportOptions()).notes
    )


def test_a_cap_of_the_block_size_changes_nothing_but_the_notes() -> None:
    plain, capped = (vllm.export(DRIVE, "/data", ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert [note.partition(":")[0] for note in set(capped.notes) - set(plain.notes)] == ["max_block_size"]


def test_a_release_before_the_tier_is_refused() -> None:
    with pytest.raises(UsageError, match=r'vLLM 0\.21\.0: has no "fs" tier'):
        vllm.export(DRIVE, "/data", ExportOptions(for_version="0.21.0"))
    assert vllm.export(DRIVE, "/data", ExportOptions(for_version="0.22.0")).values
