"""A file is written only into a folder that nobody but root can change, and never over one that is not ours."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import PublishError
from aio_tuned.storage.root_folder import root_folder
from unit.support.limits import files_no_larger_than

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = b"# Ours "
TEXT = "# Ours 1\nA=1\n"
OTHER_USER = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of other users")


def put(folder: Path, text: str = TEXT, mode: int = 0o644, name: str = "x.env") -> bool:
    with root_folder(folder, OURS) as opened:
        return opened.replace(name, text, mode)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    made.mkdir(mode=0o755)
    return made


def test_a_file_is_made_and_left_alone_while_it_is_so(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        assert put(folder)
    finally:
        os.umask(before)
    path = folder / "x.env"
    assert (path.read_text(), mode_of(path)) == (TEXT, 0o644)
    node = path.stat().st_ino
    assert not put(folder)
    assert path.stat().st_ino == node
    assert put(folder, mode=0o600)
    assert mode_of(path) == 0o600
    assert put(folder, TEXT + "B=2\n")
    assert path.read_text() == TEXT + "B=2\n"
    assert [each.name for each in folder.iterdir()] == ["x.env"]


def test_a_missing_folder_is_made_for_all_to_read_but_not_the_one_above(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        put(tmp_path / "new")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o755
    with pytest.raises(PublishError, match=r"/no: no such folder; create it, owned by root"):
        put(tmp_path / "no/new")
    assert not (tmp_path / "no").exists()


# --- folders that are not trusted ------------------------------------------------------------------------


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PublishError, match=r"/link: a symbolic link; write the path that it leads to"):
        put(tmp_path / "link")
    (folder / "below").mkdir()
    with pytest.raises(PublishError, match=r"/link: a symbolic link"):
        put(tmp_path / "link/below")
    assert list((folder / "below").iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match=r"/file: not a folder; remove it, or name another folder"):
        put(tmp_path / "file")


def test_a_folder_that_others_may_write_to_is_refused(folder: Path) -> None:
    folder.chmod(0o775)
    with pytest.raises(PublishError, match=rf"{folder}: not trusted: writable by other users \(mode 0775\)"):
        put(folder)
    folder.chmod(0o1777)  # there others may make the file first
    with pytest.raises(PublishError, match="not trusted"):
        put(folder)
    folder.chmod(0o755)
    below = folder / "below"
    below.mkdir(mode=0o755)
    folder.chmod(0o1777)  # but here they can replace nothing
    assert put(below)
    folder.chmod(0o777)
    with pytest.raises(PublishError, match=rf"{folder}: not trusted"):
        put(below)


@needs_root
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    os.chown(folder, OTHER_USER, -1)
    with pytest.raises(PublishError, match=rf"{folder}: not trusted: owned by user {OTHER_USER} instead of root"):
        put(folder)


def test_a_folder_that_is_replaced_while_it_is_open_gets_nothing(tmp_path: Path, folder: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    with root_folder(folder, OURS) as opened:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(evil)
        assert opened.replace("x.env", TEXT, 0o644)
        assert opened.names() == ["x.env"]
    assert list(evil.iterdir()) == []
    assert (tmp_path / "moved/x.env").read_text() == TEXT


# --- what has the name already ---------------------------------------------------------------------------


def link(path: Path) -> None:
    path.symlink_to(path.with_name("target"))
    path.with_name("target").write_text(TEXT)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize("make", [link, dangling, os.mkfifo, os.mkdir, listening])
def test_only_a_regular_file_is_replaced(folder: Path, make: Callable[[Path], None]) -> None:
    path = folder / "x.env"
    make(path)
    before = path.lstat()
    with pytest.raises(PublishError, match=rf"{path}: not a regular file, so it is not replaced; remove it"):
        put(folder)
    with root_folder(folder, OURS) as opened:
        assert not opened.remove("x.env")
    assert path.lstat().st_ino == before.st_ino
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("text", ["", "A=1\n", "# Our", f"\n{TEXT}", "# ours 1\n"])
def test_only_a_file_with_our_first_line_is_replaced(folder: Path, text: str) -> None:
    path = folder / "x.env"
    path.write_text(text)
    with pytest.raises(PublishError, match=rf"{path}: not written by aio-tuned, so it is not replaced"):
        put(folder)
    with root_folder(folder, OURS) as opened:
        assert not opened.remove("x.env")
    assert path.read_text() == text


@needs_root
def test_a_file_of_another_user_is_not_replaced(folder: Path) -> None:
    put(folder)
    os.chown(folder / "x.env", OTHER_USER, -1)
    with pytest.raises(PublishError, match=rf"x.env: not trusted: owned by user {OTHER_USER} .*, or remove it"):
        put(folder, TEXT + "B=2\n")
    assert (folder / "x.env").read_text() == TEXT


def test_a_file_that_others_may_write_is_not_trusted(folder: Path) -> None:
    put(folder)
    (folder / "x.env").chmod(0o666)
    with pytest.raises(PublishError, match="not trusted: writable by other users"):
        put(folder)


def test_the_other_names_of_a_file_keep_the_old_one(tmp_path: Path, folder: Path) -> None:
    put(folder)
    (tmp_path / "other").hardlink_to(folder / "x.env")
    assert put(folder, TEXT + "B=2\n")
    assert (tmp_path / "other").read_text() == TEXT


# --- the end of a file -----------------------------------------------------------------------------------


def test_an_old_file_that_cannot_be_replaced_is_removed(folder: Path) -> None:
    put(folder)
    with (
        files_no_larger_than(4096),
        pytest.raises(PublishError, match=r"x.env: cannot be written: File too large; it was removed"),
    ):
        put(folder, TEXT + "# " + "x" * 8192)
    assert list(folder.iterdir()) == []


def test_only_our_files_are_removed(folder: Path) -> None:
    put(folder)
    (folder / "other.env").write_text("A=1\n")
    (folder / ".hidden").write_text(TEXT)
    with root_folder(folder, OURS) as opened:
        assert opened.names() == ["other.env", "x.env"]
        assert [opened.remove(name) for name in ("other.env", "x.env", "missing")] == [False, True, False]
    assert sorted(each.name for each in folder.iterdir()) == [".hidden", "other.env"]


def test_leftovers_of_a_kill_are_removed(folder: Path) -> None:
    ours, young, others = (folder / name for name in (".x.env.abcd1234", ".x.env.abcd1235", ".y.env.abcd1234"))
    for path in (ours, young, others):
        path.write_text("")
    long_ago = time.time() - 86400
    os.utime(ours, (long_ago, long_ago))
    os.utime(others, (long_ago, long_ago))
    with root_folder(folder, OURS) as opened:
        opened.remove_leftovers("x.env")
    assert sorted(folder.iterdir()) == [young, others]


def test_no_descriptor_is_left_open(tmp_path: Path, folder: Path) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    put(folder)
    for wrong in (tmp_path / "no/no", tmp_path / "export/x.env"):
        with pytest.raises(PublishError):
            put(wrong)
    folder.chmod(0o777)
    with pytest.raises(PublishError):
        put(folder)
    assert count() == before
