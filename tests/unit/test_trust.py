from __future__ import annotations

import os
from pathlib import Path

import pytest

from aio_tuned import trust
from aio_tuned.trust import UntrustedError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")

OTHER_USER = 12345


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of root's in a folder of root's."""
    path = tmp_path / "folder/file"
    path.parent.mkdir(mode=0o755)
    path.write_text("\ufeffword\n", encoding="utf-8")
    return path


def test_what_only_root_can_write_is_read(file: Path) -> None:
    assert trust.read_text(file) == "word\n"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write(file: Path, mode: int) -> None:
    file.chmod(mode)
    told = rf"^{file}: not trusted: writable by other users \(mode {mode:04o}\); run chmod go-w {file}$"
    with pytest.raises(UntrustedError, match=told):
        trust.read_text(file)


def test_a_file_of_another_user(file: Path) -> None:
    os.chown(file, OTHER_USER, 0)
    with pytest.raises(
        UntrustedError,
        match=rf"^{file}: not trusted: owned by user {OTHER_USER} instead of root; run chown root {file}$",
    ):
        trust.read_text(file)
    assert trust.read_text(file, {OTHER_USER}) == "word\n"
    assert trust.read_text(file, None) == "word\n"


@pytest.mark.parametrize("mode", [0o775, 0o757])
@pytest.mark.parametrize("up", [0, 1])
def test_a_folder_on_the_way_that_others_may_write(file: Path, mode: int, up: int) -> None:
    folder = file.parents[up]
    folder.chmod(mode)
    with pytest.raises(UntrustedError, match=rf"^{folder}: not trusted: writable by other users"):
        trust.read_text(file)
    with pytest.raises(UntrustedError, match=rf"^{folder}: not trusted: writable by other users"):
        trust.check_way(file.with_name("missing"))


@pytest.mark.parametrize("up", [0, 1])
def test_a_folder_on_the_way_of_another_user(file: Path, up: int) -> None:
    folder = file.parents[up]
    os.chown(folder, OTHER_USER, 0)
    with pytest.raises(UntrustedError, match=rf"^{folder}: not trusted: owned by user {OTHER_USER}"):
        trust.read_text(file)


def test_a_folder_like_tmp_may_be_on_the_way(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert trust.read_text(file) == "word\n"
    os.chown(file, OTHER_USER, 0)
    with pytest.raises(UntrustedError, match=f"{file}: not trusted: owned"):
        trust.read_text(file)


def test_a_link_of_another_user_leads_nowhere(file: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "link"
    link.symlink_to(file)
    assert trust.read_text(link) == "word\n"
    os.chown(link, OTHER_USER, 0, follow_symlinks=False)
    with pytest.raises(UntrustedError, match=rf"^{link}: not trusted: owned by user {OTHER_USER}"):
        trust.read_text(link)


def test_each_folder_behind_links_is_on_the_way(file: Path, tmp_path: Path) -> None:
    """A link to a link: only the one in the middle lies where others may write."""
    middle = tmp_path / "middle"
    middle.mkdir()
    (middle / "second").symlink_to(f"../{file.parent.name}")
    (tmp_path / "first").symlink_to(middle / "second")
    path = tmp_path / "first" / "file"
    assert trust.read_text(path) == "word\n"
    middle.chmod(0o777)
    with pytest.raises(UntrustedError, match=rf"^{middle}: not trusted: writable"):
        trust.read_text(path)


def test_a_relative_path_is_no_way_around(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert trust.read_text(Path("file")) == "word\n"
    assert trust.read_text(Path("../folder/./file")) == "word\n"
    file.parent.chmod(0o777)
    with pytest.raises(UntrustedError, match=rf"^{file.parent}: not trusted: writable"):
        trust.read_text(Path("file"))


def test_what_is_no_file_is_an_error(file: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(OSError, match="not a regular file"):
        trust.read_text(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        trust.read_text(file.parent)
    with pytest.raises(FileNotFoundError):
        trust.read_text(file.with_name("missing"))
    with pytest.raises(FileNotFoundError):
        trust.read_text(tmp_path / "no/folder")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        trust.read_text(tmp_path / "loop")


def test_the_user_of_sudo_is_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, users in (("1000", {1000}), ("", set()), ("x", set()), ("-1", set()), ("٣", set())):
        monkeypatch.setenv("SUDO_UID", given)
        assert trust.callers() == users
    monkeypatch.delenv("SUDO_UID")
    assert trust.callers() == set()
