"""Without a path the only mounted drive with a profile is meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aio_tuned.errors import ProfileError, TargetError
from aio_tuned.launch import only_drive
from aio_tuned.reader.lookup import find_disk
from aio_tuned.reader.types import Disk
from unit.support.own_drive import publish


def disk(name: str) -> Disk:
    return Disk(id=name, name=name, model="", serial="", size_bytes=1, node="", number="")


def test_several_mounts_of_one_drive_are_one() -> None:
    assert only_drive.only([(disk("a"), Path("/x")), (disk("a"), Path("/y"))]) == Path("/x")
    assert only_drive.only([]) is None


def test_two_drives_are_too_many() -> None:
    with pytest.raises(TargetError, match=r"no path: 2 mounted drives have a profile \(a, b\); pass --path FOLDER"):
        only_drive.only([(disk("a"), Path("/x")), (disk("b"), Path("/y"))])


def test_the_drive_of_this_machine(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    publish(tmp_path, profiles)
    found = only_drive.find(profiles)
    assert os.path.ismount(found)
    assert find_disk(found).id == find_disk(tmp_path).id


def test_no_profile(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"no path: no mounted drive has a profile in .*; pass --path FOLDER"):
        only_drive.find(tmp_path)


def test_a_damaged_profile_is_told(tmp_path: Path) -> None:
    file = publish(tmp_path, tmp_path / "profiles")
    file.write_text(file.read_text()[:200])
    with pytest.raises(ProfileError, match=file.name):
        only_drive.find(tmp_path / "profiles")
