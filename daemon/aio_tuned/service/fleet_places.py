"""The folders of class results that come without a network, as files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.config.load import Config

_FOLDER = "models.d"
_OF_PACKAGE = Path("/usr/lib/aio-tuned")


def bundles(config: Config) -> tuple[Path, ...]:
    """Return the folders of bundles; as with hwdb, those of the operator replace those of the package."""
    return (_OF_PACKAGE / _FOLDER, config.profiles / _FOLDER)


def states(config: Config) -> tuple[tuple[str, int, int], ...]:
    """Return the path, the time of the last change in ns and the size of each bundle, to find out if any has changed.

    A bundle that has just been removed, or cannot be looked at, is left out.
    """
    found = []
    for folder in bundles(config):
        for path in sorted(folder.glob("*.json")):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)


def has_bundles(config: Config) -> bool:
    """Return whether a file may be in one of the folders."""
    return any(next(folder.glob("*.json"), None) for folder in bundles(config))
