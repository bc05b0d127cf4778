"""Adapter: writes files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable

# No write of a profile takes that long.
_LEFT_S = 3600.0
_OURS = ("*.toml", "*.samples.jsonl", "*.samples.jsonl.gz")


def make_folder(directory: Path) -> None:
    """Make the folder if it is missing. PublishError if that cannot be."""
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(0o755)  # for every reader, whatever root's umask
    except OSError as error:
        raise PublishError(f"{directory}: profiles cannot be written there: {error.strerror}") from None


def remove_leftovers(directory: Path, now: float, *names: str) -> None:
    """Remove temporary files that a kill or a power cut has left: those of an hour ago and before.

    `names` are patterns of the files that were to be written: of profiles and samples, if there are none.
    """
    globs = [".aio-tuned-*", *(f".{name}.????????" for name in names or _OURS)]
    for path in (path for glob in globs for path in directory.glob(glob)):
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime > _LEFT_S:
                path.unlink()


def check_writable(directory: Path) -> None:
    """PublishError if a file could not be published in `directory`; asked before a sweep, not after it."""
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


def publish(directory: Path, name: str, text: str | bytes) -> Path:
    """Write `directory`/`name`, mode 0644: temporary dot-file in the same folder, fsync, rename, fsync of the folder.

    A reader sees the old file or the new one. PublishError leaves the old one, and nothing besides.
    """
    path = directory / name
    _replace(path, text, lambda descriptor: os.fchmod(descriptor, 0o644))
    return path


def post(path: Path, text: str) -> None:
    """As publish(), but what is written is news, not a record: no fsync. PublishError."""
    _replace(path, text, lambda descriptor: os.fchmod(descriptor, 0o644), sync=False)


def rewrite(path: Path, text: str) -> None:
    """Replace the content of a file that is there, as publish() does, and keep its owner and mode. PublishError."""

    def keep(descriptor: int) -> None:
        status = path.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))

    _replace(Path(os.path.realpath(path)), text, keep)


def _replace(path: Path, text: str | bytes, prepare: Callable[[int], None], *, sync: bool = True) -> None:
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            prepare(file.fileno())
            if sync:
                os.fsync(file.fileno())
        Path(temporary).rename(path)
        temporary = None
        if not sync:
            return
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PublishError(f"{path}: cannot be written: {reason}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
