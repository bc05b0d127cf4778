"""The files of profiles in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.errors import ProfileError
from aio_tuned.profiles import codec

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.profile import Profile


def profile_files(folder: Path) -> list[Path]:
    """The files of profiles in the folder; half-written ones have a dot. OSError if it cannot be read."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.name[0] != ".")


def load_profile(path: Path) -> Profile:
    """The profile in a file; ProfileError names the file."""
    try:
        return codec.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
