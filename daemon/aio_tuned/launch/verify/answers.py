"""The parts of a driver's answers, each checked: the driver runs in another user's environment."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import HelperError
from aio_tuned.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

# It is written into profiles, into files of variables and on terminals. fio's is "fio-3.33".
_VERSION = re.compile(r"[\w.+!~-]{1,100}", re.ASCII)
# No drive and no page cache is slower or faster.
_SLOWEST, _FASTEST = 1.0, 1e15
_MOST_BYTES = 1 << 50


def release(answer: Mapping[str, Any]) -> tuple[str, Path]:
    """Return the consumer's release and a file of it; raise HelperError if either is not valid."""
    version, file = answer.get("version"), answer.get("file")
    if not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise HelperError(f"release {version!a:.200} is not valid; pass another --python")
    if not (isinstance(file, str) and file.isprintable() and file.startswith("/")):
        raise HelperError(f"file of the release {file!a:.200} is not valid; pass another --python")
    return version, Path(file)


def rate(answer: Mapping[str, Any]) -> float:
    """Return the bytes/s of a transfer; raise HelperError if no drive can have that rate."""
    moved, seconds = answer.get("bytes"), answer.get("seconds")
    if (
        isinstance(moved, int)
        and isinstance(seconds, (int, float))
        and 0 < moved < _MOST_BYTES
        and seconds > 0
        and _SLOWEST <= (found := moved / seconds) <= _FASTEST
    ):
        return found
    raise _impossible(f"{moved!a:.50} bytes in {seconds!a:.50} s")


def resident(answer: Mapping[str, Any]) -> float:
    """Return the share of the files that is in the page cache; raise HelperError if it is none."""
    share = answer.get("resident")
    if isinstance(share, (int, float)) and 0 <= share <= 1:
        return share
    raise _impossible(f"{share!a:.50} of the files in the page cache")


def count_before(answer: Mapping[str, Any]) -> int | None:
    """Return the host's AIO requests before the driver made its queues, None without; raise HelperError."""
    count = answer.get("count_before")
    if count is None or (isinstance(count, int) and count >= 0):
        return count
    raise _impossible(f"{count!a:.50} requests in the queues")


def folder(answer: Mapping[str, Any], device: int) -> str:
    """Return the folder that was made; raise HelperError if it is not on the filesystem with that st_dev."""
    made = answer.get("folder")
    try:
        status = os.lstat(made) if isinstance(made, str) and made.startswith("/") else None
    except (OSError, ValueError):
        status = None
    if not isinstance(made, str) or status is None or not stat.S_ISDIR(status.st_mode):
        raise HelperError("no folder was made; run the command again")
    if status.st_dev != device:
        raise HelperError(f"{printable(made)}: on another filesystem than before; mount it and run the command again")
    return made


def _impossible(what: str) -> HelperError:
    return HelperError(f"{what}: impossible; try the consumer by itself")
