"""The file or directory in an overlay's layers behind a path on the overlay.

The kernel does not tell which layer a file is read from. It is the first layer with a file of that path and of the same
stat(2) figures.
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
# The figures of a file that is being written change between two calls of stat(2).
_TRIES = 3
_COLON = re.compile(r"(?<!\\):")


class Layered(NamedTuple):
    """The path in a layer, and a note on files that other layers have."""

    path: Path
    note: str = ""


def find_layered(path: Path, mount: Mount) -> Layered:
    """Return the path in the layer that a file is read from, or of a directory the path in the upper layer.

    Raise TargetError if that layer is not visible here.
    """
    if path.is_dir():
        upper = _upper(mount)
        if upper is None or not _is_upper(upper, path):
            name = f" ({upper})" if upper else ""
            raise TargetError(
                f"{path}: on an overlay filesystem (a container's root?) whose upper directory{name} is not visible"
                " here; pass a directory on a mounted volume, or run on the host"
            )
        note = f"{path} is on an overlay; these settings are for new files; an existing file may be on another drive"
        return Layered(upper, f"{note}, so pass the file itself to get its settings")
    for _ in range(_TRIES):
        if found := _find_file(path, mount):
            return found
    raise TargetError(
        f"{path}: on an overlay filesystem (a container's root?), and the layer that has the file is not visible here;"
        " pass a file on a mounted volume, or run on the host"
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
            note = f"{path} is read from {folder}, a lower directory of its overlay"
            return Layered(folder / inside, f"{note}; the first write copies it to the upper directory")
    return None


def _is_same(seen: os.stat_result, other: os.stat_result) -> bool:
    """Return whether a file has the same size and times as the path on the overlay, to the nanosecond."""
    return (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns) == (other.st_size, other.st_mtime_ns, other.st_ctime_ns)


def _has_blocks(seen: os.stat_result, other: os.stat_result) -> bool:
    return (seen.st_size, seen.st_blocks) == (other.st_size, other.st_blocks)


def _has_inode(seen: os.stat_result, below: os.stat_result) -> bool:
    """Return whether a file of a lower layer has the inode that the overlay shows, which a copied-up file keeps."""
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
    """Yield the lower directories from the top; `lowerdir+` and `datadir+` (Linux 6.5) give one each."""
    for option in mount.options:
        key, _, value = option.partition("=")
        if key == "lowerdir":
            yield from (Path(re.sub(r"\\(.)", r"\1", part)) for part in _COLON.split(value) if part)
        elif key in ("lowerdir+", "datadir+"):
            yield Path(value)


def _is_upper(upper: Path, path: Path) -> bool:
    """Return whether a directory that the mount's options name can be the overlay's upper directory.

    The options may be of another mount namespace, where the name is another directory's, so compare the filesystems:
    overlayfs answers statfs(2) with the figures of its upper filesystem.
    """
    try:
        if not upper.is_dir():
            return False
        ours, theirs = os.statvfs(path), os.statvfs(upper)
    except PermissionError:
        return False
    return (ours.f_bsize, ours.f_blocks, ours.f_files) == (theirs.f_bsize, theirs.f_blocks, theirs.f_files)
