"""The files that aio-tuned keeps about a drive, and their removal.

Overrides are the administrator's, and stay. So do the record of the drive's name, the number of bytes that sweeps have
written to it, and the record of a raw write, by which a later sweep zeroes its leftovers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aio_tuned.errors import PrivilegeError, PublishError, TargetError
from aio_tuned.storage import layout

if TYPE_CHECKING:
    from pathlib import Path


def _is_file_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and not {"/", "\0"} & {*name}


def files(profiles: Path, state: Path, name: str) -> tuple[Path, ...]:
    """Return the drive's existing files: published and catalog's profile, samples, checkpoint, verdicts, history.

    The published profile comes first: the daemon would take it for measured if only the catalog's were removed. Return
    () for a name that is not a file name. Raise TargetError if the history cannot be read.
    """
    if not _is_file_name(name):
        return ()
    single = (
        profiles / f"{name}.toml",
        layout.catalog_folder(state) / f"{name}.toml",
        layout.samples_file(state, name),
        layout.checkpoint_file(state, name),
        layout.verdicts_file(state, name),
    )
    history = layout.history_folder(state) / name
    try:
        kept = sorted(history.iterdir()) if history.is_dir() and not history.is_symlink() else []
        return (*(path for path in single if path.is_file()), *(path for path in kept if path.is_file()))
    except OSError as error:
        raise TargetError(f"{error.filename or history}: {error.strerror}") from None


def removed(count: int) -> str:
    """Return what remove() did, for the operator: "1 file removed"."""
    return f"{count} file{'' if count == 1 else 's'} removed"


def remove(profiles: Path, state: Path, name: str) -> int:
    """Remove the drive's files, and return their number; raise PublishError or PrivilegeError if one stays."""
    found = files(profiles, state, name)
    history = layout.history_folder(state) / name
    try:
        for path in found:
            path.unlink(missing_ok=True)
        if _is_file_name(name) and history.is_dir() and not history.is_symlink():
            history.rmdir()
    except OSError as error:
        if isinstance(error, PermissionError) and os.geteuid():
            raise PrivilegeError(f"{error.filename}: permission denied; run the command as root") from None
        raise PublishError(f"{error.filename}: cannot be removed: {error.strerror}") from None
    return len(found)
