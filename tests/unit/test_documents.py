"""docs/: the index has every document, and no link between documents leads nowhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from unit.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = PROJECT / "docs"
DOCUMENTS = sorted([PROJECT / "README.md", PROJECT / "native/PROTOCOL.md", *FOLDER.rglob("*.md")])


def links(path: Path) -> set[str]:
    """Where the links of a document lead that are no addresses; code is left out, and so is what is behind a #."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return {link.partition("#")[0] for link in found if not re.match(r"[a-z]+:|#", link)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not (path.parent / link).exists()] == []


def test_the_index_has_every_document_and_folder() -> None:
    indexed = {link.partition("/")[0] for link in links(FOLDER / "index.md")} - {".."}
    there = {path.name for path in FOLDER.iterdir()} - {"index.md"}
    assert there == indexed


def test_a_link_that_leads_nowhere_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("[a](gone.md#part), [b](https://example.org), `[c](code.md)`\n")
    assert links(tmp_path / "one.md") == {"gone.md"}
