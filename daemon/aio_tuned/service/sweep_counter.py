"""The counts of each drive's sweeps by outcome, and of their drops of the page cache, kept over restarts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from aio_tuned.service.state_machine import SWEEP_ENDS
from aio_tuned.storage import append_log
from aio_tuned.storage.append_log import AppendLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from aio_tuned.service.state_machine import SweepEnd

PAGE_CACHE_DROP: Final = "page_cache_drop"
_KNOWN = (*SWEEP_ENDS, PAGE_CACHE_DROP)
_Counts = dict[str, "Counter[SweepEnd | Literal['page_cache_drop']]"]


class SweepCounter:
    """The number of sweeps by drive id and outcome, in an append-only log that only the daemon opens.

    No method raises OSError: `trouble` has the error if an outcome could not be written, else "". That outcome counts
    anyway, and the next call tries to write it again.
    """

    def __init__(self, path: Path) -> None:
        self.trouble = ""
        self._path = path
        self._counts: _Counts = {}
        self._pending: list[dict[str, object]] = []

    @classmethod
    def open(cls, path: Path) -> SweepCounter:
        """Open the counter at `path`, which need not exist; compact it to one line for each drive and outcome."""
        counter = cls(path)
        try:
            if not path.exists():
                return counter
            entries, found = AppendLog.open(path)
            found.close()
            _count(entries, counter._counts)
            lines = [
                {"id": drive, "outcome": outcome, "count": count}
                for drive, counts in counter._counts.items()
                for outcome, count in counts.items()
            ]
            if len(lines) < len(entries):
                append_log.rewrite(path, lines)
        except OSError as error:
            counter._lose(error)
        return counter

    def count(self, drive: str, outcome: SweepEnd | Literal["page_cache_drop"]) -> None:
        """Count a sweep of the drive with this outcome, or a drop of the page cache by one."""
        entry: dict[str, object] = {"id": drive, "outcome": outcome, "count": 1}
        _count([entry], self._counts)
        self._pending.append(entry)
        self._note()

    def counts(self, drive: str) -> Mapping[SweepEnd, int]:
        """Return the number of the drive's sweeps for each outcome."""
        if self._pending:
            self._note()
        found = self._counts.get(drive, Counter())
        return {outcome: found[outcome] for outcome in SWEEP_ENDS}

    def page_cache_drops(self, drive: str) -> int:
        """Return how often sweeps of the drive have dropped the host's page cache."""
        return self._counts.get(drive, Counter())[PAGE_CACHE_DROP]

    def _note(self) -> None:
        """Write the pending entries."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _, file = AppendLog.open(self._path)
            try:
                while self._pending:
                    file.append(self._pending[0])
                    del self._pending[0]
            finally:
                file.close()
            self.trouble = ""
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.trouble = f"{self._path}: outcomes of sweeps cannot be recorded: {error.strerror}"


def _count(entries: Iterable[Mapping[str, Any]], counts: _Counts) -> None:
    """Add the entries to `counts`; unknown ones, which a later version may have written, are ignored."""
    for entry in entries:
        drive, outcome, count = entry.get("id"), entry.get("outcome"), entry.get("count")
        if isinstance(drive, str) and outcome in _KNOWN and isinstance(count, int) and count > 0:
            counts.setdefault(drive, Counter())[outcome] += count


def sweep_counts_path(state: Path) -> Path:
    """Return the path of the log that counts the outcomes of sweeps."""
    return state / "sweeps.journal"
