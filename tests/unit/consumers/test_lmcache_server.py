from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from aio_tuned.consumers import lmcache_server
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive
from unit.support.consumer_strategies import any_drives
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.reader import DriveSettings

DRIVE = drive(
    curves=(
        curve("psync", "read", {16 << 20: 7}),
        curve("psync", "write", {16 << 20: 3}),
        curve("io_uring", "read", {16 << 20: 5}),
        curve("io_uring", "write", {16 << 20: 12}),
    )
)


def test_a_folder_has_files() -> None:
    exported = lmcache_server.export(DRIVE, "/mnt/nvme/cache", ExportOptions())
    assert exported.format == "json"
    assert exported.values == {
        ("type",): "fs_native",
        ("base_path",): "/mnt/nvme/cache",
        ("num_workers",): 7,
        ("use_odirect",): True,
    }


def test_a_device_has_slots_and_is_overwritten() -> None:
    exported = lmcache_server.export(DRIVE, "/dev/nvme0n1p2", ExportOptions())
    assert exported.values == {
        ("type",): "raw_block",
        ("device_path",): "/dev/nvme0n1p2",
        ("use_odirect",): True,
        ("io_engine",): "io_uring",
        ("iouring_queue_depth",): 12,
    }
    assert any("LMCache overwrites /dev/nvme0n1p2" in note for note in exported.notes)
    assert any(note.startswith("slot_bytes: required") for note in exported.notes)


@given(any_drives)
def test_every_number_is_one_that_the_server_takes(any_drive: DriveSettings) -> None:
    for path, key in (("/data", "num_workers"), ("/dev/sda", "iouring_queue_depth")):
        assert int(str(lmcache_server.export(any_drive, path, ExportOptions()).values[key,])) > 0


@pytest.mark.parametrize("path", ["/data", "/dev/sda"])
def test_a_cap_of_the_block_size_changes_nothing_but_the_notes(path: str) -> None:
    plain, capped = (lmcache_server.export(DRIVE, path, ExportOptions(max_block_size=cap)) for cap in (None, 4096))
    assert capped.values == plain.values
    assert set(capped.notes) - set(plain.notes) == {
        "max_block_size: ignored, because LMCache's objects have the size of a chunk of tokens."
    }


@pytest.mark.parametrize(
    ("path", "version", "adapter"), [("/data", "0.4.1", "fs_native"), ("/dev/sda", "0.4.4", "raw_block")]
)
def test_a_release_before_the_adapter_is_refused(path: str, version: str, adapter: str) -> None:
    with pytest.raises(UsageError, match=f'LMCache {version}: has no adapter "{adapter}"'):
        lmcache_server.export(DRIVE, path, ExportOptions(for_version=version))
    assert lmcache_server.export(DRIVE, path, ExportOptions(for_version="0.5.0")).values
