"""The private folder: where it is made, who can read it, and when it is removed."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import PublishError
from aio_tuned.launch import private_folder
from aio_tuned.launch.private_folder import create, remove, remove_ended, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"lmcache.yaml": "a: 1\n", "cufile.json": "{}\n"}


class Places:
    """The four folders that may hold private folders, each a folder of the test's own."""

    def __init__(self, root: Path) -> None:
        self.xdg, self.run_user, self.tmpdir, self.tmp = (root / name for name in ("xdg", "run", "tmpdir", "tmp"))
        self.own = self.run_user / str(os.geteuid())
        for folder in (self.xdg, self.own, self.tmpdir, self.tmp):
            folder.mkdir(parents=True)
            folder.chmod(0o700)
        self.environment = {"XDG_RUNTIME_DIR": str(self.xdg), "TMPDIR": str(self.tmpdir)}

    def create(self) -> Path:
        return create(FILES, self.environment, self.run_user, self.tmp)

    def remove_ended(self) -> None:
        remove_ended(self.environment, self.run_user, self.tmp)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


@pytest.fixture(params=[0o022, 0o000, 0o777])
def _umask(request: pytest.FixtureRequest, places: Places) -> Iterator[None]:
    """Set the umask after the places were made."""
    del places
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- where -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_umask")
def test_only_the_user_can_read_it(places: Places) -> None:
    folder = places.create()
    assert folder.parent == places.xdg
    assert mode(folder) == 0o700
    assert {file.name: file.read_text() for file in folder.iterdir()} == FILES
    assert {mode(file) for file in folder.iterdir()} == {0o600}


def test_two_of_one_process_differ(places: Places) -> None:
    assert places.create() != places.create()


@pytest.mark.parametrize("wrong", ["missing", "relative", "empty", "readable", "symlink", "file", "read-only"])
def test_a_runtime_folder_that_is_not_private_is_left_alone(places: Places, wrong: str) -> None:
    if wrong == "readable":
        places.xdg.chmod(0o750)
    elif wrong == "read-only":
        places.xdg.chmod(0o500)
        if os.access(places.xdg, os.W_OK):
            pytest.skip("root may write everywhere")
    elif wrong in ("relative", "empty"):
        places.environment["XDG_RUNTIME_DIR"] = "xdg" if wrong == "relative" else ""
    else:
        places.xdg.rmdir()
    if wrong == "symlink":
        (places.xdg.parent / "target").mkdir(mode=0o700)
        places.xdg.symlink_to("target")
    if wrong == "file":
        places.xdg.touch()
    assert places.create().parent == places.own


def test_without_a_runtime_folder_it_is_in_a_temporary_one(places: Places) -> None:
    places.environment.pop("XDG_RUNTIME_DIR")
    places.own.rmdir()
    assert places.create().parent == places.tmpdir
    places.tmpdir.chmod(0o777)  # others may replace what is in it
    assert places.create().parent == places.tmp
    places.tmpdir.chmod(0o1777)
    assert places.create().parent == places.tmpdir


def test_without_any_folder_nothing_is_left_and_no_value_is_told(places: Places) -> None:
    for folder in (places.xdg, places.own, places.tmpdir, places.tmp):
        folder.chmod(0o777)
    with pytest.raises(PublishError) as caught:
        places.create()
    assert "no private folder: not trusted" in str(caught.value)
    assert str(places.xdg.parent) not in str(caught.value)


def test_a_file_that_cannot_be_written_leaves_nothing(places: Places) -> None:
    with pytest.raises(PublishError):
        create({"a/b": ""}, places.environment, places.run_user, places.tmp)
    for folder in (places.xdg, places.own, places.tmpdir, places.tmp):
        assert list(folder.iterdir()) == []


# --- removal ---------------------------------------------------------------------------------------------


def ended(folder: Path) -> Path:
    """Rename the private folder to one of a process that has ended."""
    process = subprocess.Popen(["sleep", "60"])
    here = this_process()
    start = private_folder._start_time(process.pid, private_folder.PROC)
    process.kill()
    process.wait()
    return folder.rename(folder.with_name(f"aio-tuned-run-{here.namespace}-{process.pid}-{start}-00000000"))


def test_the_folder_of_a_process_that_has_ended_is_removed(places: Places) -> None:
    left = [ended(places.create())]
    places.environment["XDG_RUNTIME_DIR"] = ""
    left.append(ended(places.create()))
    places.environment["XDG_RUNTIME_DIR"] = str(places.xdg)
    assert [folder.is_dir() for folder in left] == [True, True]
    places.remove_ended()
    assert [folder.exists() for folder in left] == [False, False]


def test_the_folder_of_a_process_that_runs_stays(places: Places) -> None:
    folder = places.create()
    places.remove_ended()
    assert folder.is_dir()


def test_the_folder_of_an_earlier_process_with_that_number_is_removed(places: Places) -> None:
    here = this_process()
    earlier = f"aio-tuned-run-{here.namespace}-{here.pid}-{here.start - 1}-00000000"
    folder = places.create().rename(places.xdg / earlier)
    places.remove_ended()
    assert not folder.exists()


def test_the_folder_of_another_pid_namespace_stays(places: Places) -> None:
    here = this_process()
    folder = places.create().rename(places.xdg / f"aio-tuned-run-{here.namespace - 1}-{here.pid}-1-00000000")
    places.remove_ended()
    assert folder.is_dir()


def test_a_process_whose_number_is_no_number_of_a_process_stays(places: Places) -> None:
    here = this_process()
    folder = places.create().rename(places.xdg / f"aio-tuned-run-{here.namespace}-9999999999-1-00000000")
    places.remove_ended()
    assert folder.is_dir()


def test_a_link_with_that_name_is_not_followed(places: Places) -> None:
    target = places.create()
    link = ended(places.create())
    for file in link.iterdir():
        file.unlink()
    link.rmdir()
    link.symlink_to(target)
    places.remove_ended()
    assert {file.name for file in target.iterdir()} == set(FILES)


def test_a_link_in_the_folder_is_removed_and_its_target_stays(places: Places, tmp_path: Path) -> None:
    folder = ended(places.create())
    (tmp_path / "precious.json").write_text("{}")
    (folder / "kvikio.json").symlink_to(tmp_path / "precious.json")
    places.remove_ended()
    assert not folder.exists()
    assert (tmp_path / "precious.json").read_text() == "{}"


def test_files_that_are_not_ours_stay(places: Places) -> None:
    folder = ended(places.create())
    (folder / "Thesis.tex").write_text("words")
    (folder / "data").mkdir()
    places.remove_ended()
    assert {file.name for file in folder.iterdir()} == {"Thesis.tex", "data"}


def test_a_folder_that_others_may_write_is_not_cleaned(places: Places) -> None:
    folder = ended(places.create())
    places.xdg.chmod(0o777)
    places.remove_ended()
    assert folder.is_dir()


def test_the_folder_of_a_command_that_did_not_start_is_removed(places: Places) -> None:
    folder = places.create()
    remove(folder)
    assert not folder.exists()
    remove(folder)
