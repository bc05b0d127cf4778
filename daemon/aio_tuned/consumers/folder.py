"""Consumers that need a folder, and not a device. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from aio_tuned.errors import UsageError


def need_folder(path: str, consumer: str) -> None:
    """UsageError if the path is that of a device: there is no looking here, but all of them are in /dev."""
    if PurePosixPath(path).is_relative_to("/dev"):
        raise UsageError(f"{path}: {consumer} needs a folder on the drive's filesystem, and not a device")
