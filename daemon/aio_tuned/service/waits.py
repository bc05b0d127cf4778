"""The waits of drives that outlast a restart of the daemon."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from aio_tuned.service import busy_wait
from aio_tuned.service.busy_wait import BusyWait
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DAY_S = 86400.0


class _Turn(NamedTuple):
    """The last drive that was swept for the host's sake, and when that began, in seconds since the epoch."""

    id: str
    at: float


class _Busy(NamedTuple):
    """A wait for other processes, and its length in seconds at the last check, `at` seconds since the epoch."""

    wait: BusyWait
    waited_s: float
    at: float


class Waits:
    """The turn to be swept for the host's sake, and the waits for other processes, by drive id.

    A wait for the fleet begins with the first question for it, and lasts over restarts, so that none holds a sweep back
    for longer than its limit. After a change of the host, one drive a day has the turn, and the others wait. The time
    in which the daemon is down counts for the turn, but not for the waits for other processes; a wait without a check
    for a day is over. No method raises OSError: `trouble` has the error if a change could not be written, else "". That
    change counts anyway, and a later call tries to write it again.
    """

    def __init__(self, path: Path, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.trouble = ""
        self.monotonic = monotonic
        self._path = path
        self._now = now
        self._turn: _Turn | None = None
        self._busy: dict[str, _Busy] = {}
        # When drives began to wait for their fleet, in seconds since the epoch.
        self._fleet: dict[str, float] = {}

    @classmethod
    def open(
        cls, path: Path, now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> Waits:
        """Read the waits at `path`, which need not exist; content that is not valid counts as none."""
        waits = cls(path, now, monotonic)
        try:
            atomic_file.remove_leftovers(path.parent, now(), path.name, age_s=0)
            waits._read(json.loads(path.read_bytes()))
        except FileNotFoundError:
            pass
        except OSError as error:
            waits._lose(error)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # written by another version
        return waits

    def turn_wait_s(self, drive: str) -> float:
        """Return the seconds until the drive may be swept for the host's sake: 0 if it has the turn or can take it."""
        self._retry()
        if self._turn is None or self._turn.id == drive:
            return 0.0
        now = self._now()
        if self._turn.at > now:  # the clock was set back
            self._turn = self._turn._replace(at=now)
            self._write()
        return max(0.0, self._turn.at + _DAY_S - now)

    def take_turn(self, drive: str) -> None:
        """Give the turn to the drive for a day, if turn_wait_s() is 0; a drive that has the turn keeps it."""
        if self._turn is None or self._turn.id != drive or self._now() - self._turn.at >= _DAY_S:
            self._turn = _Turn(drive, self._now())
            self._write()

    def busy(self, drive: str) -> BusyWait | None:
        """Return the drive's wait for other processes; None if there is none."""
        found = self._busy.get(drive)
        return found.wait if found else None

    def add_deferral(self, drive: str, traffic: str) -> BusyWait:
        """Begin or continue the drive's wait for other processes, and return it; `traffic` is their I/O."""
        wait = busy_wait.deferred(self.busy(drive), traffic, self.monotonic())
        self._busy[drive] = _Busy(wait, self.monotonic() - wait.since_s, self._now())
        self._write()
        return wait

    def end_busy(self, drive: str) -> None:
        """End the drive's wait for other processes, if there is one."""
        if self._busy.pop(drive, None):
            self._write()

    def fleet_left_s(self, drive: str, longest_s: float) -> float:
        """Return the seconds that the drive may still wait for its fleet, `longest_s` from the first call."""
        now = self._now()
        began = self._fleet.get(drive)
        if began is None or began > now:  # the clock was set back
            began = self._fleet[drive] = now
            self._write()
        return max(0.0, began + longest_s - now)

    def end_fleet(self, drive: str) -> None:
        """End the drive's wait for its fleet, if there is one."""
        if self._fleet.pop(drive, None):
            self._write()

    def _read(self, table: Any) -> None:  # noqa: ANN401 - any JSON
        if turn := table["turn"]:
            self._turn = _Turn(str(turn["id"]), float(turn["at"]))
        for drive, entry in table["busy"].items():
            waited_s, at = float(entry["waited_s"]), float(entry["at"])
            if abs(self._now() - at) < _DAY_S:
                wait = BusyWait(since_s=self.monotonic() - waited_s, traffic=str(entry["traffic"]))
                self._busy[drive] = _Busy(wait, waited_s, at)
        self._fleet = {drive: float(at) for drive, at in table.get("fleet", {}).items()}

    def _write(self) -> None:
        table = {
            "turn": self._turn._asdict() if self._turn else None,
            "busy": {
                drive: {"waited_s": one.waited_s, "at": one.at, "traffic": one.wait.traffic}
                for drive, one in self._busy.items()
            },
            "fleet": self._fleet,
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic_file.write(self._path, json.dumps(table), mode=0o600)
            self.trouble = ""
        except OSError as error:
            self._lose(error)

    def _retry(self) -> None:
        if self.trouble:
            self._write()

    def _lose(self, error: OSError) -> None:
        self.trouble = (
            f"{self._path}: waits of drives cannot be recorded: {error.strerror}; make it writable and free some space"
        )


def waits_path(state: Path) -> Path:
    """Return the path of the file."""
    return state / "waits.json"
