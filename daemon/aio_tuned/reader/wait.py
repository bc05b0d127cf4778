"""Adapter: waits, without polling, until the settings of a path are what somebody wants them to be."""

from __future__ import annotations

import ctypes
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.devices.mount_monitor import MountWatch
from aio_tuned.errors import AioTunedError, NoProfileError, ProfileError, TargetError, TimedOutError
from aio_tuned.reader.lookup import find_disk, find_profile
from aio_tuned.reader.types import FoundProfile

if TYPE_CHECKING:
    from collections.abc import Callable

# linux/inotify.h: all that can make a name appear, vanish or mean another file, and the folder with it.
_ATTRIB, _CLOSE_WRITE = 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
_EVENTS = _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_READ_BYTES = 1 << 16


class FolderWatch:
    """Tells of changes in folders, by inotify(7), which Python has no module for. OSError if there is none left."""

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
        """Readable after a change."""
        return self._descriptor

    def add(self, folder: Path) -> None:
        """Watch the folder, or as long as it is not there the nearest one above it that is."""
        reached = None
        # Again until nothing comes of it: a folder may be made between the look for it and the watch on the one above.
        while (nearest := self._nearest(folder)) != reached:
            reached = nearest

    def _nearest(self, folder: Path) -> Path | None:
        """Watch the first of the folder and those above it that is there and may be watched."""
        for each in (folder, *folder.parents):
            try:
                self._checked(self._libc.inotify_add_watch(self._descriptor, os.fsencode(each), _EVENTS))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            return each
        return None

    def drain(self) -> None:
        """Forget the changes so far; what they were does not matter."""
        try:
            while os.read(self._descriptor, _READ_BYTES):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._descriptor)


def until(
    path: Path, wanted: str, timeout_s: float, profiles: Path, waits: Callable[[str], None] = lambda _: None
) -> FoundProfile:
    """The profile of the path's drive once its state is `wanted` ("any": once there is one).

    The path need not be there yet, nor its filesystem, nor the folder of profiles. `waits` is told what is missing
    whenever that is something else. TimedOutError says what was missing last; ProfileError at once.
    """
    end = time.monotonic() + timeout_s
    try:
        folders = FolderWatch()
        mounted = MountWatch()
    except OSError as error:
        raise AioTunedError(f"cannot wait: {error}; see fs.inotify.max_user_instances") from None
    try:
        poll = select.poll()
        poll.register(folders, select.POLLIN)
        poll.register(mounted, select.POLLIN)
        told = ""
        while True:
            # Before looking: what changes from here on is an event.
            folders.drain()
            mounted.changed()
            found = _look(path, wanted, profiles, folders)
            if isinstance(found, FoundProfile):
                return found
            if found != told:
                told = found
                waits(found)
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimedOutError(f"not within {timeout_s:g} s: {found}")
    except OSError as error:
        raise AioTunedError(f"cannot wait for {path}: {error}; see fs.inotify.max_user_watches") from None
    finally:
        folders.close()
        mounted.close()


def _look(path: Path, wanted: str, profiles: Path, folders: FolderWatch) -> FoundProfile | str:
    """The profile if it is what is wanted, else what is missing; the watch is on what could change that."""
    folders.add(profiles)
    try:
        found = find_profile(path, profiles)
    except ProfileError:
        raise
    except NoProfileError as error:
        return str(error)
    except TargetError as error:
        # Only now: a folder that is in use as well makes many events.
        folders.add(path)
        folders.add(Path(os.path.realpath(path)))  # a link to what is not there yet
        try:
            find_disk(path)
        except TargetError:
            return str(error)
        return _look(path, wanted, profiles, folders)  # it has come just now
    if wanted in ("any", found.profile.state):
        return found
    return f"{found.path} is {found.profile.state}, not {wanted}"
