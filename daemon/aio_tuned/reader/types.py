"""What the reader returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.profile import Profile

Direction = Literal["read", "write", "combined"]

Missing = Literal["error", "default"]

DIRECTIONS: tuple[Direction, ...] = ("read", "write", "combined")


class Source(NamedTuple):
    """Where settings come from.

    `state` is the profile's, or "default" where there is none; `file` the profile's ("" without one), `device` its
    drive's name, `section` the one that was taken. `note` says what a person should know of that, else it is "".
    """

    state: Literal["measured", "provisional", "stale", "default"]
    file: str = ""
    device: str = ""
    section: str = ""
    note: str = ""


class Settings(NamedTuple):
    """The five parameters for one direction, with DeepSpeed's meaning, and what they give.

    `block_size` is in bytes; `queue_depth` counts requests in flight per thread, `io_parallelism` threads.
    `throughput_bytes_per_s` is None where these very parameters were not measured on this drive, and for "combined".
    `saturating_concurrency` is the number of requests of that size in flight, over all threads, that it takes to get
    all of that: what a consumer needs that only has threads of synchronous I/O. Where that is not known it is
    queue_depth times io_parallelism.
    """

    block_size: int
    queue_depth: int
    io_parallelism: int
    overlap_events: bool
    single_submit: bool
    direction: Direction
    throughput_bytes_per_s: int | None
    saturating_concurrency: int
    source: Source


class DriveSettings(NamedTuple):
    """A drive's settings for reads, for writes, and for consumers that take only one setting."""

    read: Settings
    write: Settings
    combined: Settings


class Disk(NamedTuple):
    """The whole disk or volume that a path is on: what stays with it, and what the kernel calls it now."""

    id: str
    name: str
    model: str
    serial: str
    size_bytes: int
    node: str
    number: str


class FoundProfile(NamedTuple):
    """A drive's profile, and the file that it is in."""

    disk: Disk
    path: Path
    profile: Profile
