"""The keys and values of a consumer's configuration, and functions that several consumers share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.reader import DriveSettings, Settings

Format = Literal["json", "toml", "yaml", "env", "fio"]
# None is written as null, and only in JSON.
Value: TypeAlias = "bool | int | float | str | None"

ALIGNMENT = 4096  # a multiple of every drive's logical block; drives with 4 KiB blocks cannot read less with O_DIRECT
# "1.5", "0.5.10.post1", "0.33.0rc2", "0.22.1+cu129", with or without a "v".
_RELEASE = re.compile(r"v?(\d+(?:\.\d+)+)(?:[.\-]?(?:a|b|rc|post|dev)\d*)*(?:\+[\w.]+)?")


class Entry(NamedTuple):
    """A key for the table in a list of tables that has these members."""

    match: tuple[tuple[str, Value], ...]


Key: TypeAlias = "str | Entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Options of an export: a cap on the block size and the size of the consumer's requests in bytes, and its release.

    Without a size, the consumer's usual one is meant; without a release ("0.14.5"), the newest one.
    """

    max_block_size: int | None = None
    request_bytes: int | None = None
    for_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A part of a consumer's configuration.

    `values` are the values to set, by path ({("aio", "block_size"): 1048576}); a merge changes nothing else. In an
    environment file the path is one name, in a fio job file a section and an option. `notes` tell the user which
    values were limited, and which settings the consumer does not support. `defaults` are the values that the consumer
    itself has for these paths; only consumers that `aio-tuned verify` can run have them.
    """

    format: Format
    values: Mapping[tuple[Key, ...], Value]
    notes: tuple[str, ...] = ()
    defaults: Mapping[tuple[Key, ...], Value] = field(default_factory=dict)


# --- a cap on the block size ------------------------------------------------------------------------------------


def capped(settings: Settings, options: ExportOptions) -> Settings:
    """Return the settings with a block size of at most the cap, without the throughput if the block size changes.

    Round the cap down to a power of two, so that blocks are aligned for every drive. Raise UsageError for a cap below
    4096 bytes.
    """
    cap = options.max_block_size
    if cap is not None and cap < ALIGNMENT:
        raise UsageError(f"--max-block-size {cap}: below the smallest block for direct I/O; pass {ALIGNMENT} or more")
    if cap is None or settings.block_size <= cap:
        return settings
    return settings._replace(block_size=1 << (cap.bit_length() - 1), throughput_bytes_per_s=None)


def capped_drive(drive: DriveSettings, options: ExportOptions) -> DriveSettings:
    """Return the settings of every direction as capped() does; raise UsageError for a cap below 4096 bytes."""
    return drive._replace(
        read=capped(drive.read, options),
        write=capped(drive.write, options),
        combined=capped(drive.combined, options),
    )


def cap_ignored(options: ExportOptions, why: str) -> tuple[str, ...]:
    """Return the note on a cap for a consumer without a block size; nothing without a cap."""
    return () if options.max_block_size is None else (f"max_block_size: ignored, because {why}.",)


def size_ignored(options: ExportOptions, why: str) -> tuple[str, ...]:
    """Return the note on a request size for a consumer without a use for it; nothing without one."""
    return () if options.request_bytes is None else (f"request_size: ignored, because {why}.",)


def cap_note(key: str, before: Settings, after: Settings) -> tuple[str, ...]:
    """Return the note on a block size that the cap has changed, beginning with the consumer's key; else ()."""
    if after.block_size == before.block_size:
        return ()
    limited = f"{key}: {after.block_size} bytes because of --max-block-size"
    return (f"{limited}; the other parameters were measured with the best size, {before.block_size} bytes.",)


# --- the path ---------------------------------------------------------------------------------------------------


def need_folder(path: str, consumer: str) -> None:
    """Raise UsageError if the path is a device's, that is, in /dev; the path itself is not read."""
    if PurePosixPath(path).is_relative_to("/dev"):
        raise UsageError(f"{path}: not usable for {consumer}; pass a folder on the drive's filesystem, not a device")


# --- the consumer's release ------------------------------------------------------------------------------------


def need_release(options: ExportOptions, consumer: str, first: str, lacking: str) -> None:
    """Raise UsageError if the caller's release is older than `first`, or is not valid.

    `lacking` is the feature that older releases do not have. Without a release, the newest one is meant.
    """
    if is_older(options, consumer, first):
        raise UsageError(f"{consumer} {options.for_version}: has no {lacking}; use {consumer} {first} or later")


def is_older(options: ExportOptions, consumer: str, than: str) -> bool:
    """Return whether the caller's release is older than `than`; raise UsageError if it is not valid.

    Without a release, the newest one is meant.
    """
    if options.for_version is None:
        return False
    return _numbers(options.for_version, consumer) < _numbers(than, consumer)


def release_ignored(options: ExportOptions, consumer: str) -> tuple[str, ...]:
    """Return the note that the release makes no difference, if one is given; raise UsageError if it is not valid."""
    if options.for_version is None:
        return ()
    _numbers(options.for_version, consumer)
    return (f"for_version: no effect, because all checked releases of {consumer} have these keys.",)


def _numbers(text: str, consumer: str) -> tuple[int, ...]:
    """Return the numbers of the release, without trailing zeros: 1.0 equals 1.0.0."""
    found = _RELEASE.fullmatch(text)
    if not found:
        raise UsageError(f"{text}: not a release of {consumer}; write it like 1.2.3")
    parts = [int(part) for part in found[1].split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
