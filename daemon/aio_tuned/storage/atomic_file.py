"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from pathlib import Path

from aio_tuned.errors import PublishError

# No write of a profile takes this long.
_LEFT_S = 3600.0
_OURS = ("*.toml", "*.samples.jsonl", "*.samples.jsonl.gz")


def make_folder(directory: Path) -> None:
    """Create the folder if it is missing; raise PublishError if that fails."""
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(0o755)  # for every reader, whatever root's umask
    except OSError as error:
        raise PublishError(f"{directory}: profiles cannot be written there: {error.strerror}") from None


def left_after_s(uptime_s: float) -> float:
    """Return the age in seconds from which nobody can still be writing a file: an hour, or since before the boot."""
    return min(_LEFT_S, uptime_s)


def remove_leftovers(directory: Path, now: float, *names: str, age_s: float | None = None) -> None:
    """Remove temporary files that were left by a kill or a power cut, at least `age_s` seconds before `now`.

    The default is left_after_s(). `names` are patterns of the files that were to be written; without any, they are
    those of profiles and samples.
    """
    if age_s is None:
        age_s = left_after_s(time.clock_gettime(time.CLOCK_BOOTTIME))
    globs = [f".{name}.????????" for name in names or _OURS] + ([] if names else [".aio-tuned-*"])
    for path in (path for glob in globs for path in directory.glob(glob)):
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime >= age_s:
                path.unlink()


def check_writable(directory: Path) -> None:
    """Raise PublishError if a file could not be published in the directory; call this before a sweep."""
    try:
        make_folder(directory)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".aio-tuned-"):
            pass
    except PublishError as error:
        raise PublishError(f"{error}; run as root, or pass --out DIR") from None
    except OSError as error:
        raise PublishError(
            f"{directory}: profiles cannot be written there: {error.strerror}; run as root, or pass --out DIR"
        ) from None


def write(path: Path, content: str | bytes, *, sync: bool = True, mode: int | None = 0o644) -> None:
    """Replace the file by renaming a temporary file over it, so that readers see the old content or the new one.

    With `sync` the new content survives a power cut. `mode` None keeps the owner and mode of the existing file, and
    follows a symbolic link to it; any other mode replaces the link. Raise OSError, or UnicodeEncodeError if the text
    cannot be encoded as UTF-8; the old file is then left as it was, and no temporary file.
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
    """Call write(), and raise PublishError if the file cannot be written."""
    try:
        write(path, content, sync=sync, mode=mode)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PublishError(f"{path}: cannot be written: {reason}") from None


def create(path: Path, content: str) -> None:
    """Make a new file, whole or not at all, that survives a power cut.

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
