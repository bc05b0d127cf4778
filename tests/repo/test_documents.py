"""docs/ and README: the index has every document, no link leads nowhere, and lists that are kept by hand are whole."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

import pytest

from aio_tuned import consumers
from aio_tuned.cli import main
from aio_tuned.config.device_rules import PATTERN_KEYS
from documents import links
from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = PROJECT / "docs"
DOCUMENTS = sorted([PROJECT / "README.md", PROJECT / "native/PROTOCOL.md", *FOLDER.rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not (path.parent / link).exists()] == []


def test_the_index_has_every_document_and_folder() -> None:
    linked = links(FOLDER / "index.md")
    kinds = ("tutorial", "how-to", "reference", "explanation")
    there = {path.name for path in FOLDER.iterdir()} - {"index.md", *kinds}
    assert there == {link.partition("/")[0] for link in linked} - {"..", *kinds}
    pages = {str(path.relative_to(FOLDER)) for kind in kinds for path in (FOLDER / kind).glob("*")}
    assert pages == {link for link in linked if link.partition("/")[0] in kinds}


def test_a_link_that_leads_nowhere_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("[a](gone.md#part), [b](https://example.org), `[c](code.md)`\n")
    assert links(tmp_path / "one.md") == {"gone.md"}


# --- lists that are written by hand ----------------------------------------------------------------------


def test_every_consumer_has_its_row() -> None:
    text = (FOLDER / "reference/consumers.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == sorted(consumers.NAMES)


def test_every_pattern_of_a_match_rule_is_named_where_the_configuration_explains_them() -> None:
    shipped = (PROJECT / "etc/aio-tuned.conf").read_text(encoding="utf-8")
    comment = shipped[shipped.index("# Which drives") : shipped.index("# [[match]]")]
    assert [key for key in PATTERN_KEYS if not re.search(rf"\b{key}\b", comment)] == []


def test_every_command_is_in_the_readme() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^    aio-tuned ([a-z-]+)", text[text.index("## The command") :], flags=re.MULTILINE)
    subparsers = (action for action in main.parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert sorted(set(listed)) == sorted(next(subparsers).choices)
