"""Profiles from files that only root, or the reader, may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import trust
from aio_tuned.errors import NoProfileError, ProfileError

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.reader.types import Disk


def check_folder(folder: Path, disk: Disk) -> None:
    """Raise ProfileError if other users may write to the folder, NoProfileError if it does not exist."""
    try:
        trust.check(folder.stat(), folder, folder)
    except trust.UntrustedError as error:
        raise ProfileError(str(error)) from None
    except FileNotFoundError:
        raise NoProfileError(f"{folder}: no such folder, so no profile of {disk.node} ({disk.name})") from None
    except OSError as error:
        raise ProfileError(f"{folder}: {error.strerror}") from None
