"""The drives that the paths of the [[export]] rules are on, asked in threads: a path on a dead mount never answers."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from aio_tuned.errors import AioTunedError
from aio_tuned.timeouts import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from aio_tuned.reader.types import Disk

# The disk, or the reason why there is none.
Place: TypeAlias = "Disk | str"

_log = logging.getLogger(__name__)

_LIMIT_S = 2.0


class ExportPlaces:
    """The last known place of each path; `find` returns a path's disk, and `changed` is called for a late answer."""

    def __init__(self, find: Callable[[Path], Disk], changed: Callable[[], None], limit_s: float = _LIMIT_S) -> None:
        self._find = find
        self._changed = changed
        self._limit_s = limit_s
        self._known: dict[Path, Place] = {}
        self._late: dict[Path, asyncio.Task[Place]] = {}

    def get(self, path: Path) -> Place:
        """Return the place of a path when it was last looked for."""
        return self._known.get(path, "not looked for yet")

    async def look(self, paths: Iterable[Path]) -> set[Path]:
        """Look for the places of these paths alone, and return the paths whose place has changed.

        A path that has not answered in time is on no drive until it does, and is not asked again before that.
        """
        asked = {path: self._late.get(path) or asyncio.ensure_future(self._ask(path)) for path in {*paths}}
        if new := [task for path, task in asked.items() if path not in self._late]:
            await asyncio.wait(new, timeout=self._limit_s)
        before, self._known = self._known, {path: self._answer(path, task) for path, task in asked.items()}
        return {path for path, place in self._known.items() if before.get(path) != place}

    def close(self) -> None:
        """Wait for no answer any more."""
        for task in self._late.values():
            task.cancel()

    async def _ask(self, path: Path) -> Place:
        try:
            return await in_thread(partial(self._find, path))
        except (AioTunedError, OSError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the daemon must not end because of a path
            _log.exception("[[export]] %s: internal error", path)
            return f"{path}: {type(error).__name__}: {error}; report this bug in aio-tuned"

    def _answer(self, path: Path, task: asyncio.Task[Place]) -> Place:
        if task.done():
            return task.result()
        if path not in self._late:
            self._late[path] = task
            task.add_done_callback(lambda _: self._answered(path))
        return f"{path}: has not responded for {self._limit_s:.0f} s"

    def _answered(self, path: Path) -> None:
        """Ask again: the answer may be older than the last change."""
        del self._late[path]
        self._changed()
