"""Links, anchors and commands of Markdown documents, for the tests that check them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _all_links(path: Path) -> Iterator[str]:
    """Yield every link of a document that is no address; those in code do not count."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from (link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link))


def links(path: Path) -> set[str]:
    """Return the files that a document links to, without the anchors."""
    return {link.partition("#")[0] for link in _all_links(path)} - {""}


def anchors_used(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the document and the anchor of each link that has one."""
    for link in _all_links(path):
        file, _, anchor = link.partition("#")
        if anchor:
            yield (path.parent / file).resolve() if file else path, anchor


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(path: Path, heading: str) -> list[str]:
    """Return the commands of the first shell block below a heading of level 2, without their comments."""
    section = path.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    block = section.partition("```sh\n")[2].partition("```")[0]
    return [command for line in block.splitlines() if (command := re.sub(r"(^|\s+)# .*", "", line))]
