"""Exports of single values, merged into a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export
from aio_tuned.consumers.merge import apply

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Format, Value
    from aio_tuned.consumers.merge.document import Path


def merged(name: Format, text: str, path: Path, value: Value = 8) -> str:
    """Return the text with that value, and assert that merging again changes nothing."""
    once = Export(format=name, values={path: value})
    new = apply.merge(once, text, "/x/file")
    assert apply.merge(once, new, "/x/file") == new
    return new
