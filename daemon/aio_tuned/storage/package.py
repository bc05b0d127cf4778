"""The installed files of a consumer's release, and whether they were replaced."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

# A folder on a dead network filesystem never answers, and the daemon looks from its event loop.
_ANSWER_S = 0.5
# Looks that have not answered yet. There is one thread for each file at most, however often it is asked for.
_pending: dict[str, Future[str | None]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The installed files of a consumer's release: a file that an update replaces, and its version then.

    `stamp` is size and time of modification, or "" if the file is not known.
    """

    file: str
    stamp: str

    @classmethod
    def at(cls, file: Path) -> Package:
        """Return the package that the file belongs to now."""
        return cls(file=str(file), stamp=_stamp(file))

    def is_replaced(self) -> bool:
        """Return whether the release was removed or replaced; False if that cannot be seen from here.

        A service may not see the folder: it may be in a container, another user's, or on a filesystem that does not
        answer within half a second.
        """
        if not self.stamp:
            return False
        seen = answered(self.file, partial(_seen, Path(self.file)))
        return seen is not None and seen != self.stamp


def answered(file: str, look: Callable[[], str | None], seconds: float = _ANSWER_S) -> str | None:
    """Return what `look` at the file returns; None if it has no answer after `seconds`.

    While that look is still waiting, return None at once, and start no other one.
    """
    waiting = _pending.get(file)
    outcome = waiting or timeouts.start(look)
    try:
        result = outcome.result(0 if waiting else seconds)
    except FutureTimeoutError:
        _pending[file] = outcome
        return None
    _pending.pop(file, None)
    return result


def _seen(file: Path) -> str | None:
    """Return the stamp of the file, "" if it was removed, or None if its folder is not to be seen."""
    try:
        visible = next(file.parent.parent.iterdir(), None) is not None
    except OSError:
        return None
    return _stamp(file) if visible else None


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"
