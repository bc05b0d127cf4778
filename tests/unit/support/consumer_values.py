"""Values that an export may have: nested ones, ones in a list of tables, and one of every type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Entry

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

FS = Entry((("type", "fs"), ("root", '/kv "ü"\\')))
VALUES: dict[Path, Value] = {
    ("aio", "block_size"): 1 << 20,
    ("aio", "single_submit"): False,
    ("ratio",): 1e-05,
    ("tiers", FS, "threads"): 4,
    ("tiers", FS, "options", "engine"): "on",
    ("aio", "queue_depth"): 16,
}
