"""The file or folder of an overlay's layers that a path on the overlay is.

The kernel does not say which layer a file is read from; it is the first that has a file of that path and the figures
that stat(2) gives for the path.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.device import Mount

# Where the layers lie on several filesystems, the highest bits of an inode's number name the layer ("xino").
_INODE_BITS = (1 << 48) - 1
# A file that is written to at this moment has other figures each time.
_LOOKS = 3
_COLON = re.compile(r"(?<!\\):")


class Layered(NamedTuple):
    """The path in a layer, and a note on what is on the other drives."""

    path: Path
    note: str = ""


def find_layered(path: Path, mount: Mount) -> Layered:
    """Return what a path on that overlay is in its layers: an existing file where it is read from, a folder above.

    Raise TargetError if that is not visible here.
    """
    if path.is_dir():
        upper = _upper(mount)
        if upper is None or not _is_upper(upper, path):
            raise TargetError(
                f"{path} is on an overlay filesystem (a container's root?) whose upper directory"
                f" {upper or ''} is not visible here: give a directory of a mounted volume, or run on the host"
            )
        note = f"{path} is on an overlay: these are the settings of the drive that new files are written to; a file in"
        return Layered(upper, f"{note} it that exists already may be read from another drive: ask for the file itself")
    for _ in range(_LOOKS):
        if found := _find_file(path, mount):
            return found
    raise TargetError(
        f"{path} is on an overlay filesystem (a container's root?), and which of its folders it is read from cannot be"
        " seen here: give a file of a mounted volume, or run on the host"
    )


def _find_file(path: Path, mount: Mount) -> Layered | None:
    try:
        real = Path(os.path.realpath(path))
        inside = (Path(mount.root) / real.relative_to(mount.point)).relative_to("/")
        seen = path.stat()
    except (OSError, ValueError):
        return None
    content_copied = True
    if (upper := _upper(mount)) and (above := _regular(upper / inside)) and _is_same(seen, above):
        if _has_blocks(seen, above):
            return Layered(upper / inside)
        # With metacopy=on a change of mode or owner copies the inode alone, which has no blocks.
        content_copied = False
    for folder in _lower(mount):
        below = _regular(folder / inside)
        if below and _has_inode(seen, below) and _has_blocks(seen, below):
            if content_copied and not _is_same(seen, below):
                continue
            note = f"{path} is read from {folder}, a lower folder of its overlay"
            return Layered(folder / inside, f"{note}; once it is written to, it is copied to the upper folder")
    return None


def _is_same(seen: os.stat_result, other: os.stat_result) -> bool:
    """Return whether a file has the size and times of what was seen on the overlay, to the nanosecond."""
    return (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns) == (other.st_size, other.st_mtime_ns, other.st_ctime_ns)


def _has_blocks(seen: os.stat_result, other: os.stat_result) -> bool:
    return (seen.st_size, seen.st_blocks) == (other.st_size, other.st_blocks)


def _has_inode(seen: os.stat_result, below: os.stat_result) -> bool:
    """Return whether a file of a lower folder has the inode that was seen: a file that was copied up keeps it."""
    return not (seen.st_ino ^ below.st_ino) & _INODE_BITS


def _regular(path: Path) -> os.stat_result | None:
    """Return the status of a regular file; None for anything else, such as a whiteout, and if it is not visible."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _upper(mount: Mount) -> Path | None:
    for option in mount.options:
        if option.startswith("upperdir="):
            return Path(option.removeprefix("upperdir="))
    return None


def _lower(mount: Mount) -> Iterator[Path]:
    """Yield the lower folders from the top; `lowerdir+` and `datadir+` (Linux 6.5) give one each."""
    for option in mount.options:
        key, _, value = option.partition("=")
        if key == "lowerdir":
            yield from (Path(re.sub(r"\\(.)", r"\1", part)) for part in _COLON.split(value) if part)
        elif key in ("lowerdir+", "datadir+"):
            yield Path(value)


def _is_upper(upper: Path, path: Path) -> bool:
    """Return whether that directory, named in the mount's options, can be the overlay's upper one.

    The options may have been written in another namespace, where the name was another directory's. Overlayfs answers
    statfs(2) with the figures of its upper filesystem.
    """
    try:
        if not upper.is_dir():
            return False
        ours, theirs = os.statvfs(path), os.statvfs(upper)
    except PermissionError:
        return False
    return (ours.f_bsize, ours.f_blocks, ours.f_files) == (theirs.f_bsize, theirs.f_blocks, theirs.f_files)
