from __future__ import annotations

import errno
import os
import stat
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import Exit, PublishError
from aio_tuned.storage.atomic_file import check_writable, left_after_s, publish, remove_leftovers, write
from unit.support.limits import files_no_larger_than

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_for_all_to_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    before = os.umask(0o077)
    try:
        publish(path, "tëxt\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == "tëxt\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["x.toml"]


def test_what_was_there_is_replaced_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    publish(path, "old")
    with path.open() as reader:
        publish(tmp_path / "x.toml", "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["x.toml"]


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("mine")
    (tmp_path / "x.toml").symlink_to(elsewhere)
    publish(tmp_path / "x.toml", "new")
    assert elsewhere.read_text() == "mine"
    assert not (tmp_path / "x.toml").is_symlink()


def test_an_edited_file_keeps_its_owner_and_mode_and_the_link_to_it(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.write_text("old")
    if os.geteuid() == 0:
        os.chown(theirs, 65534, 65533)
    theirs.chmod(0o640)
    before = theirs.stat()
    link.symlink_to(theirs)
    publish(link, "new", mode=None)
    assert link.is_symlink()
    assert theirs.read_text() == "new"
    after = theirs.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert after.st_ino != before.st_ino


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_has_the_mode_that_is_asked_for(tmp_path: Path, sync: bool) -> None:
    write(tmp_path / "x", b"\xff", sync=sync, mode=0o600)
    assert (tmp_path / "x").read_bytes() == b"\xff"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_the_caller_may_have_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "x", "new", mode=None)
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing/x", "new")
    with files_no_larger_than(2), pytest.raises(OSError, match="too large"):
        write(tmp_path / "x", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [100_000, 5000])
def test_without_room_the_old_file_stays_and_nothing_besides(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.toml"
    publish(path, "old")
    with files_no_larger_than(4096), pytest.raises(PublishError, match=r"x\.toml: cannot be written: ") as caught:
        publish(tmp_path / "x.toml", "n" * size)
    assert caught.value.exit_code == Exit.PUBLISH
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.toml"]


def test_text_that_no_file_can_hold_is_a_publish_error(tmp_path: Path) -> None:
    """A mount point that is not UTF-8 gets into a profile as surrogates: "mounted at /mnt/\\udcff"."""
    path = tmp_path / "x.toml"
    publish(path, "old")
    with pytest.raises(PublishError):
        publish(tmp_path / "x.toml", "mounted at /mnt/\udcff")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.toml"]


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_where_there_is_no_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match=r"x\.toml: cannot be written: (No such file|Not a directory)"):
        publish(tmp_path / folder / "x.toml", "new")


def test_a_folder_in_the_files_place_stays(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(PublishError, match="Is a directory"):
        publish(tmp_path / "x.toml", "new")
    assert names(tmp_path) == ["x.toml"]


def test_names_as_long_as_a_device_may_have(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 100 + ".samples.jsonl")
    publish(path, "x")
    assert path.read_text() == "x"


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """Root writes everywhere but where a file system is read-only."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    publish(folder / "x.toml", "old")
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    bind = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False)
    if bind.returncode:
        pytest.skip("root without the right to mount: nothing is read-only to it")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_read_only_folder_keeps_the_old_file(read_only_folder: Path) -> None:
    with pytest.raises(PublishError, match=r"(Read-only file system|Permission denied)"):
        publish(read_only_folder / "x.toml", "new")
    assert (read_only_folder / "x.toml").read_text() == "old"
    with pytest.raises(PublishError, match=r"read-only: cannot be written: .*; .*pass another folder with --out$"):
        check_writable(read_only_folder)


@pytest.mark.parametrize(
    ("number", "uid", "remedy"),
    [
        (errno.EACCES, 1000, "run as root, or pass another folder with --out"),
        (errno.EACCES, 0, "pass another folder with --out"),
        (errno.EROFS, 1000, "pass another folder with --out"),
        (errno.ENOSPC, 0, "pass another folder with --out"),
    ],
)
def test_root_is_named_only_where_it_would_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, uid: int, remedy: str
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with pytest.raises(PublishError) as caught:
        check_writable(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be written: {os.strerror(number)}; {remedy}"


def test_a_folder_is_made_and_left_empty_by_the_check(tmp_path: Path) -> None:
    check_writable(tmp_path / "a/b")
    assert names(tmp_path / "a/b") == []


@pytest.mark.parametrize("below", ["file", "file/below"])
def test_a_file_in_the_folders_place(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError) as caught:
        check_writable(tmp_path / below)
    assert caught.value.exit_code == Exit.PUBLISH
    assert str(caught.value).endswith(": cannot be written: not a folder; pass another folder with --out")


# --- what a kill or a power cut leaves -------------------------------------------------------------------


def test_what_was_written_before_the_boot_is_a_leftover_at_once() -> None:
    assert left_after_s(20.0) == 20.0
    assert left_after_s(10 * 86400.0) == 3600.0


def test_leftovers_are_removed_and_what_may_be_written_now_is_not(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in (".x.toml.abcdefgh", ".y.toml.abcdefgh", ".z.txt.abcdefgh"))
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (1000.0, 1000.0))
    remove_leftovers(tmp_path, new.stat().st_mtime)
    assert names(tmp_path) == [new.name, other.name]
