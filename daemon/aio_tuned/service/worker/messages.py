"""What the daemon and the worker that runs one sweep for it say to each other, over the worker's pipes."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sweep. `settings` and `against` make it a check of a sibling's profile instead of a full one.

    `others` are profiles of drives of the same kind. `checkpoint` is where it leaves what a later worker continues
    from; `ledger` counts the bytes written.
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


def send(job: Job, pipe: IO[bytes]) -> None:
    """Hand the job over; the pipe stays open: its end tells the worker that the daemon has gone."""
    pickle.dump(job, pipe)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Job:
    """The job that the daemon has sent."""
    job = pickle.load(pipe)  # noqa: S301 - from the parent process, over a pipe of our own
    assert isinstance(job, Job)  # noqa: S101 - nobody else writes there
    return job


# --- what the worker says: one JSON object a line ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """It is decided where the sweep goes."""

    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is: what goes on, the share done (of measuring every point once), and the most time it may take."""

    doing: str
    share: float
    left_s: float
    best_bytes_per_s: float
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Others need the drive, or it is hot; "" when it goes on."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeroing:
    """A raw device that was written is being zeroed; the worker must be given the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The profile to publish, as the text of its file."""

    text: str
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreed:
    """The check does not bear out the sibling's profile."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The sweep goes on in `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An error of ours, with its exit code."""

    reason: str
    exit_code: int


Final = Done | Disagreed | Deferred | Failed
Message = Started | Progress | Paused | Zeroing | Final

_TYPES = {kind.__name__: kind for kind in (Started, Progress, Paused, Zeroing, Done, Disagreed, Deferred, Failed)}


def to_line(message: Message) -> bytes:
    """The message as a line."""
    return json.dumps({"type": type(message).__name__, **asdict(message)}).encode() + b"\n"


def from_line(line: bytes) -> Message:
    """The message in a line; ValueError if there is none."""
    try:
        words: dict[str, Any] = json.loads(line)
        return _TYPES[words.pop("type")](**words)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message of a worker: {error}") from None
