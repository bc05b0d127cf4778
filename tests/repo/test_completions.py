"""docs/completions is what .ci/completions.py makes of the parser. tests/daemon/test_shells.py completes with it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_those_of_this_parser(tmp_path: Path) -> None:
    words: list[str | Path] = [sys.executable, PROJECT / ".ci/completions.py", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    made = files(tmp_path)
    assert set(made) == {"bash/aio-tuned", "zsh/_aio-tuned", "fish/aio-tuned.fish"}
    assert files(PROJECT / "docs/completions") == made, "run make completions"
