"""An interpreter never runs as root if another user can have changed what it executes."""

from __future__ import annotations

import json
import os
import pwd
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import PrivilegeError, TargetError
from aio_tuned.launch.verify.account import choose, environment, untrusted

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of other users are made by root")
NOBODY = 65534


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter in a virtual environment."""
    venv = tmp_path / "venv"
    (venv / "lib/python3.11/site-packages/torch").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (venv / "lib/python3.11/site-packages/torch/__init__.py").write_text("")
    program = venv / "bin/python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_without_root_it_runs_as_its_caller(python: Path, tmp_path: Path) -> None:
    assert choose(python, tmp_path, 1000) is None


@needs_root
def test_as_root_it_runs_as_root_in_roots_folder_with_roots_tree(python: Path, tmp_path: Path) -> None:
    assert untrusted(python) == ""
    assert choose(python, tmp_path, 0) is None


@needs_root
@pytest.mark.parametrize("change", ["file", "folder", "link"])
def test_a_tree_that_others_may_write_never_runs_as_root(python: Path, tmp_path: Path, change: str) -> None:
    module = python.parent.parent / "lib/python3.11/site-packages/torch/__init__.py"
    if change == "file":
        os.chown(module, NOBODY, -1)
    elif change == "folder":
        module.parent.chmod(0o777)
    else:
        other = tmp_path / "other.py"
        other.write_text("")
        other.chmod(0o666)
        (module.parent / "linked.py").symlink_to(other)
    assert untrusted(python)
    with pytest.raises(PrivilegeError, match=r"not run as root: .*not trusted"):
        choose(python, tmp_path, 0)


@needs_root
def test_an_interpreter_in_a_folder_that_others_may_write_never_runs_as_root(python: Path, tmp_path: Path) -> None:
    python.parent.chmod(0o777)
    with pytest.raises(PrivilegeError, match="not run as root"):
        choose(python, tmp_path, 0)


@needs_root
def test_root_does_not_write_where_others_may_put_links(python: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PrivilegeError, match="shared: not trusted: writable by other users"):
        choose(python, shared, 0)
    shared.chmod(0o1777)
    assert choose(python, shared, 0) is None


@needs_root
def test_in_the_folder_of_a_user_it_runs_as_that_user(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setenv("ROOTS_OWN", "1")
    folder = tmp_path / "users"
    folder.mkdir()
    os.chown(folder, NOBODY, -1)
    found = choose(python, folder, 0)
    assert found is not None
    assert found.uid == NOBODY
    assert 0 not in (found.gid, *found.groups)
    made = environment(found, python)
    assert (made["USER"], made["DS_ACCELERATOR"]) == ("nobody", "cpu")
    assert "ROOTS_OWN" not in made
    assert environment(None, python)["ROOTS_OWN"] == "1"
    assert made["PATH"].startswith(f"{python.parent}:")


@needs_root
def test_a_folder_of_an_unknown_user_is_refused(python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "users"
    folder.mkdir()
    os.chown(folder, 3_999_999, -1)
    with pytest.raises(TargetError, match="no user of this host"):
        choose(python, folder, 0)


@needs_root
@pytest.mark.parametrize("way", ["home", "pth", "editable", "local"])
def test_code_outside_of_the_environment_counts_too(python: Path, tmp_path: Path, way: str) -> None:
    """A copied interpreter has the library of its home; a development install is in any folder."""
    users = tmp_path / "users"
    packages = python.parent.parent / "lib/python3.11/site-packages"
    code = users / "lib/python3.11"
    code.mkdir(parents=True)
    (users / "bin").mkdir()
    if way == "home":
        (python.parent.parent / "pyvenv.cfg").write_text(f"home = {users}/bin\n")
    elif way == "pth":
        (packages / "x.pth").write_text(f"# comment\nimport sys\n\n{code}\n")
    elif way == "editable":
        about = packages / "x-1.dist-info/direct_url.json"
        about.parent.mkdir()
        about.write_text(json.dumps({"url": code.as_uri(), "dir_info": {"editable": True}}))
    else:
        python = users / "bin/python3"
        python.write_text("")
        code = users / "local/lib/python3.11/dist-packages"
        code.mkdir(parents=True)
    assert untrusted(python) == ""
    (code / "os.py").write_text("")
    os.chown(code / "os.py", NOBODY, -1)
    assert f"{code}/os.py: not trusted" in untrusted(python)


@needs_root
def test_root_runs_no_operator_that_another_user_has_built(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operators that torch has built are libraries in a folder of the caller's, whom sudo may let keep HOME."""
    monkeypatch.setenv("HOME", str(tmp_path / "users"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    found = environment(None, python)
    assert found["HOME"] == pwd.getpwuid(0).pw_dir
    assert "XDG_CACHE_HOME" not in found
    built = tmp_path / "built"
    built.mkdir()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(built))
    assert environment(None, python)["TORCH_EXTENSIONS_DIR"] == str(built)
    (built / "async_io.so").write_text("")
    os.chown(built / "async_io.so", NOBODY, -1)
    with pytest.raises(PrivilegeError, match=f"TORCH_EXTENSIONS_DIR={built}: .*async_io.so: not trusted"):
        environment(None, python)


@needs_root
def test_a_folder_of_operators_that_cannot_be_looked_at_is_not_used(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(file / "sub/built"))
    with pytest.raises(PrivilegeError, match=r"not used by root: .*built: Not a directory; choose a folder of root's"):
        environment(None, python)
