"""Waiting, without polling, until the profile of a path's drive is in a wanted state."""

from __future__ import annotations

import ctypes
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices.mount_monitor import MountWatch
from aio_tuned.errors import AioTunedError, NoProfileError, ProfileError, TargetError, TimedOutError
from aio_tuned.model.confidence import rank
from aio_tuned.model.profile import Result
from aio_tuned.reader.lookup import find_disk, find_profile
from aio_tuned.reader.types import FoundProfile

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.model.profile import Confidence, Profile

# From linux/inotify.h: every event by which a name or its folder can appear, disappear or become another file.
_ATTRIB, _CLOSE_WRITE = 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
_EVENTS = _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_READ_BYTES = 1 << 16


class FolderWatch:
    """A watch for changes in folders, by inotify(7), for which Python has no module.

    Making one raises OSError if the user has no inotify instance left.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    @staticmethod
    def _checked(answer: int) -> int:
        if answer < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return answer

    def fileno(self) -> int:
        """Return the descriptor, which is readable after a change."""
        return self._descriptor

    def add(self, folder: Path) -> None:
        """Watch the folder, or while it does not exist the nearest folder above it."""
        reached = None
        # Repeated until the result is stable: a folder may be created just before the one above it is watched.
        while (nearest := self._nearest(folder)) != reached:
            reached = nearest

    def _nearest(self, folder: Path) -> Path | None:
        """Watch the folder or else the nearest one above it that can be watched; return it, or None."""
        for each in (folder, *folder.parents):
            try:
                self._checked(self._libc.inotify_add_watch(self._descriptor, os.fsencode(each), _EVENTS))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            return each
        return None

    def drain(self) -> None:
        """Discard the changes so far; callers need to know only that there were any."""
        try:
            while os.read(self._descriptor, _READ_BYTES):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def until(
    path: Path,
    wanted: str,
    timeout_s: float,
    profiles: Path,
    waits: Callable[[str], None] = lambda _: None,
    confidence: Confidence | None = None,
) -> FoundProfile:
    """Wait until the profile of the path's drive has the state `wanted` ("any" is any state), and return it.

    With a `confidence`, at least one section must be measured, and each one must have that confidence or a higher one.
    The path, its filesystem and the folder of profiles need not exist yet. `waits` is called with the missing condition
    as a sentence, each time that it changes. Raise TimedOutError with that sentence after `timeout_s` seconds,
    ProfileError at once, and AioTunedError if the kernel allows no more watches.
    """
    end = time.monotonic() + timeout_s
    try:
        folders = FolderWatch()
        mounted = MountWatch()
    except OSError as error:
        raise AioTunedError(f"cannot wait: {error}; raise fs.inotify.max_user_instances") from None
    try:
        poll = select.poll()
        poll.register(folders, select.POLLIN)
        poll.register(mounted, select.POLLIN)
        told = ""
        while True:
            # Cleared before the check, so that any later change wakes the poll.
            folders.drain()
            mounted.changed()
            found = _look(path, wanted, confidence, profiles, folders)
            if isinstance(found, FoundProfile):
                return found
            if found != told:
                told = found
                waits(found)
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimedOutError(f"timed out after {timeout_s:g} s: {found}")
    except OSError as error:
        raise AioTunedError(f"{path}: cannot wait: {error}; raise fs.inotify.max_user_watches") from None
    finally:
        folders.close()
        mounted.close()


def _look(
    path: Path, wanted: str, confidence: Confidence | None, profiles: Path, folders: FolderWatch
) -> FoundProfile | str:
    """Return the profile if it has the wanted state and confidence, else the missing condition as a sentence.

    Before that, watch the folders in which a change could fulfil it.
    """
    folders.add(profiles)
    try:
        found = find_profile(path, profiles)
    except ProfileError:
        raise
    except NoProfileError as error:
        return str(error)
    except TargetError as error:
        # The path's folder is watched only if the path is missing, because a folder in use causes many events.
        folders.add(path)
        folders.add(Path(os.path.realpath(path)))  # the path may be a link whose target does not exist yet
        try:
            find_disk(path)
        except TargetError:
            return str(error)
        return _look(path, wanted, confidence, profiles, folders)  # the path has just appeared
    if wanted not in ("any", found.profile.state):
        return f"{found.path}: {found.profile.state}, not {wanted}"
    missing = _unsure(found.profile, confidence) if confidence else ""
    return f"{found.path}: {missing}" if missing else found


def _unsure(profile: Profile, least: Confidence) -> str:
    """Return which measured sections have a lower confidence than `least`, in words; "" if none has."""
    found = [(name, part.confidence) for name, part in profile.sections() if isinstance(part, Result)]
    lower = [
        f"{name} is {known}" if known else f"{name} has no confidence (written by an older version)"
        for name, known in found
        if known is None or rank(known) < rank(least)
    ]
    if not found:
        return f"no direction was measured, so none is {least}"
    return f"{' and '.join(lower)}, not {least}" if lower else ""
