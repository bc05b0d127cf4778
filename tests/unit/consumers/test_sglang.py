from __future__ import annotations

import pytest

from aio_tuned.consumers import nixl, sglang
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings


def test_the_whole_file() -> None:
    exported = sglang.export(drive(), "/data/cache", ExportOptions())
    assert exported.format == "toml"
    assert exported.values == {
        ("use_direct_io",): True,
        ("plugin", "posix", "active"): True,
        ("plugin", "posix", "use_aio"): "true",
        ("plugin", "posix", "use_uring"): "false",
        ("plugin", "posix", "use_posix_aio"): "false",
        ("plugin", "posix", "kernel_queue_size"): "32",
    }


def test_what_goes_on_to_nixl_is_what_nixl_gets() -> None:
    one = drive(combined=settings(queue_depth=512, io_parallelism=8, single_submit=True))
    own = sglang.export(one, "/data", ExportOptions())
    other = nixl.export(one, "/data", ExportOptions())
    assert {key[-1]: value for key, value in own.values.items() if key[-1] not in ("active", "use_direct_io")} == {
        key[-1]: value for key, value in other.values.items()
    }
    for parameter in ("kernel_queue_size: limited, because NIXL takes", "single_submit:"):
        assert any(note.startswith(parameter) for note in own.notes)


def test_the_folder_is_named_with_its_variable() -> None:
    notes = sglang.export(drive(), "/data/cache", ExportOptions()).notes
    assert any(note.startswith("SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR:") and "/data/cache" in note for note in notes)


def test_a_cap_of_the_block_size_changes_nothing_but_the_notes() -> None:
    plain, capped = (sglang.export(drive(), "/data", ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert [note.partition(":")[0] for note in set(capped.notes) - set(plain.notes)] == ["max_block_size"]


def test_a_release_before_the_keys_is_refused() -> None:
    with pytest.raises(UsageError, match=r"SGLang 0\.5\.12: has no use_direct_io"):
        sglang.export(drive(), "/data", ExportOptions(for_version="0.5.12"))
    assert sglang.export(drive(), "/data", ExportOptions(for_version="0.5.13")).values
