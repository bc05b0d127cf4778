"""The job that the daemon sends to a worker, and the worker's messages, over the worker's pipes."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sweep, or with `settings` and `against` a check of a sibling's profile.

    `checkpoint` is the file from which a later worker can continue, and `ledger` the file that counts the bytes
    written. `others` are the siblings' profiles. `never_quiet` describes the I/O of other processes if the sweep has
    waited too long for them and must run in spite of it, else "". `before` are the drive's own settings, which a check
    measures, too, and `keeps_own` means that its own profile stays valid if the check does not confirm the sibling's.
    """

    device: Device
    config: Config
    seed: int
    helper: Path | None
    checkpoint: Path
    ledger: Path
    settings: Mapping[Direction, tuple[Setting, ...]] | None = None
    against: Profile | None = None
    others: tuple[Profile, ...] = ()
    never_quiet: str = ""
    before: Mapping[Direction, Setting] = field(default_factory=dict)
    keeps_own: bool = False


def send(job: Job, pipe: IO[bytes]) -> None:
    """Write the job to the pipe, which must stay open: its end tells the worker that the daemon has ended."""
    pickle.dump(job, pipe)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Job:
    """Read the job that the daemon has sent."""
    job = pickle.load(pipe)  # noqa: S301 - only the parent process writes to this pipe
    assert isinstance(job, Job)  # noqa: S101 - only the parent process writes to this pipe
    return job


# --- the worker's messages: one JSON object a line -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The sweep begins at the target `where`; `folder` has the scratch file, or is "" for a raw device."""

    where: str
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The sweep's progress: activity, share of the settings that are measured, and the most seconds that are left."""

    doing: str
    share: float
    left_s: float
    best_bytes_per_s: float
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The sweep is paused for this reason; with the reason "" it continues."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """Bytes written in that hour since the epoch that the worker could not record; the daemon records them."""

    hour: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A note on the drive from before the sweep, which `status` shows."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The host's page cache was dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeroing:
    """The helper is zeroing a raw device that it has written; the worker needs up to two minutes to end."""


# Rows of the five parameters and of three rates in bytes per second (throughput, and the limits of its interval).
Points: TypeAlias = "dict[str, list[list[int]]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The sweep has finished; `text` is the profile's file, and `trouble` an error of the archive or the ledger.

    `points` are the measured points by direction, fastest first, for the drive's report to its fleet; else {}.
    """

    text: str
    trouble: str = ""
    points: Points = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreed:
    """The check does not confirm the sibling's profile; `text` and `points` are as in Done, "" without a result."""

    reason: str
    text: str = ""
    points: Points = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The sweep has ended for now; it continues in `seconds`. `busy` means that other processes use the drive."""

    reason: str
    seconds: float
    busy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The sweep has failed, with this exit code."""

    reason: str
    exit_code: int


Final = Done | Disagreed | Deferred | Failed
Message = Started | Noted | Progress | Paused | Unrecorded | Dropped | Zeroing | Final

_KINDS = (Started, Noted, Progress, Paused, Unrecorded, Dropped, Zeroing, Done, Disagreed, Deferred, Failed)
_TYPES = {kind.__name__: kind for kind in _KINDS}


def to_line(message: Message) -> bytes:
    """Return the message as a line."""
    return json.dumps({"type": type(message).__name__, **asdict(message)}).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """Return the message in a line; raise ValueError if the line is no valid message."""
    try:
        words: dict[str, Any] = json.loads(line)
        return _TYPES[words.pop("type")](**words)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"invalid message from the worker process: {error}") from None
