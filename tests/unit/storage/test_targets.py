from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from aio_tuned.errors import ProfileError, TargetError
from aio_tuned.profiles import codec
from aio_tuned.storage.name_register import NameRegister
from aio_tuned.storage.targets import NamedDrive, find_drive
from unit.support import builders


def find(word: str, *, profiles: bool = True) -> NamedDrive:
    register = NameRegister(Path("/nowhere"), Path("/nowhere"))
    unknown = f"{word}: nothing of that name"
    return find_drive(word, lambda name: name == "nvme-known", unknown, register, profiles=profiles)


def test_a_profiles_file_names_the_drive_that_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nvme-known.toml"
    path.write_text(codec.render(builders.profile()))
    assert find(str(path)) == NamedDrive(name=builders.device().name, file=path)
    monkeypatch.chdir(tmp_path)
    assert find("nvme-known.toml").name == builders.device().name
    path.write_text("")
    with pytest.raises(ProfileError, match=r"nvme-known\.toml"):
        find(str(path))


def test_a_known_name_comes_before_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvme-known").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find("nvme-known") == NamedDrive(name="nvme-known")


@pytest.mark.parametrize("word", ["nvme-other", "./nvme-known", "missing.toml", "x" * 300])
def test_what_is_none_of_them_has_the_callers_error(word: str) -> None:
    with pytest.raises(TargetError, match=r": nothing of that name$"):
        find(word)


def test_a_path_must_lead_to_a_drive(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="not a directory, file or block device"):
        find("/dev/null")
    (tmp_path / "torn.toml").symlink_to("/dev/null")
    with pytest.raises(TargetError, match="not a directory, file or block device"):
        find(str(tmp_path / "torn.toml"))


def test_a_profiles_file_may_be_a_file_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("")
    with pytest.raises(ProfileError):
        find(str(path))
    with contextlib.suppress(TargetError):  # perhaps no block device is below the test's folder
        assert find(str(path), profiles=False).file is None
