"""The drive that a TARGET on the command line names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices import resolve
from aio_tuned.errors import TargetError
from aio_tuned.profiles.files import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.storage.name_register import NameRegister


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDrive:
    """A drive, by the name of its profile.

    `file` is the profile's file if that was given, `node` the device if a path on it was given. Without `node` the
    drive need not be present.
    """

    name: str
    file: Path | None = None
    node: Path | None = None


def find_drive(
    word: str, is_known: Callable[[str], bool], unknown: str, register: NameRegister, *, profiles: bool = True
) -> NamedDrive:
    """Return the drive that a word names: a profile's file (if `profiles`), a known name, or a path on the drive.

    Raise TargetError with the text `unknown` if it is none of them, TargetError if the path is on no drive, and
    ProfileError if the file is not a profile.
    """
    given = Path(word)
    # os.path is used because Path's methods raise if a folder may not be searched.
    if profiles and given.suffix == ".toml" and os.path.isfile(given):  # noqa: PTH113
        return NamedDrive(name=load_profile(given).device.name, file=given)
    if "/" not in word and is_known(word):
        return NamedDrive(name=word)
    if not os.path.exists(given):  # noqa: PTH110
        raise TargetError(unknown)
    device = resolve.device(resolve.resolve(given))
    return NamedDrive(name=register.name_of(device.name, device.id), node=device.node)
