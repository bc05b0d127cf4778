"""A folder that only root may change, held open while files in it are written.

Each folder on the way is opened by its name in the one before, and follows no symbolic link. (openat2 with
RESOLVE_NO_SYMLINKS does the same in one call, but Python has no function for it.) Each is then checked by its
descriptor. So the folder that is written to is the one that was checked, and not one that was put in its place.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import trust
from aio_tuned.errors import PublishError
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# With O_NONBLOCK, opening a named pipe does not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ALL_READ = 0o755


@contextlib.contextmanager
def root_folder(path: Path, begins: bytes) -> Iterator[RootFolder]:
    """Open the folder, and create it if only it is missing.

    `begins` is the beginning of each file that aio-tuned has written there; no other file is replaced or removed.
    Raise PublishError if the folder or one above it is no folder, is a symbolic link, or may be changed by other users.
    """
    descriptor = _open(path)
    try:
        yield RootFolder(path, descriptor, begins)
    finally:
        os.close(descriptor)


class RootFolder:
    """An open folder."""

    def __init__(self, path: Path, descriptor: int, begins: bytes) -> None:
        self._path = path
        self._begins = begins
        self._descriptor = descriptor
        # The folder itself, whatever has its name by now.
        self._inside = Path(f"/proc/self/fd/{descriptor}")

    def replace(self, name: str, content: str, mode: int) -> bool:
        """Write the file, and return whether it was not so already.

        If it cannot be written, remove the old one, which would be out of date. Raise PublishError, also if the file is
        not one of aio-tuned's.
        """
        data = content.encode()
        if self._read(name) == (data, mode):
            return False
        try:
            atomic_file.write(self._inside / name, data, mode=mode)
        except OSError as error:
            removed = "; it was removed" if self._discard(name) else ""
            raise PublishError(f"{self._path / name}: cannot be written: {error.strerror}{removed}") from None
        return True

    def remove(self, name: str) -> bool:
        """Remove the file if it is one of aio-tuned's; return whether it was.

        Raise PublishError if it cannot be removed.
        """
        try:
            if self._read(name) is None:
                return False
        except PublishError:
            return False
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except OSError as error:
            raise PublishError(f"{self._path / name}: cannot be removed: {error.strerror}") from None
        return True

    def names(self) -> list[str]:
        """Return the names of all files that are not hidden."""
        return sorted(path.name for path in self._inside.iterdir() if not path.name.startswith("."))

    def remove_leftovers(self, name: str) -> None:
        """Remove what a kill or a power cut has left of the file while it was written."""
        atomic_file.remove_leftovers(self._inside, time.time(), glob.escape(name))

    def _discard(self, name: str) -> bool:
        with contextlib.suppress(PublishError):
            return self.remove(name)
        return False

    def _read(self, name: str) -> tuple[bytes, int] | None:
        """Return the content and the mode of a file that aio-tuned has written; None if there is none.

        Raise PublishError if something else has that name.
        """
        path = self._path / name
        try:
            if not stat.S_ISREG(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode):
                raise PublishError(f"{path}: not a regular file, so it is not replaced; remove it")
            file = os.open(name, _FILE, dir_fd=self._descriptor)
            with os.fdopen(file, "rb") as opened:
                status = os.fstat(file)
                trust.check(status, path, self._path)
                if opened.read(len(self._begins)) != self._begins:
                    raise PublishError(f"{path}: not written by aio-tuned, so it is not replaced; remove or rename it")
                return self._begins + opened.read(), stat.S_IMODE(status.st_mode)
        except FileNotFoundError:
            return None
        except trust.UntrustedError as error:
            raise PublishError(f"{error}, or remove it") from None
        except OSError as error:
            raise PublishError(f"{path}: cannot be read: {error.strerror}; remove it") from None


def _open(path: Path) -> int:
    """Return a descriptor of the folder, which no other user may change; raise PublishError."""
    here = Path("/")
    descriptor = os.open(here, _FOLDER)
    try:
        trust.check_passage(os.fstat(descriptor), here, here)
        for name in path.parts[1:]:
            above, here = here, here / name
            descriptor = _step(descriptor, name, may_create=here == path)
            check = trust.check if here == path else trust.check_passage
            check(os.fstat(descriptor), here, above)
    except (OSError, trust.UntrustedError) as error:
        os.close(descriptor)
        raise PublishError(_reason(error, here)) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _step(descriptor: int, name: str, *, may_create: bool) -> int:
    """Return a descriptor of the folder of that name in the open one, and close that one; raise OSError."""
    try:
        found = os.open(name, _FOLDER, dir_fd=descriptor)
    except FileNotFoundError:
        if not may_create:
            raise
        os.mkdir(name, dir_fd=descriptor)
        os.chmod(name, _ALL_READ, dir_fd=descriptor)  # whatever the umask
        found = os.open(name, _FOLDER, dir_fd=descriptor)
    os.close(descriptor)
    return found


def _reason(error: OSError | trust.UntrustedError, path: Path) -> str:
    if isinstance(error, trust.UntrustedError):
        return str(error)
    if path.is_symlink():
        return f"{path}: a symbolic link; write the path that it leads to"
    if isinstance(error, NotADirectoryError):
        return f"{path}: not a folder; remove it, or name another folder"
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such folder; create it, owned by root and not writable by other users"
    return f"{path}: cannot be opened: {error.strerror}; let the daemon write to it, or name another folder"
