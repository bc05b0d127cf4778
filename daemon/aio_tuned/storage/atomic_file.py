"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import time
from pathlib import Path

from aio_tuned.errors import PublishError

# Writing a profile never takes an hour, so an older temporary file is a leftover.
_LEFT_S = 3600.0
_OURS = ("*.toml", "*.samples.jsonl", "*.samples.jsonl.gz")


def make_folder(directory: Path) -> None:
    """Create the folder if it is missing; raise PublishError if that fails."""
    try:
        _make_folder(directory)
    except OSError as error:
        raise PublishError(f"{directory}: cannot be written: {_reason(error)}") from None


def _make_folder(directory: Path) -> None:
    if directory.is_dir():
        return
    try:
        directory.mkdir(parents=True)
        directory.chmod(0o755)  # readable for all users, whatever root's umask
    except FileExistsError:
        if not directory.is_dir():  # else another process was first
            raise


def _reason(error: OSError) -> str | None:
    return "not a folder" if error.errno in (errno.EEXIST, errno.ENOTDIR) else error.strerror


def left_after_s(uptime_s: float) -> float:
    """Return the age in seconds from which a temporary file is a leftover: an hour, or the uptime if that is less."""
    return min(_LEFT_S, uptime_s)


def remove_leftovers(directory: Path, now: float, *names: str, age_s: float | None = None) -> None:
    """Remove temporary files that a kill or a power cut left, if they are at least `age_s` seconds older than `now`.

    `age_s` is left_after_s() by default. `names` are patterns of the files that were to be written, by default those of
    profiles and samples.
    """
    if age_s is None:
        age_s = left_after_s(time.clock_gettime(time.CLOCK_BOOTTIME))
    globs = [f".{name}.????????" for name in names or _OURS] + ([] if names else [".aio-tuned-*"])
    for path in (path for glob in globs for path in directory.glob(glob)):
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime >= age_s:
                path.unlink()


def check_writable(directory: Path) -> None:
    """Raise PublishError if no file can be published in the directory; call this before a sweep."""
    try:
        _make_folder(directory)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".aio-tuned-"):
            pass
    except OSError as error:
        root_helps = error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0
        remedy = "run as root, or pass another folder with --out" if root_helps else "pass another folder with --out"
        raise PublishError(f"{directory}: cannot be written: {_reason(error)}; {remedy}") from None


def write(path: Path, content: str | bytes, *, sync: bool = True, mode: int | None = 0o644) -> None:
    """Replace the file by renaming a temporary file over it, so that readers see the old content or the new one.

    With `sync` the new content survives a power cut. `mode` None keeps the owner and mode of the existing file, and
    follows a symbolic link to it; any other mode replaces the link. Raise OSError, or UnicodeEncodeError if the text
    cannot be encoded as UTF-8; then the old file is unchanged, and no temporary file is left.
    """
    data = content.encode() if isinstance(content, str) else content
    owner = None
    if mode is None:
        path = Path(os.path.realpath(path))
        old = path.stat()
        owner, mode = (old.st_uid, old.st_gid), stat.S_IMODE(old.st_mode)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if owner:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            if sync:
                os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def publish(path: Path, content: str | bytes, *, sync: bool = True, mode: int | None = 0o644) -> None:
    """Replace the file as write() does; raise PublishError if it cannot be written."""
    try:
        write(path, content, sync=sync, mode=mode)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PublishError(f"{path}: cannot be written: {reason}") from None


def create(path: Path, content: str) -> None:
    """Create a file, whole or not at all, that survives a power cut.

    Raise FileExistsError if the path exists, and PublishError if the file cannot be written.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        # Of two processes that link a file to one name, the second one fails.
        Path(path).hardlink_to(temporary)
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise PublishError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable; raise OSError if that fails."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
