"""The rule of trust: a file counts only if no user other than root and this process's user can have written it.

Every folder on the path is checked too, because a user with write access to a folder can replace the file. Folders with
the sticky bit, such as /tmp, are accepted: users cannot replace files of other users in them.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Further users whose files are trusted; None trusts all users.
Owners: TypeAlias = "Collection[int] | None"

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # the kernel's limit


class UntrustedError(Exception):
    """Another user can have written or replaced the file; the text gives the command that corrects this."""


def check(status: os.stat_result, path: Path, folder: Path, owners: Owners = ()) -> None:
    """Raise UntrustedError if users other than root, this process's user and `owners` may write the file.

    `status` is the file's, and `folder` the one that holds it.
    """
    _check_owner(status, path, folder, owners)
    if owners is not None and status.st_mode & _OTHERS_MAY_WRITE:
        raise UntrustedError(
            f"{path}: not trusted: writable by other users (mode {stat.S_IMODE(status.st_mode):04o});"
            f" run chmod go-w {path}"
        )


def check_way(path: Path, owners: Owners = ()) -> None:
    """Raise UntrustedError if another user may replace the file at `path`, which need not exist.

    Check every folder on the path and the owner of every symbolic link, up to the first missing part. Accept write
    access for other users in folders with the sticky bit, where they can replace nothing, and on read-only mounts,
    which Kubernetes makes of a ConfigMap. Raise OSError if a part cannot be read.
    """
    try:
        for part, folder in _way(path):
            status = part.lstat()
            if stat.S_ISDIR(status.st_mode):
                check_passage(status, part, folder, owners)
            else:
                _check_owner(status, part, folder, owners)
    except FileNotFoundError:
        pass


def check_passage(status: os.stat_result, path: Path, folder: Path, owners: Owners = ()) -> None:
    """Raise UntrustedError if another user may replace what is in the folder at `path`.

    `status` is its own, and `folder` the one that holds it.
    """
    if status.st_mode & stat.S_ISVTX or _is_read_only(path):
        _check_owner(status, path, folder, owners)
    else:
        check(status, path, folder, owners)


def read_text(path: Path, owners: Owners = ()) -> str:
    """Return the text of a file that only root, this process's user and `owners` can have written or replaced.

    Raise UntrustedError if other users can, and OSError or UnicodeDecodeError if the file is unreadable or not regular.
    """
    check_way(path, owners)
    # With O_NONBLOCK, opening a named pipe does not wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        check(status, path, path.parent, owners)
        return file.read().decode("utf-8-sig")


def callers() -> frozenset[int]:
    """Return the user who runs this command through sudo, if any.

    That user may run any program as root already, so trusting their files grants no further right.
    """
    given = os.environ.get("SUDO_UID", "")
    return frozenset({int(given)} if given.isascii() and given.isdecimal() else ())


def _check_owner(status: os.stat_result, path: Path, folder: Path, owners: Owners) -> None:
    if owners is not None and status.st_uid not in owners and not _is_trusted(status, folder):
        raise UntrustedError(
            f"{path}: not trusted: owned by user {status.st_uid} instead of root; run chown root {path}"
        )


def _is_trusted(status: os.stat_result, folder: Path) -> bool:
    """Return whether the owner of a file is root or the user of this process.

    In a user namespace without a mapping for the host's root, all unmapped owners appear as one user id. A file with
    that owner is trusted on a read-only mount, which only the creator of the container can have filled.
    """
    if status.st_uid in (0, os.geteuid()):
        return True
    try:
        unknown = int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
        mapped = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
        return status.st_uid == unknown and mapped != ["0", "0", "4294967295"] and _is_read_only(folder)
    except (OSError, ValueError):
        return False


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _way(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each folder and symbolic link on the path, with the folder that holds it; leave out the path's target."""
    here, links = Path("/"), 0
    rest = [*reversed((path if path.is_absolute() else Path.cwd() / path).parts[1:])]
    yield here, here
    while rest:
        part = rest.pop()
        if part == "..":
            here = here.parent
            continue
        found = here / part
        if found.is_symlink():
            yield found, here
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            to = found.readlink()
            rest += reversed(to.parts[1:] if to.is_absolute() else to.parts)
            here = Path("/") if to.is_absolute() else here
        else:
            if rest:
                yield found, here
            here = found
