"""The right to read the profiles, of this process or, for root, of the other users."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.launch.doctor.finding import Finding, Outcome
from aio_tuned.profiles.files import profile_files

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK = "profiles"
_OTHERS_READ = stat.S_IROTH
_OTHERS_SEARCH = stat.S_IXOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileAccess:
    """The folder of the profiles; `closed` are the folders and files that a reader cannot open.

    `missing` is whether the folder does not exist. `who` is the reader that was examined; `own` is true if that is this
    process.
    """

    folder: str
    who: str
    own: bool = True
    missing: bool = False
    closed: tuple[str, ...] = ()


def read(folder: Path, user: int | None = None) -> ProfileAccess:
    """Examine the way to the folder and its files, for this user; as root, by the modes for the other users."""
    user = os.geteuid() if user is None else user
    folder = folder.absolute()  # the way to a relative one begins at the root, too

    def is_closed(path: Path, right: int, others: int) -> bool:
        if user:
            return not os.access(path, right, effective_ids=True)
        return (path.stat().st_mode & others) != others

    try:
        closed = [str(part) for part in reversed(folder.parents) if is_closed(part, os.X_OK, _OTHERS_SEARCH)]
    except FileNotFoundError:
        closed = []
    is_folder = os.path.isdir(folder)  # noqa: PTH112 - Path.is_dir() raises where the way to it is closed
    if is_folder and is_closed(folder, os.R_OK | os.X_OK, _OTHERS_READ | _OTHERS_SEARCH):
        closed.append(str(folder))
    with contextlib.suppress(OSError):
        closed += [str(path) for path in profile_files(folder) if is_closed(path, os.R_OK, _OTHERS_READ)]
    missing = not is_folder and not closed
    who = f"user {user}" if user else "users other than root"
    return ProfileAccess(folder=str(folder), who=who, own=bool(user), missing=missing, closed=tuple(closed))


def check(facts: ProfileAccess) -> Iterator[Outcome]:
    """Report the first of the folders and files that are closed; the way to a folder counts before its files."""
    if facts.closed:
        first = facts.closed[0]
        # The folders above must be searched only: /root or a home need not be listed.
        right = "o+x" if first != facts.folder and Path(facts.folder).is_relative_to(first) else "o+rX"
        more = f" (and {len(facts.closed) - 1} more)" if len(facts.closed) > 1 else ""
        yield Finding(
            check=CHECK,
            subject=facts.folder,
            problem=f"{first}{more} cannot be read by {facts.who}, so the settings are not used",
            remedy=f"chmod {right} {shlex.quote(first)}",
        )
