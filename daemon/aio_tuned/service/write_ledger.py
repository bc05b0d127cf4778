"""The count of the bytes written to each drive, in all and over the last day, kept over restarts."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.storage import append_log
from aio_tuned.storage.append_log import AppendLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

_HOUR_S = 3600
# A byte counts until a whole day has passed after the hour in which it was written.
_HOURS = 25
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

# Bytes by the hour since the epoch in which they were written; the key None has those older than a day.
_Hours = dict["int | None", int]


class Ledger:
    """The bytes written by drive id, to the hour: bytes written at 10:59 no longer count at 11:00 on the next day.

    Several processes may have the file open; each reads the entries of the others, and a lock beside the file, held
    for each access, keeps their lines apart. No method raises OSError: `trouble` has the error with its remedy if a
    change could not be written, else "", and `is_read` tells whether the file was ever read. A reservation counts only
    once it is in the file, so that every write is known to a later process. Any other change counts anyway, and the
    next call tries to write it again. Entries from the future, after the clock was set back, count as written now.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self.trouble = ""
        self._path = path
        self._now = now
        self._log: AppendLog | None = None
        self._seen: tuple[int, int] | None = None
        self._pending: list[dict[str, object]] = []
        self._handed_over: list[dict[str, object]] = []
        self._hours: dict[str, _Hours] = {}
        self._reserved_hour: dict[str, int] = {}
        self.is_read = False

    @classmethod
    def open(cls, path: Path, now: Callable[[], float] = time.time) -> Ledger:
        """Open the ledger at `path`, or create it with its folder; compact it to a line for each hour and drive."""
        ledger = cls(path, now)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with ledger._locked():
                ledger._catch_up()
                ledger._compact()
        except OSError as error:
            ledger._lose(error)
        return ledger

    def reserve(self, drive: str, count: int, *, sync: bool = False) -> bool:
        """Count bytes that are about to be written; if this process dies, they count as written.

        Return False and count nothing if that cannot be recorded: the bytes must not be written then. With `sync` the
        entry is durable on return.
        """
        hour = self._hour()
        entry = self._add(drive, hour, count, sync=sync)
        if entry in self._pending:
            self._pending.remove(entry)
            _count([{**entry, "bytes": -count}], self._hours)
            return False
        self._reserved_hour[drive] = hour
        return True

    def settle(self, drive: str, reserved: int, written: int) -> None:
        """Replace the last reservation by the bytes that were really written."""
        if written != reserved:
            self._add(drive, self._reserved_hour.get(drive, self._hour()), written - reserved)

    def take_over(self, drive: str, hour: int, count: int) -> None:
        """Count bytes that another process has written in that hour since the epoch and could not record."""
        self._add(drive, hour, count)

    def hand_over(self) -> tuple[tuple[int, int], ...]:
        """Return the hours and bytes that could not be recorded, for take_over() in a process that lives longer."""
        given = tuple((int(str(entry["hour"])), int(str(entry["bytes"]))) for entry in self._pending)
        self._handed_over += self._pending
        self._pending = []
        return given

    def written_today(self, drive: str) -> int:
        """Return the bytes written in the last day."""
        self._update()
        return sum(self._today(drive).values())

    def total(self, drive: str) -> int:
        """Return the bytes written since the ledger was created."""
        self._update()
        return self._total(drive)

    def left_today(self, drive: str, budget: int) -> int:
        """Return the bytes that a daily budget still allows; 0 if the ledger cannot be read."""
        written = self.written_today(drive)
        return max(0, budget - written) if self.is_read else 0

    def frees_at(self, drive: str, budget: int, need: int) -> float | None:
        """Return the seconds until the budget allows `need` bytes: 0 if it does now, None if it never will.

        If the ledger cannot be read, return an hour, after which the caller can try again.
        """
        if need > budget:
            return None
        left = budget - self.written_today(drive)
        if not self.is_read:
            return float(_HOUR_S)
        now = free_at = self._now()
        for hour, count in sorted(self._today(drive).items()):
            if left >= need:
                break
            left += count
            free_at = (hour + _HOURS) * _HOUR_S
        return max(0.0, free_at - now)

    def close(self) -> None:
        """Close the file."""
        if self._log:
            self._log.close()
            self._log = None

    def _hour(self) -> int:
        return int(self._now() // _HOUR_S)

    def _total(self, drive: str) -> int:
        return sum(max(0, count) for count in self._hours.get(drive, {}).values())

    def _today(self, drive: str) -> dict[int, int]:
        """Return the bytes of each hour of the last day; move those of future hours to the present one."""
        now = self._hour()
        hours = self._hours.get(drive, {})
        for later in [hour for hour in hours if hour is not None and hour > now]:
            hours[now] = hours.get(now, 0) + hours.pop(later)
        return {hour: count for hour, count in hours.items() if hour is not None and hour > now - _HOURS and count > 0}

    def _add(self, drive: str, hour: int, count: int, *, sync: bool = False) -> dict[str, object]:
        entry: dict[str, object] = {"id": drive, "hour": hour, "bytes": count}
        self._pending.append(entry)
        _count([entry], self._hours)
        self._update(sync=sync)
        return entry

    def _update(self, *, sync: bool = False) -> None:
        """Read the entries of other processes, and write the pending ones."""
        try:
            # A query does not wait for the lock: the daemon must not hang if a stuck worker holds it.
            with self._locked(wait=bool(self._pending)):
                self._catch_up()
                while self._pending:
                    self._append(self._pending[0], sync=sync)
                    del self._pending[0]
            self.trouble = ""
        except BlockingIOError:
            pass  # another process is adding a line, which the next call will read
        except OSError as error:
            self._lose(error)

    def _append(self, entry: Mapping[str, object], *, sync: bool) -> None:
        if self._log:
            self._log.append(entry, sync=sync)
            self._seen = self._state()

    def _catch_up(self) -> None:
        """Read the file again if another process has changed it."""
        if self._log and self._state() == self._seen:
            return
        self.close()
        entries, self._log = AppendLog.open(self._path)
        self._seen = self._state()
        self._hours = _count([*entries, *self._handed_over, *self._pending], {})
        self.is_read = True

    def _compact(self) -> None:
        """Rewrite the file with one line for all entries older than a day, and with future entries dated now."""
        entries: list[dict[str, object]] = []
        for drive in self._hours:
            today = self._today(drive)
            earlier = self._total(drive) - sum(today.values())
            entries += [{"id": drive, "bytes": earlier}] if earlier else []
            entries += [{"id": drive, "hour": hour, "bytes": count} for hour, count in sorted(today.items())]
        self.close()
        append_log.rewrite(self._path, entries)
        self._catch_up()

    def _state(self) -> tuple[int, int] | None:
        """Return the file's inode and size, which change when a process appends to the file or rewrites it."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size

    @contextmanager
    def _locked(self, *, wait: bool = True) -> Iterator[None]:
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(lock)

    def _lose(self, error: OSError) -> None:
        action = "free space there" if error.errno in _NO_SPACE else "make it writable"
        self.trouble = f"{self._path}: bytes written to drives cannot be recorded: {error.strerror}; {action}"


def _count(entries: Iterable[Mapping[str, Any]], hours: dict[str, _Hours]) -> dict[str, _Hours]:
    """Add the entries to `hours` and return it; unknown ones, which a later version may have written, are ignored."""
    for entry in entries:
        drive, hour, count = entry.get("id"), entry.get("hour"), entry.get("bytes")
        if isinstance(drive, str) and isinstance(count, int) and (hour is None or isinstance(hour, int)):
            of_drive = hours.setdefault(drive, {})
            of_drive[hour] = of_drive.get(hour, 0) + count
    return hours


def ledger_path(state: Path) -> Path:
    """Return the path of the ledger."""
    return state / "written.journal"
