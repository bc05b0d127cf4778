"""The directory of a benchmark: the given one, or one in memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def working_directory(directory: Path, *, memory: bool) -> Iterator[Path]:
    """The directory itself, or a fresh ext4 of 4 GiB mounted in it: on a loop device over a file in memory."""
    if not memory:
        yield directory
        return
    import storage  # it imports pytest, which the guest has not

    with storage.mounted_filesystem("ext4", 4 << 30, directory) as made:
        yield made.path
