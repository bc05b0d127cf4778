"""Whether a file is as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def state_of(path: Path) -> tuple[int, ...]:
    """Return what a write, a replacement or a change of rights alters; not the time of a read, which a reader sets."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns, found.st_ctime_ns
