"""The record of a raw write outlives its writer, and knows it while it runs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from aio_tuned.errors import BusyError, PublishError
from aio_tuned.model.target import Target
from aio_tuned.storage import raw_write_record
from unit.support.builders import device

DRIVE = device()
TARGET = Target(kind="device", path=Path("/dev/nvme0n1"), span_bytes=1 << 30, offset_bytes=1 << 20)


def test_a_record_is_found_by_its_drive_until_it_is_dropped(tmp_path: Path) -> None:
    record = raw_write_record.new(DRIVE, TARGET)
    raw_write_record.save(tmp_path, record)
    (path,) = (tmp_path / "raw-writes").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600  # whoever knows the key can make what looks like ours
    assert raw_write_record.load(tmp_path, DRIVE.id) == record
    assert raw_write_record.load(tmp_path, "another") is None
    raw_write_record.drop(tmp_path, raw_write_record.new(DRIVE, TARGET))
    assert raw_write_record.load(tmp_path, DRIVE.id) == record  # that was another key's
    raw_write_record.drop(tmp_path, record)
    assert raw_write_record.load(tmp_path, DRIVE.id) is None
    assert list((tmp_path / "raw-writes").iterdir()) == []


def test_each_has_a_key_of_its_own() -> None:
    keys = {raw_write_record.new(DRIVE, TARGET).key for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"device_id": 1}', "\x00"])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    raw_write_record.save(tmp_path, raw_write_record.new(DRIVE, TARGET))
    (path,) = (tmp_path / "raw-writes").iterdir()
    path.write_text(text)
    assert raw_write_record.load(tmp_path, DRIVE.id) is None


@pytest.mark.parametrize("changes", [{"id": "x"}, {"serial": "x"}, {"size_bytes": 1}])
def test_another_drive_is_not_the_one_that_was_written(changes: dict[str, object]) -> None:
    record = raw_write_record.new(DRIVE, TARGET)
    assert record.is_of(DRIVE)
    assert not record.is_of(replace(DRIVE, **changes))  # type: ignore[arg-type]


def test_a_writer_is_known_by_its_start_and_boot() -> None:
    record = raw_write_record.new(DRIVE, TARGET)
    assert not record.is_written()
    running = record.written_by(os.getpid())
    assert running.is_written()
    assert not replace(running, started=running.started + 1).is_written()
    assert not replace(running, boot_id="another").is_written()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert not replace(running, pid=child).is_written()


def test_a_drive_has_one_writer(tmp_path: Path) -> None:
    """Two sweeps that begin at once: the second neither replaces nor drops the first one's record."""
    first = raw_write_record.claim(tmp_path, raw_write_record.new(DRIVE, TARGET))
    assert first.is_written()
    second = raw_write_record.new(DRIVE, TARGET)
    with pytest.raises(BusyError, match=f"process {os.getpid()} "):
        raw_write_record.claim(tmp_path, second)
    raw_write_record.drop(tmp_path, second)
    assert raw_write_record.load(tmp_path, DRIVE.id) == first
    raw_write_record.save(tmp_path, replace(first, pid=0))
    assert raw_write_record.claim(tmp_path, second).key == second.key


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "raw-writes").touch()
    with pytest.raises(PublishError):
        raw_write_record.save(tmp_path, raw_write_record.new(DRIVE, TARGET))


def test_it_has_what_a_later_version_needs(tmp_path: Path) -> None:
    """The names of the keys stay: a record is read by the version that comes after a power cut."""
    raw_write_record.save(tmp_path, raw_write_record.new(DRIVE, TARGET))
    (path,) = (tmp_path / "raw-writes").iterdir()
    keys = {"device_id", "serial", "size_bytes", "offset_bytes", "span_bytes", "key", "pid", "started", "boot_id"}
    assert json.loads(path.read_text()).keys() == keys
