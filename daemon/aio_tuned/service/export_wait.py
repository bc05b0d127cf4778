"""The last step of `aio-tuned wait`: the files of the path's [[export]] rules follow a mount some moments later."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

from aio_tuned.errors import AioTunedError
from aio_tuned.reader.wait import FolderWatch
from aio_tuned.service import status

if TYPE_CHECKING:
    from pathlib import Path

# A daemon that has not followed after this time is stuck, or its rule has no settings for the drive.
LIMIT_S = 5.0


def until_written(runtime: Path, path: Path, name: str, limit_s: float = LIMIT_S) -> None:
    """Wait until the status says that the files of the path's rules have the settings of the drive of that name.

    Return at once without a daemon or such a rule, and after `limit_s` seconds in any case. A file that cannot be
    written is not waited for.
    """
    end = time.monotonic() + limit_s
    try:
        folders = FolderWatch()
    except OSError:
        return
    try:
        poll = select.poll()
        poll.register(folders, select.POLLIN)
        folders.add(runtime)
        while _is_other(runtime, path, name) and (left := end - time.monotonic()) > 0:
            poll.poll(left * 1000)
            folders.drain()
    except OSError:
        return
    finally:
        folders.close()


def _is_other(runtime: Path, path: Path, name: str) -> bool:
    """Return whether a file of the path's rules does not have the settings of the drive yet."""
    try:
        exports = status.read(runtime).exports
    except AioTunedError:
        return False
    return any(each.path == str(path) and each.state != "failed" and each.device != name for each in exports)
