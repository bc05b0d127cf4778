"""The types that the reader returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.profile import Concurrency, Profile
    from aio_tuned.model.size_curve import CurveOp, SizeCurve
    from aio_tuned.model.verdict import Verdict

Direction = Literal["read", "write", "combined"]

Missing = Literal["error", "default"]

DIRECTIONS: tuple[Direction, ...] = ("read", "write", "combined")


class Source(NamedTuple):
    """The origin of settings.

    `state` is the profile's state, or "default" without a profile; `file` is the profile's file, `device` its drive's
    name, and `section` the section that was used, all "" without a profile. `note` is a remark for people, or "".
    """

    state: Literal["measured", "provisional", "stale", "default"]
    file: str = ""
    device: str = ""
    section: str = ""
    note: str = ""


class Settings(NamedTuple):
    """The five parameters for one direction, with DeepSpeed's meaning, and the throughput that they give.

    `block_size` is in bytes; `queue_depth` is requests in flight per thread, and `io_parallelism` is threads.
    `throughput_bytes_per_s` is None if exactly these parameters were not measured on this drive, and for "combined".
    `saturating_concurrency` is the number of requests of that size in flight, over all threads, that reaches the full
    throughput; a consumer with threads of synchronous I/O needs as many threads. If it was not measured, it is
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
    """A drive's settings for reads, for writes, and for consumers that take only one setting.

    `curves`, `concurrency` and `verified` are those of the profile: (), None and () in older profiles, or without one.
    """

    read: Settings
    write: Settings
    combined: Settings
    curves: tuple[SizeCurve, ...] = ()
    concurrency: Concurrency | None = None
    verified: tuple[Verdict, ...] = ()


class RequestSettings(NamedTuple):
    """The requests in flight, over all threads, for requests of one size at random places, and what they give.

    With "psync" each thread has one request in flight, so `in_flight` is the number of threads. `p99_us` is None if too
    few requests were measured. `interpolated` is True if that size is between two measured ones, which `source.note`
    names.
    """

    request_bytes: int
    in_flight: int
    throughput_bytes_per_s: int
    p50_us: float
    p99_us: float | None
    engine: Engine
    direction: CurveOp
    interpolated: bool
    source: Source


class Disk(NamedTuple):
    """The whole disk or volume that a path is on: its identity, and the kernel's present node and number for it.

    `boot_id` is that of this boot if the id is made of the kernel's name, else "". `note` is a remark on how the path
    leads to the disk, or "".
    """

    id: str
    name: str
    model: str
    serial: str
    size_bytes: int
    node: str
    number: str
    boot_id: str = ""
    note: str = ""


class FoundProfile(NamedTuple):
    """A disk with its profile, and the profile's file; `note` has remarks on both, or is ""."""

    disk: Disk
    path: Path
    profile: Profile
    note: str = ""
