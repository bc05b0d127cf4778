from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import Exit, PublishError
from aio_tuned.storage.atomic_file import check_writable, publish
from unit.support.limits import files_no_larger_than

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_for_all_to_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = publish(tmp_path, "x.toml", "tëxt\n")
    finally:
        os.umask(before)
    assert path == tmp_path / "x.toml"
    assert path.read_bytes() == "tëxt\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["x.toml"]


def test_what_was_there_is_replaced_not_changed(tmp_path: Path) -> None:
    path = publish(tmp_path, "x.toml", "old")
    with path.open() as reader:
        publish(tmp_path, "x.toml", "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["x.toml"]


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("mine")
    (tmp_path / "x.toml").symlink_to(elsewhere)
    publish(tmp_path, "x.toml", "new")
    assert elsewhere.read_text() == "mine"
    assert not (tmp_path / "x.toml").is_symlink()


@pytest.mark.parametrize("size", [100_000, 5000])
def test_without_room_the_old_file_stays_and_nothing_besides(tmp_path: Path, size: int) -> None:
    path = publish(tmp_path, "x.toml", "old")
    with files_no_larger_than(4096), pytest.raises(PublishError, match=r"x\.toml: cannot be written: ") as caught:
        publish(tmp_path, "x.toml", "n" * size)
    assert caught.value.exit_code == Exit.PUBLISH
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.toml"]


def test_text_that_no_file_can_hold_is_a_publish_error(tmp_path: Path) -> None:
    """A mount point that is not UTF-8 gets into a profile as surrogates: "mounted at /mnt/\\udcff"."""
    path = publish(tmp_path, "x.toml", "old")
    with pytest.raises(PublishError):
        publish(tmp_path, "x.toml", "mounted at /mnt/\udcff")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.toml"]


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_where_there_is_no_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match=r"x\.toml: cannot be written: (No such file|Not a directory)"):
        publish(tmp_path / folder, "x.toml", "new")


def test_a_folder_in_the_files_place_stays(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(PublishError, match="Is a directory"):
        publish(tmp_path, "x.toml", "new")
    assert names(tmp_path) == ["x.toml"]


def test_names_as_long_as_a_device_may_have(tmp_path: Path) -> None:
    assert publish(tmp_path, "é" * 100 + ".samples.jsonl", "x").read_text() == "x"


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """Root writes everywhere but where a file system is read-only."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    publish(folder, "x.toml", "old")
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
        publish(read_only_folder, "x.toml", "new")
    assert (read_only_folder / "x.toml").read_text() == "old"
    with pytest.raises(
        PublishError, match=r"read-only: profiles cannot be written there: .*; run as root, or pass --out"
    ):
        check_writable(read_only_folder)


def test_a_folder_is_made_and_left_empty_by_the_check(tmp_path: Path) -> None:
    check_writable(tmp_path / "a/b")
    assert names(tmp_path / "a/b") == []


@pytest.mark.parametrize("below", ["file", "file/below"])
def test_a_file_in_the_folders_place(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError) as caught:
        check_writable(tmp_path / below)
    assert caught.value.exit_code == Exit.PUBLISH
