"""etc/completions is what .ci/completions.py makes of the parser. tests/daemon/test_shells.py completes with it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def script(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROJECT / ".ci/completions.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)


def test_the_files_are_those_of_this_parser(tmp_path: Path) -> None:
    done = script(tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    made = files(tmp_path)
    assert set(made) == {"bash/aio-tuned", "zsh/_aio-tuned", "fish/aio-tuned.fish"}
    assert files(PROJECT / "etc/completions") == made, "run make completions"


@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--unknown", 2)])
def test_an_option_is_no_folder(tmp_path: Path, option: str, code: int) -> None:
    done = script(option, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert "usage: " in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
