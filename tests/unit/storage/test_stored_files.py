"""What is removed when a drive is forgotten, and what stays."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from aio_tuned.errors import PrivilegeError
from aio_tuned.storage import forget
from unit.support.stored import fill, left


def test_all_files_of_a_drive_are_removed_but_not_its_override_and_its_name(tmp_path: Path) -> None:
    made = fill(tmp_path, "nvme-x", "nvme-x-2")
    assert forget.remove(tmp_path / "etc", tmp_path / "var", "nvme-x") == 6
    stays = {place for place in made if "nvme-x-2" in place or place in ("etc/aio-tuned.conf", "var/written.journal")}
    assert left(tmp_path) == {*stays, "etc/override.d/nvme-x.toml", "var/names/nvme-x"}
    assert not (tmp_path / "var/history/nvme-x").exists()
    assert forget.remove(tmp_path / "etc", tmp_path / "var", "nvme-x") == 0


def test_the_published_profile_is_removed_first(tmp_path: Path) -> None:
    """Else a daemon that starts in between would take it for measured."""
    fill(tmp_path, "nvme-x")
    assert forget.files(tmp_path / "etc", tmp_path / "var", "nvme-x")[0] == tmp_path / "etc/nvme-x.toml"


@pytest.mark.parametrize("name", ["", ".", "..", "../etc/nvme-x", "override.d/nvme-x", ".nvme-x", "a\0b"])
def test_a_name_that_is_no_file_name_has_no_files(tmp_path: Path, name: str) -> None:
    made = fill(tmp_path, "nvme-x")
    assert forget.files(tmp_path / "etc", tmp_path / "var", name) == ()
    assert forget.remove(tmp_path / "etc", tmp_path / "var", name) == 0
    assert left(tmp_path) == set(made)


def test_a_link_in_place_of_the_history_is_not_followed(tmp_path: Path) -> None:
    made = fill(tmp_path, "nvme-x")
    (tmp_path / "var/history/nvme-y").symlink_to(tmp_path / "var/history/nvme-x")
    assert forget.remove(tmp_path / "etc", tmp_path / "var", "nvme-y") == 0
    assert set(made) <= left(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_user_needs_privilege() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        root = Path(folder)
        root.chmod(0o755)
        made = fill(root, "nvme-x")
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(PrivilegeError, match="permission denied; run the command as root"):
                forget.remove(root / "etc", root / "var", "nvme-x")
        finally:
            os.setresuid(0, 0, 0)
        assert left(root) == set(made)
