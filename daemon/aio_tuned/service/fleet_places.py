"""The folders of class results that come without a network, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.config.load import Config

_FOLDER = "models.d"
_OF_PACKAGE = Path("/usr/lib/aio-tuned")


def bundles(config: Config) -> tuple[Path, ...]:
    """Return the folders of bundles; as with hwdb, those of the operator replace those of the package."""
    return (_OF_PACKAGE / _FOLDER, config.profiles / _FOLDER)


def has_bundles(config: Config) -> bool:
    """Return whether a file may be in one of the folders."""
    return any(next(folder.glob("*.json"), None) for folder in bundles(config))
