"""What documents say of each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def links(path: Path) -> set[str]:
    """Where the links of a document lead that are no addresses; code is left out, and so is what is behind a #."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return {link.partition("#")[0] for link in found if not re.match(r"[a-z]+:|#", link)}
