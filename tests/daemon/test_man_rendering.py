"""docs/man in the two programs that show man pages. tests/unit/test_man_pages.py sees to what they say."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from needed import command

PAGES = sorted((Path(__file__).parents[2] / "docs/man").iterdir())
COLUMNS = 80


def run(*words: str | Path) -> str:
    """Standard output of a program that has nothing to complain of."""
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_mandoc_warns_of_nothing(page: Path) -> None:
    assert run(command("mandoc", "apt-get install mandoc"), "-Tlint", "-Wwarning", page) == ""


def test_groff_warns_of_nothing_and_no_line_is_too_long(page: Path) -> None:
    # As man(1) calls it, which small images have put a stub in the place of.
    groff = command("groff", "apt-get install groff-base")
    text = run(groff, "-mandoc", "-Tutf8", "-ww", "-k", f"-rLL={COLUMNS - 2}n", "-P-cbou", page)
    assert page.name.rpartition(".")[0].upper() in text.splitlines()[0]
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
