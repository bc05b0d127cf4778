"""The private folder of a command that `aio-tuned run` starts, which holds the files for its consumers.

The folder has the mode 0700 and its files 0600, because a merged file may hold passwords. `run` starts the command by
exec, so the folder belongs to a process as long as the command runs; the next `run` of the same user removes the
folders of processes that have ended.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned import trust
from aio_tuned.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROC = Path("/proc")
RUN_USER = Path("/run/user")
TMP = Path("/tmp")  # noqa: S108 - the folder in it is made with a random name and the mode 0700
_NAME = re.compile(r"aio-tuned-run-([0-9]{1,20})-([1-9][0-9]{0,9})-([0-9]{1,20})-[0-9a-f]{8}")
# Only files of these names are removed. So a folder of the user that others have renamed to _NAME, as is possible in a
# folder without the sticky bit, loses nothing.
_FILE = re.compile(r"[a-z0-9_]+\.(?:json|toml|yaml|fio)")
_START_TIME = 19  # its place in /proc/PID/stat, counted from the state, which follows the name in parentheses
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Process(NamedTuple):
    """A process, unlike all that have or had its number: the inode of its PID namespace, and its start in ticks.

    Containers may share a folder of the host, so the namespace counts too.
    """

    namespace: int
    pid: int
    start: int


def this_process(proc: Path = PROC) -> Process:
    """Return this process; raise OSError without /proc."""
    pid = os.getpid()
    start = _start_time(pid, proc)
    if start is None:
        raise OSError(f"{proc / str(pid)}/stat cannot be read")
    return Process((proc / "self/ns/pid").stat().st_ino, pid, start)


def _start_time(pid: int, proc: Path) -> int | None:
    try:
        text = (proc / str(pid) / "stat").read_bytes()
        return int(text.rpartition(b")")[2].split()[_START_TIME])
    except (OSError, ValueError, IndexError):
        return None


def _has_ended(process: Process, here: Process, proc: Path) -> bool:
    """Return whether a process has surely ended: its number is unused, or a later process has it."""
    if process.namespace != here.namespace:
        return False  # its number says nothing here
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # a command may run as another user, as sudo does
    start = _start_time(process.pid, proc)
    return start is not None and start != process.start


# --- places ---------------------------------------------------------------------------------------------------------


def _places(environment: Mapping[str, str], run_user: Path = RUN_USER, tmp: Path = TMP) -> Iterator[tuple[Path, bool]]:
    """Yield the folders that may hold private folders, best first, and whether each is the user's own."""
    own = (environment.get("XDG_RUNTIME_DIR", ""), str(run_user / str(os.geteuid())))
    shared = (environment.get("TMPDIR", ""), str(tmp))
    for paths, is_own in ((own, True), (shared, False)):
        yield from ((Path(path), is_own) for path in dict.fromkeys(paths) if path.startswith("/"))


@contextlib.contextmanager
def _opened(place: Path, is_own: bool) -> Iterator[int]:
    """Yield a descriptor of the folder; raise OSError or UntrustedError if others may replace or read what is in it."""
    descriptor = os.open(place, _DIRECTORY)
    try:
        status = os.fstat(descriptor)
        if is_own and (status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077):
            raise trust.UntrustedError("not the user's own folder")
        trust.check_way(place / "x")
        yield descriptor
    finally:
        os.close(descriptor)


# --- the folder of this process -------------------------------------------------------------------------------------


def create(
    files: Mapping[str, str], environment: Mapping[str, str], run_user: Path = RUN_USER, tmp: Path = TMP
) -> Path:
    """Return a new private folder with these texts by file name, below XDG_RUNTIME_DIR, /run/user, TMPDIR or /tmp.

    Raise PublishError if it can be made in none of them.
    """
    reason = "no such folder"
    for place, is_own in _places(environment, run_user, tmp):
        try:
            with _opened(place, is_own) as above:
                return place / _create(files, above)
        except trust.UntrustedError:
            reason = "not trusted"  # the error's own text has the path, which is the caller's
        except (OSError, UnicodeEncodeError) as error:
            reason = str(error.strerror or error) if isinstance(error, OSError) else error.reason
    raise PublishError(
        f"no private folder: {reason}; set XDG_RUNTIME_DIR or TMPDIR to a folder that only you can write"
    )


def _create(files: Mapping[str, str], above: int) -> str:
    name = "-".join(("aio-tuned-run", *map(str, this_process()), os.urandom(4).hex()))
    umask = os.umask(0o077)  # the caller's may take rights of the user's own away
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    finally:
        os.umask(umask)
    try:
        folder = os.open(name, _DIRECTORY, dir_fd=above)
        try:
            for file, text in files.items():
                _write(file, text.encode(), folder)
        finally:
            os.close(folder)
    except BaseException:
        _remove(name, above)
        raise
    return name


def _write(name: str, data: bytes, folder: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)


# --- removal --------------------------------------------------------------------------------------------------------


def remove(folder: Path) -> None:
    """Remove a folder that create() has returned, because its command could not be started."""
    with contextlib.suppress(OSError):
        above = os.open(folder.parent, _DIRECTORY)
        try:
            _remove(folder.name, above)
        finally:
            os.close(above)


def remove_ended(environment: Mapping[str, str], run_user: Path = RUN_USER, tmp: Path = TMP, proc: Path = PROC) -> None:
    """Remove this user's private folders whose process has ended."""
    try:
        here = this_process(proc)
    except OSError:
        return
    for place, is_own in _places(environment, run_user, tmp):
        with contextlib.suppress(OSError, trust.UntrustedError), _opened(place, is_own) as above:
            for name in os.listdir(above):  # noqa: PTH208 - of a descriptor
                found = _NAME.fullmatch(name)
                if found and _has_ended(Process(*map(int, found.groups())), here, proc):
                    with contextlib.suppress(OSError):
                        _remove(name, above)


def _remove(name: str, above: int) -> None:
    """Remove a folder of this user, if it holds nothing but our files; leave a symbolic link alone."""
    folder = os.open(name, _DIRECTORY, dir_fd=above)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return
        for file in os.listdir(folder):  # noqa: PTH208 - of a descriptor
            if _FILE.fullmatch(file):
                os.unlink(file, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=above)
