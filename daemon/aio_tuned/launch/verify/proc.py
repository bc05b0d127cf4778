"""Files of /proc, of processes that may end at any moment."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def text(path: Path) -> str:
    """Return the file's text, "" if it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def names(folder: Path) -> list[str]:
    """Return the names in the folder, none if it cannot be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - many a second
    except OSError:
        return []


def fields(path: Path, separator: str) -> dict[str, str]:
    """Return the file's lines as key and value; a key that is missing is ""."""
    pairs = (line.partition(separator) for line in text(path).splitlines())
    return defaultdict(str, {key.strip(): value.strip() for key, _, value in pairs})
