"""The target of a sweep's I/O, and the policy of the operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

RawWrite = Literal["never", "blank"]
Btrfs = Literal["folder", "nocow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The options that decide where a sweep may write; `thin_writes` applies to this target."""

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
    """The file or device on which the sweep does its I/O; `no_write` is why it must not be written, or "".

    The scratch file is removed when less than `min_free_bytes` are free for other processes; `spare_bytes` are free
    beyond these and the scratch file. `nocow` asks for a scratch
    file without copy-on-write in a directory whose files have it. `filesystem` is the type of the filesystem, with the
    way of writing if that depends on the directory. With `trim`, the space of the scratch file is returned to the
    layers below the filesystem. `provisional` is why the profile is provisional, or "".
    """

    kind: Literal["scratch", "device"]
    path: Path
    span_bytes: int
    offset_bytes: int = 0
    min_free_bytes: int = 0
    spare_bytes: int = 0
    filesystem: str = ""
    nocow: bool = False
    no_write: str = ""
    provisional: str = ""
    trim: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The reason why a device is not swept, which is an expected outcome and no error.

    `for_now` is true if only a lack of free space prevents the sweep, which may end without an event.
    """

    reason: str
    for_now: bool = False
