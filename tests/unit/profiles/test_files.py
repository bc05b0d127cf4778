from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import MissingProfileError, ProfileError
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from unit.support import builders

if TYPE_CHECKING:
    from pathlib import Path

TEXT = codec.render(builders.profile())


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(MissingProfileError, match=r"x\.toml: cannot be read: No such file"):
        load_profile(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ProfileError, match=r"x\.toml: not valid TOML: not UTF-8"):
        load_profile(path)
    path.write_text("x = 1\n")
    with pytest.raises(ProfileError, match=r"x\.toml: not a profile"):
        load_profile(path)
    os.truncate(path, 0)
    with pytest.raises(ProfileError, match=r"x\.toml: "):
        load_profile(path)
    os.truncate(path, (1 << 20) + 1)
    with pytest.raises(ProfileError, match=r"x\.toml: not a profile of aio-tuned: 1048577 bytes long"):
        load_profile(path)
    with pytest.raises(ProfileError, match=r"path: cannot be read: Not a directory") as raised:
        load_profile(path / "path")
    assert not isinstance(raised.value, MissingProfileError)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", tmp_path):
        with pytest.raises(ProfileError, match="not a profile of aio-tuned: not a regular file"):
            load_profile(path)


def test_each_version_of_a_file_is_parsed_once(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(TEXT)
    first = load_profile(path)
    assert first == builders.profile()
    assert load_profile(path) is first
    path.unlink()
    with pytest.raises(MissingProfileError):
        load_profile(path)
    path.write_text(TEXT + "# another\n")
    again = load_profile(path)
    assert again == first
    assert again is not first


def test_a_known_file_is_checked_each_time(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(TEXT)
    load_profile(path)
    seen: list[int] = []

    def refuse(status: os.stat_result) -> None:
        seen.append(status.st_ino)
        raise ProfileError("not this one")

    for _ in range(2):
        with pytest.raises(ProfileError, match="not this one"):
            load_profile(path, refuse)
    assert seen == [path.stat().st_ino] * 2
