"""`aio-tuned --version`, and where it has the commit from."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aio_tuned import __version__
from aio_tuned.cli import version
from aio_tuned.cli.main import main
from aio_tuned.helper.protocol import PROTOCOL

SCRIPT = Path(__file__).parents[3] / "native/commit.sh"


def git(tree: Path, *words: str) -> str:
    author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(["git", "-C", tree, *author, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package's folder in a source tree."""
    made = tmp_path / "tree/daemon/aio_tuned"
    made.mkdir(parents=True)
    (tmp_path / "tree/native").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tree/native")
    return made


@pytest.fixture
def tree(package: Path) -> Path:
    """The source tree as a clean repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    made = package.parents[1]
    git(made, "init", "--quiet")
    git(made, "add", ".")
    git(made, "commit", "--quiet", "--message=one")
    return made


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_one_line_has_version_commit_and_protocol(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([option])
    assert left.value.code == 0
    line = capsys.readouterr().out
    assert re.fullmatch(r"aio-tuned (\S+) \(commit (unknown|[0-9a-f]{12}(-dirty)?), aio-sweep protocol (\d)\)\n", line)
    assert line.startswith(f"aio-tuned {__version__} (")
    assert line.endswith(f" protocol {PROTOCOL})\n")


@pytest.mark.usefixtures("tree")
def test_an_installed_package_has_the_commit_of_its_build(package: Path) -> None:
    (package / "COMMIT").write_text("0123456789ab\n")
    assert version.commit(package) == "0123456789ab"


def test_a_source_tree_has_its_present_commit_and_shows_a_change(package: Path, tree: Path) -> None:
    head = git(tree, "rev-parse", "--short=12", "HEAD")
    git(tree, "tag", "v1")  # a tag does not replace the commit
    assert version.commit(package) == head
    (tree / "native/commit.sh").write_text(SCRIPT.read_text() + "# changed\n")
    assert version.commit(package) == f"{head}-dirty"


def test_a_tree_without_git_has_no_commit_even_inside_another_repository(package: Path, tree: Path) -> None:
    (tree / ".git").rename(tree.parent / ".git")
    assert version.commit(package) == "unknown"


def test_without_the_sources_there_is_no_commit(package: Path) -> None:
    (package.parents[1] / "native/commit.sh").unlink()
    assert version.commit(package) == "unknown"


def test_a_copy_of_the_tree_is_told_its_commit(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.commit(package) == "unknown"
    monkeypatch.setenv("AIO_TUNED_COMMIT", "0123456789ab")
    assert version.commit(package) == "0123456789ab"
