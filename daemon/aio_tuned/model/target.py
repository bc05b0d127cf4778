"""Where a sweep does its I/O, and what the operator allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

RawWrite = Literal["never", "blank"]
Btrfs = Literal["folder", "nocow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator allows and asks for; `thin_writes` are allowed on this target."""

    raw: bool = False
    read_only: bool = False
    raw_write: RawWrite = "never"
    btrfs: Btrfs = "folder"
    thin_writes: bool = False
    min_free_bytes: int = 0
    span_bytes: int = 1 << 30
    min_span_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the sweep does its I/O; `no_write` is why it may not write there, or "".

    A scratch file is given up when less than `min_free_bytes` are free for others. `nocow` asks for one without
    copy-on-write in a folder whose files have it. `filesystem` is its type, and how it writes the scratch file if that
    depends on the folder. With `trim` the space of the scratch file is given back to what lies below the filesystem.
    """

    kind: Literal["scratch", "device"]
    path: Path
    span_bytes: int
    offset_bytes: int = 0
    min_free_bytes: int = 0
    filesystem: str = ""
    nocow: bool = False
    no_write: str = ""
    provisional: str = ""
    trim: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The reason why a device is not swept: an expected outcome, not an error.

    `for_now` is true if only others' use of the space is in the way, which may end without an event.
    """

    reason: str
    for_now: bool = False
